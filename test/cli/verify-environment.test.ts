// `sallyport verify`: the variables that it wants, and the mode that they choose (A3, A4, A5, A7).
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { canary, checksOf, connect, environment, fileOf, find, onlyFailure } from "./verify-support.ts";

describe("A7: a variable that is missing or empty is named", () => {
  for (const name of ["OP_CONNECT_HOST", "OP_CONNECT_TOKEN"]) {
    for (const [value, message] of [
      [undefined, "is not set"],
      ["", "is empty"],
      [" \n", "is empty"],
    ] as const) {
      test(`${name} ${JSON.stringify(value)}`, async () => {
        const checks = await checksOf({ env: environment({ [name]: value }) });
        const failure = onlyFailure(checks);
        assert.deepEqual([failure.subject, failure.message, failure.cause], [name, message, "variable"]);
        assert.match(failure.hint ?? "", new RegExp(name === "OP_CONNECT_TOKEN" ? name : "URL"));
        assert.equal(find(checks, "Connect").message, `not asked: ${name} is missing`);
        assert.deepEqual(connect.requests, []);
      });
    }
  }

  test("OP_VAULT: the one that is taken instead is told, and that is a warning before it is a failure", async () => {
    const checks = await checksOf({ env: environment({ OP_VAULT: undefined }) });
    const { status, message, hint } = find(checks, "vault");
    assert.equal(status, "warn");
    assert.equal(message, '"ai-agents", because neither OP_VAULT nor tools.vault is set');
    assert.equal(hint, "set OP_VAULT to the name or the id of the vault");
    assert.match(onlyFailure(checks).message, /^vault "ai-agents" not found/);
  });

  test("OP_SERVICE_ACCOUNT_TOKEN", async () => {
    const env = environment({ FIREWALL_MANAGER_SECRET_SOURCE: "onepassword", OP_CONNECT_TOKEN: undefined });
    const checks = await checksOf({ env });
    assert.deepEqual(
      checks.filter(({ status }) => status === "fail").map(({ subject, message }) => `${subject} ${message}`),
      [
        "OP_SERVICE_ACCOUNT_TOKEN is not set",
        'WAREHOUSE_API_KEY env var "OP_SERVICE_ACCOUNT_TOKEN" is not set or empty',
      ],
    );
  });

  test("the variable of a credential, in the mode env", async () => {
    const env = { FIREWALL_MANAGER_SECRET_SOURCE: "env" };
    const { subject, message, hint, cause } = onlyFailure(await checksOf({ env }));
    assert.deepEqual([subject, cause], ["WAREHOUSE_API_KEY", "variable"]);
    assert.equal(message, 'env var "WAREHOUSE_API_KEY" is not set or empty');
    assert.match(hint ?? "", /^set WAREHOUSE_API_KEY in the environment of the proxy; .*proxy\.envSecrets$/);
    const set = await checksOf({ env: { ...env, WAREHOUSE_API_KEY: canary } });
    assert.ok(set.every(({ status }) => status === "ok"));
  });

  test("SANDBOX_SIGNING_KEY, where callers are required, and one that is too short", async () => {
    const file = fileOf(
      "proxy: { require_caller: true }\ntls: { ca_cert: ca.crt, ca_key: ca.key }\ntools: { directories: [tools] }\n",
    );
    assert.match(onlyFailure(await checksOf({ file })).message, /needs SANDBOX_SIGNING_KEY/);
    const env = environment({ SANDBOX_SIGNING_KEY: "canary" });
    assert.match(find(await checksOf({ env }), "SANDBOX_SIGNING_KEY").message, /^SANDBOX_SIGNING_KEY /);
  });

  test("IRON_MANAGEMENT_API_KEY, where there is a management port", async () => {
    const file = fileOf(
      "management: { listen: '127.0.0.1:0' }\ntls: { ca_cert: ca.crt, ca_key: ca.key }\ntools: { directories: [tools] }\n",
    );
    const checks = await checksOf({ file });
    assert.ok(
      checks.some(({ status, message }) => status === "fail" && message.includes("IRON_MANAGEMENT_API_KEY")),
    );
    const env = environment({ IRON_MANAGEMENT_API_KEY: "0123456789abcdef" });
    assert.equal(find(await checksOf({ file, env }), "IRON_MANAGEMENT_API_KEY").status, "ok");
  });
});

describe("mode", () => {
  test("A4: an unknown one is refused with the three names, and no credential is looked for elsewhere", async () => {
    const env = environment({
      FIREWALL_MANAGER_SECRET_SOURCE: "onepassword_connect",
      WAREHOUSE_API_KEY: canary,
    });
    const checks = await checksOf({ env });
    const { kind, message } = onlyFailure(checks);
    assert.equal(kind, "mode");
    assert.match(
      message,
      /must be "env", "onepassword" or "onepassword-connect"; did you mean "onepassword-connect"\?$/,
    );
    assert.ok(checks.every((check) => check.kind !== "credential"));
  });

  test("A5: a bad ttl is a failure that names it", async () => {
    const env = environment({ FIREWALL_MANAGER_SECRET_TTL: "ten" });
    assert.match(
      onlyFailure(await checksOf({ env })).message,
      /FIREWALL_MANAGER_SECRET_TTL: must be a duration/,
    );
  });

  test("one that nobody set, and two that differ, are warned of", async () => {
    const unset = find(await checksOf({ env: { WAREHOUSE_API_KEY: canary } }), "mode");
    assert.deepEqual(
      [unset.status, unset.message],
      ["warn", "env, because neither tools.source nor FIREWALL_MANAGER_SECRET_SOURCE is set"],
    );
    const file = fileOf(
      "tls: { ca_cert: ca.crt, ca_key: ca.key }\ntools: { directories: [tools], source: env }\n",
    );
    const both = find(await checksOf({ file, env: environment({ WAREHOUSE_API_KEY: canary }) }), "mode");
    assert.deepEqual(
      [both.status, both.message],
      ["warn", 'env, by tools.source, while FIREWALL_MANAGER_SECRET_SOURCE is "onepassword-connect"'],
    );
  });

  test("a token that the mode does not need is warned of", async () => {
    const checks = await checksOf({ env: environment({ OP_SERVICE_ACCOUNT_TOKEN: "ops_canary" }) });
    const { status, message } = find(checks, "OP_SERVICE_ACCOUNT_TOKEN");
    assert.deepEqual([status, message], ["warn", "is set, and no source reads it"]);
  });

  test("a line break at the end of a token is warned of, and does no harm", async () => {
    const checks = await checksOf({
      env: environment({ OP_CONNECT_TOKEN: `${connect.token}\n`, OP_VAULT: "agents\n" }),
    });
    assert.equal(find(checks, "OP_CONNECT_TOKEN").status, "warn");
    assert.equal(find(checks, "WAREHOUSE_API_KEY").status, "ok");
  });

  for (const [said, cause] of [
    ["no vault matched the secret reference query", "vault"],
    ["no item matched the secret reference query", "item"],
    ["the specified field cannot be found within the item", "field"],
    ["invalid service account token", "token"],
    ["rate limit exceeded", "rate_limit"],
  ] as const) {
    test(`onepassword: "${said}" is told as such`, async () => {
      const env = environment({
        FIREWALL_MANAGER_SECRET_SOURCE: "onepassword",
        OP_SERVICE_ACCOUNT_TOKEN: "ops_x",
      });
      const client = { resolve: () => Promise.reject(new Error(`${said} (sk-canary)`)) };
      const failure = onlyFailure(await checksOf({ env, onePassword: () => Promise.resolve(client) }));
      assert.deepEqual([failure.subject, failure.cause], ["WAREHOUSE_API_KEY", cause]);
      assert.ok(failure.hint);
    });
  }

  test("A3: onepassword reads the same reference by the service account", async () => {
    const env = environment({
      FIREWALL_MANAGER_SECRET_SOURCE: "onepassword",
      OP_SERVICE_ACCOUNT_TOKEN: "ops_x",
      OP_CONNECT_TOKEN: undefined,
    });
    const asked: string[] = [];
    const client = {
      resolve(reference: string) {
        asked.push(reference);
        return Promise.resolve(canary);
      },
    };
    const checks = await checksOf({ env, onePassword: () => Promise.resolve(client) });
    assert.ok(
      checks.every(({ status }) => status === "ok"),
      JSON.stringify(checks),
    );
    assert.deepEqual(asked, ["op://agents/WAREHOUSE_API_KEY/credential"]);
  });
});
