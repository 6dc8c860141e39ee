// `sallyport verify`: what keeps a credential from being attached or read, each with its cause and hint (K2, B4).
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { describe, test } from "node:test";
import type { FakeItem } from "../fakes/connect.ts";
import {
  canary,
  checksOf,
  connect,
  environment,
  find,
  good,
  host,
  item,
  onlyFailure,
  request,
  vaultId,
} from "./verify-support.ts";

describe("K2: each of the page's five causes has its own message and hint", () => {
  test("the entry's hosts", async () => {
    const asked = request("https://other.example.com/", "Authorization: Bearer WAREHOUSE_API_KEY");
    const { cause, message, hint } = onlyFailure(await checksOf({ requests: [asked] }));
    assert.equal(cause, "hosts");
    assert.equal(
      message,
      `WAREHOUSE_API_KEY would not be attached: no rule is for the host other.example.com; its hosts are ${host}`,
    );
    assert.match(hint ?? "", /^add "other\.example\.com" to the hosts of the entry WAREHOUSE_API_KEY/);
  });

  test("the entry's match_*", async () => {
    const asked = request(`https://${host}/?key=WAREHOUSE_API_KEY`, "X-Api-Key: WAREHOUSE_API_KEY");
    const { cause, message, hint } = onlyFailure(await checksOf({ requests: [asked] }));
    assert.equal(cause, "match");
    assert.match(
      message,
      /its placeholder is in header X-Api-Key and query, where the entry does not look \(match_headers: Authorization\)$/,
    );
    assert.match(hint ?? "", /match_headers, match_query or match_path/);
  });

  test("the item's name", async () => {
    connect.vaults = [{ id: vaultId, name: "agents", items: [{ ...good, title: "Warehouse API Key" }] }];
    const { kind, cause, message, hint } = onlyFailure(await checksOf());
    assert.deepEqual([kind, cause], ["credential", "item"]);
    assert.match(message, /item "WAREHOUSE_API_KEY" not found in vault "agents"$/);
    assert.match(
      hint ?? "",
      /exactly one item with the title "WAREHOUSE_API_KEY".*; did you mean "Warehouse API Key"\?$/,
    );
  });

  test("OP_VAULT", async () => {
    const checks = await checksOf({ env: environment({ OP_VAULT: "agent" }) });
    const { kind, cause, message, hint } = onlyFailure(checks);
    assert.deepEqual([kind, cause], ["vault", "vault"]);
    assert.equal(message, 'vault "agent" not found, or OP_CONNECT_TOKEN has no access to it');
    assert.match(hint ?? "", /^set OP_VAULT to the name or id .*; it can read: agents$/);
    assert.equal(find(checks, "WAREHOUSE_API_KEY").status, "skip", "said once, not for every credential");
  });

  test("the field credential", async () => {
    const fields = [{ id: "password", label: "password", value: canary }];
    connect.vaults = [{ id: vaultId, name: "agents", items: [{ ...good, fields }] }];
    const { cause, message, hint } = onlyFailure(await checksOf());
    assert.equal(cause, "field");
    assert.match(message, /field "credential" not found on item; it has: password$/);
    assert.equal(
      hint,
      'put the value into a field with the name "credential" of the item "WAREHOUSE_API_KEY"',
    );
  });
});

describe("B4: what else keeps a credential from being read", () => {
  const vaults = (...items: FakeItem[]) => [{ id: vaultId, name: "agents", items }];
  const cases: readonly [what: string, arrange: () => void, cause: string, message: RegExp][] = [
    [
      "two items of the name",
      () => {
        connect.vaults = vaults(good, { ...good, id: "another00000000000000000000" });
      },
      "item",
      /found 2 items in vault "agents" with title "WAREHOUSE_API_KEY"; use the item's id$/,
    ],
    [
      "two vaults of the name",
      () => {
        connect.vaults = [...vaults(good), { id: "vaultvaultvaultvaultvault2", name: "agents", items: [] }];
      },
      "vault",
      /found 2 vaults with title "agents"; use the vault's id$/,
    ],
    [
      "an empty value",
      () => {
        connect.vaults = vaults(item("WAREHOUSE_API_KEY", { id: "f", label: "credential", value: "" }));
      },
      "value",
      /field "credential" resolved to empty value$/,
    ],
    [
      "401",
      () => {
        connect.token = "another-token";
      },
      "token",
      /rejected the token \(401\); check OP_CONNECT_TOKEN$/,
    ],
    [
      "429",
      () => {
        connect.misbehave = (_, response) => {
          response.writeHead(429, { "retry-after": "3" }).end("{}");
          return true;
        };
      },
      "rate_limit",
      /^rate limited by the Connect server \(429\)/,
    ],
  ];
  for (const [what, arrange, cause, message] of cases) {
    test(what, async () => {
      const { token } = connect;
      const env = environment();
      arrange();
      try {
        const failure = onlyFailure(await checksOf({ env }));
        assert.equal(failure.cause, cause);
        assert.match(failure.message, message);
        assert.ok(failure.hint, "says what to do");
      } finally {
        connect.token = token;
      }
    });
  }

  test("a Connect server that is not there is one failure, and nothing else is asked of it", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const { port } = server.address() as { port: number };
    await new Promise((resolve) => server.close(resolve));
    const checks = await checksOf({ env: environment({ OP_CONNECT_HOST: `http://127.0.0.1:${port}` }) });
    const { kind, cause, message } = onlyFailure(checks);
    assert.deepEqual([kind, cause], ["connect", "server"]);
    assert.equal(message, "cannot reach the Connect server: connection refused; check OP_CONNECT_HOST");
    assert.equal(find(checks, "WAREHOUSE_API_KEY").message, "not read: Connect cannot be used");
  });

  test("I12: a Connect server that never answers ends with the time that was given", async () => {
    connect.misbehave = () => true;
    const since = performance.now();
    const { kind, message } = onlyFailure(await checksOf({ timeoutMs: 200 }));
    assert.deepEqual([kind, message], ["connect", "no answer in time"]);
    assert.ok(performance.now() - since < 3000);
  });

  test("I12: so does a credential that never comes", async () => {
    connect.misbehave = (incoming) => /\/items/.test(incoming.url ?? "");
    const { kind, message } = onlyFailure(await checksOf({ timeoutMs: 300 }));
    assert.deepEqual([kind, message], ["credential", "not read within 300ms"]);
  });
});
