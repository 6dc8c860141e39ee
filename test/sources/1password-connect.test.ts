import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { inspect } from "node:util";
import { Agent } from "undici";
import { parseOpReference } from "../../src/sources/op-reference.ts";
import { SourceRegistry } from "../../src/sources/registry.ts";
import { Secret, SourceError } from "../../src/sources/types.ts";
import { fakeConnect, type FakeConnect, type FakeItem, type FakeVault } from "../fakes/connect.ts";
import { fakeClock, settled } from "./fake-clock.ts";

const vaultId = "vaultvaultvaultvaultvault1";
const itemId = "itemitemitemitemitemitem01";
const canary = "sk-canary-connect";

function item(more: Partial<FakeItem> = {}): FakeItem {
  return {
    id: itemId,
    title: "OPENAI_API_KEY",
    sections: [{ id: "sec1", label: "Prod" }, { id: "sec2" }],
    fields: [
      { id: "username", label: "username", value: "ada" },
      { id: "f1", label: "credential", value: canary },
      { id: "f2", label: "credential", value: "in-prod", section: { id: "sec1" } },
      { id: "f3", label: "token", value: "in-sec2", section: { id: "sec2" } },
      { id: "f4", label: "blank", value: "" },
      { id: "f5", label: "unset" },
    ],
    ...more,
  };
}

const vaults = (): FakeVault[] => [
  { id: vaultId, name: "agents", items: [item()] },
  { id: "otherotherotherotherother1", name: "twice", items: [] },
  { id: "otherotherotherotherother2", name: "twice", items: [] },
];

let connect: FakeConnect;
before(async () => {
  connect = await fakeConnect(vaults());
});
after(() => connect.close());
beforeEach(() => {
  connect.requests.length = 0;
  connect.vaults = vaults();
  connect.misbehave = undefined;
});

function scene(env: NodeJS.ProcessEnv = { OP_CONNECT_HOST: connect.url, OP_CONNECT_TOKEN: connect.token }) {
  const clock = fakeClock();
  const warnings: string[] = [];
  const registry = new SourceRegistry({ env, clock, onWarning: (_, message) => warnings.push(message) });
  const handle = (secret_ref: string, keys: Record<string, unknown> = {}) =>
    registry.handle({ type: "1password_connect", secret_ref, ...keys }, (_, message) => assert.fail(message));
  const read = async (reference: string) => (await handle(reference).get()).reveal();
  /** The message of the failure; no failure may hold a credential or the token (I14). */
  const failure = async (reference: string): Promise<SourceError> => {
    const reason: unknown = await read(reference).catch((error: unknown) => error);
    assert.ok(reason instanceof SourceError, `no failure, or not a proper one: ${inspect(reason)}`);
    const output = inspect(reason, { depth: 9 }) + warnings.join("");
    assert.ok(!output.includes("canary") && !output.includes(connect.token), output);
    return reason;
  };
  return { clock, warnings, handle, read, failure };
}

describe("R-11 the reference", () => {
  test("has three or four segments", () => {
    assert.deepEqual(parseOpReference("op://v/i/f"), {
      vault: "v",
      item: "i",
      section: undefined,
      field: "f",
    });
    assert.deepEqual(parseOpReference("op://v/i/s/f"), { vault: "v", item: "i", section: "s", field: "f" });
  });

  for (const [reference, problem] of [
    ["op://v/i", 'secret_ref "op://v/i" must have 3 or 4 path segments (op://vault/item/[section/]field)'],
    [
      "op://v/i/s/f/x",
      'secret_ref "op://v/i/s/f/x" must have 3 or 4 path segments (op://vault/item/[section/]field)',
    ],
    ["op://v//f", 'secret_ref "op://v//f" has an empty path segment'],
    ["op://v/i/f/", 'secret_ref "op://v/i/f/" has an empty path segment'],
    ["OP://v/i/f", 'secret_ref "OP://v/i/f" must start with "op://"'],
    ["sk-canary/pasted/here", 'secret_ref must start with "op://"'],
  ]) {
    test(`${reference} is refused when it is loaded`, () => {
      const registry = new SourceRegistry({ env: {}, onWarning: () => {} });
      const errors: string[] = [];
      const source = { type: "1password_connect", secret_ref: reference };
      registry.handle(source, (path, message) => errors.push(`${path.join(".")}: ${message}`));
      assert.deepEqual(errors, [`secret_ref: ${problem}`]);
    });
  }

  test("R-03 is required", () => {
    const errors: string[] = [];
    new SourceRegistry({ env: {}, onWarning: () => {} }).handle(
      { type: "1password_connect" },
      (_, message) => {
        errors.push(message);
      },
    );
    assert.deepEqual(errors, ['1password_connect source requires "secret_ref" field']);
  });
});

describe("R-11 finding the field", () => {
  const cases: readonly [what: string, reference: string, value: string][] = [
    ["vault, item and field by name", "op://agents/OPENAI_API_KEY/credential", canary],
    ["vault by id", `op://${vaultId}/OPENAI_API_KEY/credential`, canary],
    ["item by id", `op://agents/${itemId}/credential`, canary],
    ["field by id", "op://agents/OPENAI_API_KEY/f1", canary],
    ["section by label", "op://agents/OPENAI_API_KEY/Prod/credential", "in-prod"],
    ["section by id", "op://agents/OPENAI_API_KEY/sec1/credential", "in-prod"],
    ["a section without a label", "op://agents/OPENAI_API_KEY/sec2/token", "in-sec2"],
    ["a field in a section, named without it", "op://agents/OPENAI_API_KEY/token", "in-sec2"],
  ];
  for (const [what, reference, value] of cases) {
    test(what, async () => assert.equal(await scene().read(reference), value));
  }

  test("an item whose title looks like an id is found by its title", async () => {
    const title = "abcdefghijklmnopqrstuvwxyz";
    connect.vaults[0]!.items = [item({ title })];
    assert.equal(await scene().read(`op://agents/${title}/credential`), canary);
  });

  test("quotes and backslashes in a title are escaped in the filter", async () => {
    const title = 'the "real\\" key';
    connect.vaults[0]!.items = [item({ title }), item({ id: "other", title: "the " })];
    assert.equal(await scene().read(`op://agents/${title}/credential`), canary);
  });

  test("the section may carry its label on the field alone", async () => {
    const field = { id: "f", label: "key", value: "x", section: { id: "s", label: "Live" } };
    connect.vaults[0]!.items = [item({ sections: [], fields: [field] })];
    assert.equal(await scene().read("op://agents/OPENAI_API_KEY/Live/key"), "x");
  });
});

describe("what fails, each with its own words", () => {
  const ref = "op://agents/OPENAI_API_KEY";
  const prefix = (reference: string) => `1password_connect secret "${reference}": `;
  const cases: readonly [what: string, reference: string, message: string][] = [
    ["no such vault", "op://nope/i/f", 'vault "nope" not found, or OP_CONNECT_TOKEN has no access to it'],
    [
      "no vault with this id",
      `op://${itemId}/i/f`,
      `vault "${itemId}" not found, or OP_CONNECT_TOKEN has no access to it`,
    ],
    ["two vaults of one title", "op://twice/i/f", `found 2 vaults with title "twice"; use the vault's id`],
    ["no such item", "op://agents/nope/f", 'item "nope" not found in vault "agents"'],
    ["no item with this id", `op://agents/${vaultId}/f`, `item "${vaultId}" not found in vault "agents"`],
    [
      "no such field",
      `${ref}/nope`,
      'field "nope" not found on item; it has: username, credential, token, blank, unset',
    ],
    [
      "case differs",
      `${ref}/Credential`,
      'field "Credential" not found on item; it has: username, credential, token, blank, unset',
    ],
    ["no such section", `${ref}/nope/credential`, 'section "nope" not found on item; it has: Prod, sec2'],
    [
      "no such field in the section",
      `${ref}/Prod/token`,
      'field "token" in section "Prod" not found on item; it has: credential',
    ],
    ["an empty value", `${ref}/blank`, 'field "blank" resolved to empty value'],
    ["no value", `${ref}/unset`, 'field "unset" resolved to empty value'],
  ];
  for (const [what, reference, message] of cases) {
    test(what, async () => {
      assert.equal((await scene().failure(reference)).message, prefix(reference) + message);
    });
  }

  test("two items of one title", async () => {
    connect.vaults[0]!.items = [item(), item({ id: "second" })];
    const { message } = await scene().failure(`${ref}/credential`);
    assert.match(message, /found 2 items in vault "agents" with title "OPENAI_API_KEY"; use the item's id$/);
  });

  for (const variable of ["OP_CONNECT_HOST", "OP_CONNECT_TOKEN"]) {
    test(`A7 ${variable} not set`, async () => {
      const env = { OP_CONNECT_HOST: connect.url, OP_CONNECT_TOKEN: connect.token, [variable]: undefined };
      const { message } = await scene(env).failure(`${ref}/credential`);
      assert.equal(message, `${prefix(`${ref}/credential`)}env var "${variable}" is not set or empty`);
    });
  }

  const environments: readonly [what: string, env: NodeJS.ProcessEnv, message: RegExp][] = [
    [
      "a token that is rejected",
      { OP_CONNECT_TOKEN: "other" },
      /rejected the token \(401\); check OP_CONNECT_TOKEN$/,
    ],
    ["a token in two lines", { OP_CONNECT_TOKEN: "sk-canary\nx" }, /OP_CONNECT_TOKEN has a line break/],
    [
      "a host that is no URL",
      { OP_CONNECT_HOST: "connect:8080" },
      /OP_CONNECT_HOST is not an http or https URL/,
    ],
    [
      "nobody listening",
      { OP_CONNECT_HOST: "http://127.0.0.1:1" },
      /cannot reach the Connect server: connection refused/,
    ],
  ];
  for (const [what, env, message] of environments) {
    test(what, async () => {
      const all = { OP_CONNECT_HOST: connect.url, OP_CONNECT_TOKEN: connect.token, ...env };
      assert.match((await scene(all).failure(`${ref}/credential`)).message, message);
    });
  }

  const answers: readonly [what: string, status: number, body: string, message: RegExp][] = [
    ["403", 403, '{"status":403,"message":"no"}', /may not read this vault \(403\)/],
    ["a failing server", 500, `{"message":"${canary}"}`, /answered with status 500$/],
    ["a redirect, which is not followed", 302, "", /answered with status 302$/],
    [
      "a page in place of JSON",
      200,
      `<html>${canary}`,
      /\(status 200\) is not JSON; does OP_CONNECT_HOST point at Connect\?$/,
    ],
    ["JSON of another kind", 200, '{"hello":1}', /unexpected form; does OP_CONNECT_HOST point at Connect\?$/],
    ["an id that would change the path", 200, '[{"id":"../../x"}]', /unexpected form/],
    ["an answer without end", 200, `"${canary.repeat(100_000)}"`, /is larger than 1048576 bytes$/],
  ];
  for (const [what, status, body, message] of answers) {
    test(what, async () => {
      connect.misbehave = (_, response) => {
        response.writeHead(status, { location: "http://127.0.0.1:1/" }).end(body);
        return true;
      };
      assert.match((await scene().failure(`${ref}/credential`)).message, message);
    });
  }

  test("a rate limit is named, and its Retry-After is kept", async () => {
    connect.misbehave = (_, response) => {
      response.writeHead(429, { "retry-after": "90" }).end("{}");
      return true;
    };
    const { clock, warnings, failure } = scene();
    const error = await failure(`${ref}/credential`);
    assert.match(error.message, /rate limited by the Connect server \(429\)/);
    assert.equal(error.retryAfterMs, 90_000);
    assert.match(warnings[0] ?? "", /next try in 1m30s$/);
    clock.advance(89_000);
    await failure(`${ref}/credential`);
    assert.equal(connect.requests.length, 1, "not asked again before that");
  });

  test("a server that does not answer is given up", async () => {
    connect.misbehave = () => true;
    const { clock, handle } = scene();
    const waiting = assert.rejects(async () => handle(`${ref}/credential`).get(), /no answer within 10s$/);
    while (connect.requests.length === 0) await settled();
    clock.advance(10_000);
    await waiting;
  });

  test("labels from the server are shortened and cleaned", async () => {
    const fields = Array.from({ length: 30 }, (_, i) => ({
      id: `f${i}`,
      label: `\u001b[31m${"x".repeat(99)}${i}`,
      value: "v",
    }));
    connect.vaults[0]!.items = [item({ fields })];
    const { message } = await scene().failure(`${ref}/credential`);
    assert.ok(!message.includes("\u001b") && message.length < 2000);
  });
});

describe("requests", () => {
  const reference = "op://agents/OPENAI_API_KEY/credential";
  const byId = `/v1/vaults/${vaultId}/items/${itemId}`;

  async function refresh({ clock, handle }: ReturnType<typeof scene>): Promise<string> {
    clock.advance(300_000);
    return (await handle(reference, { ttl: "1m" }).get()).reveal();
  }

  test("the first read looks up vault and item, a refresh costs one request", async () => {
    const server = scene();
    await refresh(server);
    assert.deepEqual(connect.requests, [
      "/v1/vaults?filter=title+eq+%22agents%22",
      `/v1/vaults/${vaultId}/items?filter=title+eq+%22OPENAI_API_KEY%22`,
      byId,
    ]);
    connect.requests.length = 0;
    await refresh(server);
    assert.deepEqual(connect.requests, [byId]);
  });

  test("an item that was made anew under the same title is looked up once more", async () => {
    const server = scene();
    await refresh(server);
    connect.vaults[0]!.items = [
      item({ id: "newitem", fields: [{ id: "c", label: "credential", value: "new" }] }),
    ];
    assert.equal(await refresh(server), "new");
  });

  test("an item that is gone is looked up once more, not for ever, and the old value serves", async () => {
    const server = scene();
    await refresh(server);
    connect.vaults[0]!.items = [];
    connect.requests.length = 0;
    assert.equal(await refresh(server), canary);
    assert.equal(connect.requests.length, 3);
    assert.match(server.warnings[0] ?? "", /serving stale value: .*item "OPENAI_API_KEY" not found/);
  });

  test("A8 fifty requests at once cost one look-up", async () => {
    const { handle } = scene();
    const secrets = await Promise.all(Array.from({ length: 50 }, async () => handle(reference).get()));
    assert.equal(new Set(secrets).size, 1);
    assert.equal(connect.requests.length, 3);
    assert.ok(handle(reference).get() instanceof Secret);
  });

  for (const suffix of ["/", "//", "/prefix/"]) {
    test(`a host that ends in ${suffix} is fine`, async () => {
      const seen: string[] = [];
      connect.misbehave = (request) => {
        seen.push(request.url ?? "");
        request.url = request.url?.replace("/prefix", "") ?? "";
        return false;
      };
      const env = { OP_CONNECT_HOST: connect.url + suffix, OP_CONNECT_TOKEN: `${connect.token}\n` };
      assert.equal(await scene(env).read(reference), canary);
      const start = suffix === "/prefix/" ? "/prefix/v1/" : "/v1/";
      for (const url of seen) assert.ok(url.startsWith(start), url);
    });
  }

  test("go through the dialler that the registry was given", async () => {
    const dispatcher = new Agent();
    let dispatched = 0;
    const counting = dispatcher.compose((dispatch) => (options, handler) => {
      dispatched++;
      return dispatch(options, handler);
    });
    const env = { OP_CONNECT_HOST: connect.url, OP_CONNECT_TOKEN: connect.token };
    const registry = new SourceRegistry({ env, dispatcher: counting, onWarning: () => {} });
    const source = { type: "1password_connect", secret_ref: reference };
    const secret = await registry.handle(source, () => assert.fail()).get();
    assert.equal(secret.reveal(), canary);
    assert.equal(dispatched, 3);
    await dispatcher.close();
  });
});
