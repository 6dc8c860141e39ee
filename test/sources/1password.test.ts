import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, test } from "node:test";
import { inspect } from "node:util";
import type { OnePasswordClient } from "../../src/sources/1password.ts";
import { SourceRegistry } from "../../src/sources/registry.ts";
import { SourceError } from "../../src/sources/types.ts";
import { fakeClock } from "./fake-clock.ts";

// The service needs an account, so these tests put a client of their own behind the source. The last ones run
// the real client against a server on this machine, as far as that goes: to the first answer of the sign-in.

const reference = "op://agents/OPENAI_API_KEY/credential";
const token = "ops_canary-token";
type Resolve = OnePasswordClient["resolve"];

function scene(resolve: Resolve, env: NodeJS.ProcessEnv = { OP_SERVICE_ACCOUNT_TOKEN: token }) {
  const clock = fakeClock();
  const warnings: string[] = [];
  const tokens: string[] = [];
  const registry = new SourceRegistry({
    env,
    clock,
    onWarning: (_, message) => warnings.push(message),
    onePassword: async (given) => {
      tokens.push(given);
      return { resolve };
    },
  });
  const handle = (secret_ref = reference, keys: Record<string, unknown> = {}) =>
    registry.handle({ type: "1password", secret_ref, ...keys }, (_, message) => assert.fail(message));
  return { clock, warnings, tokens, handle, registry };
}

async function failureOf(get: () => unknown): Promise<SourceError> {
  try {
    await get();
  } catch (error) {
    assert.ok(error instanceof SourceError, inspect(error));
    assert.ok(!inspect(error, { depth: 9 }).includes("canary"), inspect(error));
    return error;
  }
  return assert.fail("the source gave a value");
}

describe("R-10 reading", () => {
  test("the reference goes through verbatim, attributes and all, and the client is shared", async () => {
    const asked: string[] = [];
    const { handle, tokens } = scene(async (given) => `value of ${asked.push(given)}`);
    const otp = `${reference}?attribute=otp`;
    assert.equal((await handle(reference).get()).reveal(), "value of 1");
    assert.equal((await handle(otp).get()).reveal(), "value of 2");
    assert.deepEqual(asked, [reference, otp]);
    assert.deepEqual(tokens, [token]);
  });

  test("an empty value is refused", async () => {
    const { handle } = scene(async () => "");
    assert.match((await failureOf(() => handle().get())).message, /resolved to empty value$/);
  });

  test("A7 the token is required, at the first read and not before", async () => {
    const { handle } = scene(async () => "x", {});
    const secret = handle();
    assert.deepEqual(secret.variables, ["OP_SERVICE_ACCOUNT_TOKEN"]);
    const { message } = await failureOf(() => secret.get());
    assert.equal(message, 'env var "OP_SERVICE_ACCOUNT_TOKEN" is not set or empty');
  });

  for (const [source, error] of [
    [{}, '1password source requires "secret_ref" field'],
    [{ secret_ref: "ops://a/b/c" }, 'secret_ref "ops://a/b/c" must start with "op://"'],
    [{ secret_ref: "sk-canary" }, 'secret_ref must start with "op://"'],
  ] as const) {
    test(`load error: ${error}`, () => {
      const errors: string[] = [];
      const { registry } = scene(async () => "x");
      registry.handle({ type: "1password", ...source }, (_, message) => errors.push(message));
      assert.deepEqual(errors, [error]);
    });
  }
});

describe("R-10 errors of the client are told in our own words (I14)", () => {
  const resolving = `resolving 1password secret "${reference}": `;
  const said = (text: string) => `error resolving secret reference: ${text}`;
  const cases: readonly [said: string, told: RegExp][] = [
    [
      said("no vault matched the secret reference query"),
      /vault not found, or the service account has no access/,
    ],
    [said("more than one vault matched the secret reference query"), /use the vault's id$/],
    [said("no item matched the secret reference query"), /item not found in the vault$/],
    [said("more than one item matched the secret reference query"), /use the item's id$/],
    [said("no section matched the secret reference"), /section not found on item$/],
    [said("the specified field cannot be found within the item"), /field not found on item$/],
    [said("more than one field matched the secret reference"), /name its section, or use its id$/],
    [
      'the secret reference could not be parsed: secret reference has invalid format - must be "..."',
      /is malformed/,
    ],
    [said("request library: error sending request for url canary"), /cannot reach 1Password/],
    [said("canary in a text that nobody foresaw"), /failed for a reason it does not name$/],
  ];
  for (const [text, told] of cases) {
    test(text, async () => {
      const { handle } = scene(() => Promise.reject(new Error(text)));
      const { message } = await failureOf(() => handle().get());
      assert.ok(message.startsWith(resolving), message);
      assert.match(message, told);
    });
  }

  class RateLimitExceededError extends Error {}
  for (const error of [
    new RateLimitExceededError("canary"),
    new Error("authentication error: rate limit exceeded"),
  ]) {
    test(`A6 a rate limit is named and backs off for a minute: ${error.constructor.name}`, async () => {
      let asked = 0;
      const { handle, clock, warnings } = scene(() => {
        asked++;
        return Promise.reject(error);
      });
      const secret = handle(reference, { failure_ttl: "1s" });
      assert.match((await failureOf(() => secret.get())).message, /rate limited by 1Password/);
      clock.advance(59_000);
      await failureOf(() => secret.get());
      assert.equal(asked, 1);
      assert.match(warnings[0] ?? "", /rate limited by 1Password.*next try in 1m$/);
      clock.advance(1_000);
      await failureOf(() => secret.get());
      assert.equal(asked, 2);
    });
  }

  test("a client that could not be made is made again at the next read", async () => {
    const clock = fakeClock();
    let made = 0;
    const onePassword = async () => {
      made++;
      if (made === 1) throw new Error("authentication error: internal server error");
      return { resolve: async () => "s1" };
    };
    const env = { OP_SERVICE_ACCOUNT_TOKEN: token };
    const registry = new SourceRegistry({ env, clock, onWarning: () => {}, onePassword });
    const secret = registry.handle({ type: "1password", secret_ref: reference }, () => assert.fail());
    const { message } = await failureOf(() => secret.get());
    assert.equal(message, "creating 1password client: 1Password answered with an error of its own");
    clock.advance(60_000);
    assert.equal((await secret.get()).reveal(), "s1");
  });

  test("a session that ended is signed in anew at the next read", async () => {
    class AuthExpiredError extends Error {}
    let reads = 0;
    const { handle, clock, tokens } = scene(async () => {
      if (++reads === 1) throw new AuthExpiredError("canary");
      return "s1";
    });
    const secret = handle();
    await failureOf(() => secret.get());
    clock.advance(60_000);
    assert.equal((await secret.get()).reveal(), "s1");
    assert.equal(tokens.length, 2);
  });
});

describe("the real client", () => {
  const read = (OP_SERVICE_ACCOUNT_TOKEN: string) => {
    const registry = new SourceRegistry({ env: { OP_SERVICE_ACCOUNT_TOKEN }, onWarning: () => {} });
    return failureOf(() =>
      registry.handle({ type: "1password", secret_ref: reference }, () => assert.fail()).get(),
    );
  };

  test("refuses a token that is none", async () => {
    const { message } = await read("ops_canary");
    assert.match(message, /^creating 1password client: OP_SERVICE_ACCOUNT_TOKEN was rejected/);
  });

  for (const [status, told] of [
    [401, /OP_SERVICE_ACCOUNT_TOKEN was rejected/],
    [429, /rate limited by 1Password/],
    [500, /answered with an error of its own/],
  ] as const) {
    test(`signs in at the address of the token, and its ${status} is understood`, async () => {
      const asked: string[] = [];
      const server = createServer((request, response) => {
        asked.push(`${request.method} ${request.url}`);
        response.writeHead(status).end("{}");
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      try {
        const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
        assert.match((await read(serviceAccountToken(address))).message, told);
        assert.deepEqual(asked, ["POST /api/v3/auth/start"]);
      } finally {
        server.closeAllConnections();
        server.close();
      }
    });
  }
});

/** A token of the right form, for nobody. */
function serviceAccountToken(signInAddress: string): string {
  const key = Buffer.alloc(32, 1).toString("base64url");
  const token = {
    signInAddress,
    userAuth: {
      method: "SRPg-4096",
      alg: "PBES2g-HS256",
      iterations: 650_000,
      salt: Buffer.alloc(16).toString("base64url"),
    },
    email: "nobody@1passwordserviceaccounts.com",
    srpX: "a".repeat(64),
    muk: { alg: "A256GCM", ext: true, k: key, key_ops: ["encrypt", "decrypt"], kty: "oct", kid: "mp" },
    secretKey: "A3-C4ZJMN-PQTZTL-HGL84-G64M7-KVZRN-4ZVP6",
    throttleSecret: { seed: "a".repeat(64), uuid: "ABCDEFGHIJKLMNOPQRSTUVWXYZ" },
    deviceUuid: "abcdefghijklmnopqrstuvwxyz",
  };
  return `ops_${Buffer.from(JSON.stringify(token)).toString("base64url")}`;
}
