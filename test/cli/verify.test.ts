// `sallyport verify`: the checks of the page "Use 1Password", each with what goes wrong in it (K1, K2, A4, A7, B4).
import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import type { Check } from "../../src/cli/verify/check.ts";
import { verify, type VerifyOptions } from "../../src/cli/verify/run.ts";
import { fakeConnect, type FakeConnect, type FakeItem } from "../fakes/connect.ts";
import { run } from "../helpers/cli.ts";
import { makeCa } from "../helpers/pki.ts";
import { directoryOf, pageBlock } from "../tools/support.ts";

const canary = "sk-canary-of-the-warehouse";
const host = "warehouse.internal.example.com";
const vaultId = "vaultvaultvaultvaultvault1";

function item(title: string, ...fields: NonNullable<FakeItem["fields"]>): FakeItem {
  const id = `item${title.toLowerCase().replaceAll(/[^a-z0-9]/g, "")}${"0".repeat(26)}`.slice(0, 26);
  return { id, title, fields };
}

const good = item(
  "WAREHOUSE_API_KEY",
  { id: "notes", label: "notes", value: "not this one" },
  { id: "f1", label: "credential", value: canary },
);

let connect: FakeConnect;
before(async () => {
  connect = await fakeConnect([]);
});
after(() => connect.close());
beforeEach(() => {
  connect.vaults = [{ id: vaultId, name: "agents", items: [good] }];
  connect.misbehave = undefined;
  connect.requests.length = 0;
});

const folder = directoryOf({
  "tools/warehouse/pyproject.toml": pageBlock,
});
const ca = makeCa({ notAfter: new Date(Date.now() + 365 * 86_400_000) });
writeFileSync(join(folder, "ca.crt"), ca.certPem);
writeFileSync(join(folder, "ca.key"), ca.keyPem, { mode: 0o600 });

/** Paths in the configuration are the folder's. */
function configured(text: string): string {
  return text.replaceAll(/\b(ca\.crt|ca\.key|tools)\b(?=[,\] }])/g, (name) =>
    JSON.stringify(join(folder, name)),
  );
}

let files = 0;
function fileOf(text: string): string {
  const path = join(folder, `proxy-${++files}.yaml`);
  writeFileSync(path, configured(text));
  return path;
}

const standard = fileOf(`
tls: { ca_cert: ca.crt, ca_key: ca.key }
tools: { directories: [tools] }
transforms:
  - { name: allowlist, config: { domains: ["${host}", other.example.com] } }
`);

function environment(more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  return {
    FIREWALL_MANAGER_SECRET_SOURCE: "onepassword-connect",
    OP_VAULT: "agents",
    OP_CONNECT_HOST: connect.url,
    OP_CONNECT_TOKEN: connect.token,
    ...more,
  };
}

async function checksOf(options: Partial<VerifyOptions> = {}): Promise<readonly Check[]> {
  const checks = await verify({
    file: standard,
    directories: [],
    requests: [],
    env: environment(),
    timeoutMs: 5000,
    ...options,
  });
  const text = JSON.stringify(checks);
  assert.ok(!text.includes("canary"), "I14: the credential");
  assert.ok(!text.includes(connect.token), "I14: the token");
  return checks;
}

/** The one that did not go well; fails where there is not exactly one. */
function onlyFailure(checks: readonly Check[]): Check {
  const failures = checks.filter(({ status }) => status === "fail");
  assert.equal(failures.length, 1, JSON.stringify(failures, undefined, 2));
  return failures[0] as Check;
}

function find(checks: readonly Check[], subject: string): Check {
  const found = checks.find((check) => check.subject === subject);
  assert.ok(found, `${subject} is not among ${checks.map((check) => check.subject).join(", ")}`);
  return found;
}

function request(url: string, ...headers: string[]): VerifyOptions["requests"][number] {
  return { method: "GET", url, headers, data: undefined, caller: undefined };
}

const carrying = request(`https://${host}/v1`, "Authorization: Bearer WAREHOUSE_API_KEY");

test("K1: with everything in order every check is well, in the order of the page", async () => {
  const checks = await checksOf({ requests: [carrying] });
  assert.deepEqual(
    checks.map(({ status, kind, subject }) => `${status} ${kind} ${subject}`),
    [
      "ok configuration configuration",
      "ok mode mode",
      "ok vault vault",
      "ok variable OP_CONNECT_HOST",
      "ok variable OP_CONNECT_TOKEN",
      "ok ca CA",
      "ok connect Connect",
      'ok vault vault "agents"',
      "ok credential WAREHOUSE_API_KEY",
      `ok request GET https://${host}/v1`,
    ],
  );
  assert.match(find(checks, "CA").message, /matches its key and is valid until \d{4}-\d\d-\d\d$/);
  assert.match(
    checks.at(-1)?.message ?? "",
    /with credential op:\/\/agents\/WAREHOUSE_API_KEY\/credential in header Authorization$/,
  );
});

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

describe("CA and configuration", () => {
  const other = makeCa();
  const expired = makeCa({
    notBefore: new Date(Date.now() - 7_200_000),
    notAfter: new Date(Date.now() - 3_600_000),
  });
  for (const [what, cert, key, message] of [
    ["a key of another CA", ca.certPem, other.keyPem, /does not belong to/],
    ["a certificate that has expired", expired.certPem, expired.keyPem, /expired on/],
    ["a certificate that is none", "nothing", ca.keyPem, /holds no PEM block/],
  ] as const) {
    test(what, async () => {
      const own = directoryOf({ "ca.crt": cert, "ca.key": key });
      const tls = { ca_cert: join(own, "ca.crt"), ca_key: join(own, "ca.key") };
      const file = fileOf(JSON.stringify({ tls, tools: { directories: [join(folder, "tools")] } }));
      const { kind, message: said } = onlyFailure(await checksOf({ file }));
      assert.equal(kind, "ca");
      assert.match(said, message);
    });
  }

  test("a certificate that is about to expire is a warning", async () => {
    const short = makeCa();
    const own = directoryOf({ "ca.crt": short.certPem, "ca.key": short.keyPem });
    const tls = { ca_cert: join(own, "ca.crt"), ca_key: join(own, "ca.key") };
    const file = fileOf(JSON.stringify({ tls, tools: { directories: [join(folder, "tools")] } }));
    const checks = await checksOf({ file });
    assert.ok(
      checks.some(
        ({ kind, status, message }) =>
          kind === "ca" && status === "warn" && /expires within a day/.test(message),
      ),
    );
  });

  test("a file that is not there is one failure, and a broken one does not keep the rest from being checked", async () => {
    assert.match(onlyFailure(await checksOf({ file: join(folder, "none.yaml") })).message, /no such file/);
    const file = fileOf(
      "tls: { ca_cert: ca.crt, ca_key: ca.key }\ntools: { directories: [tools] }\nlogg: {}\n",
    );
    const checks = await checksOf({ file, requests: [carrying] });
    assert.match(onlyFailure(checks).message, /logg/);
    assert.equal(find(checks, "WAREHOUSE_API_KEY").status, "ok");
  });

  test("a tool with a mistake is a failure, and the others are checked", async () => {
    const tools = directoryOf({ "bad/pyproject.toml": "[tool.centaur]\nsecrets = [3]\n" });
    mkdirSync(join(tools, "warehouse"));
    copyFileSync(join(folder, "tools/warehouse/pyproject.toml"), join(tools, "warehouse/pyproject.toml"));
    const checks = await checksOf({ directories: [tools] });
    const { kind, subject, message } = onlyFailure(checks);
    assert.deepEqual([kind, subject], ["declaration", "bad"]);
    assert.match(message, /bad\/pyproject\.toml:2:\d+: .*; the tool is left out$/);
    assert.equal(find(checks, "WAREHOUSE_API_KEY").status, "ok");
  });

  test("an optional credential that is not there is a warning", async () => {
    const tools = directoryOf({ "a/pyproject.toml": pageBlock.replace("secrets", "optional_secrets") });
    connect.vaults = [{ id: vaultId, name: "agents", items: [] }];
    const { status, message } = find(await checksOf({ directories: [tools] }), "WAREHOUSE_API_KEY");
    assert.equal(status, "warn");
    assert.match(message, /not found in vault "agents" \(optional: its tool works without\)$/);
  });

  test("credentials are read once each, however many tools declare them", async () => {
    const tools = directoryOf({ "a/pyproject.toml": pageBlock, "b/pyproject.toml": pageBlock });
    const checks = await checksOf({ directories: [tools] });
    assert.equal(checks.filter(({ kind }) => kind === "credential").length, 1);
    assert.equal(connect.requests.filter((path) => /items\/[^?]+$/.test(path)).length, 1);
  });
});

describe("requests", () => {
  test("the placeholder in Basic credentials counts as there", async () => {
    const payload = Buffer.from("user:WAREHOUSE_API_KEY").toString("base64");
    const asked = request(`https://${host}/`, `Authorization: Basic ${payload}`);
    assert.equal((await checksOf({ requests: [asked] })).at(-1)?.status, "ok");
  });

  test("a request without a placeholder is told which one is wanted", async () => {
    const { cause, hint } = onlyFailure(await checksOf({ requests: [request(`https://${host}/`)] }));
    assert.equal(cause, "match");
    assert.match(hint ?? "", /WAREHOUSE_API_KEY wants "WAREHOUSE_API_KEY" \(match_headers: Authorization\)$/);
  });

  test("a host of no entry and of no allowlist", async () => {
    const { cause, message } = onlyFailure(
      await checksOf({ requests: [request("https://nowhere.example/")] }),
    );
    assert.equal(cause, "policy");
    assert.match(message, /403 host_not_allowed/);
  });

  test("a header that header_allowlist takes out again", async () => {
    const file = fileOf(`
tls: { ca_cert: ca.crt, ca_key: ca.key }
tools: { directories: [tools] }
transforms:
  - { name: header_allowlist, config: { headers: [Accept] } }
`);
    const { cause, message, hint } = onlyFailure(await checksOf({ file, requests: [carrying] }));
    assert.equal(cause, "header_allowlist");
    assert.equal(message, "Authorization gets the credential and is then removed by header_allowlist");
    assert.match(hint ?? "", /tools\.allow_headers/);
  });

  test("no value of a header and no query is printed", async () => {
    const asked = request(
      `https://${host}/?q=sk-canary`,
      "Authorization: Bearer WAREHOUSE_API_KEY sk-canary",
    );
    assert.equal((await checksOf({ requests: [asked] })).at(-1)?.status, "ok");
  });
});

describe("the command", () => {
  const env = () => environment({ PATH: process.env["PATH"] });

  test("prints a check list, and 0 when all is well", async () => {
    const { code, stdout, stderr } = await run(["verify", "--config", standard], { env: env() });
    assert.equal(code, 0);
    assert.equal(stderr, "");
    assert.match(stdout, /^ok {4}mode {15}onepassword-connect, by FIREWALL_MANAGER_SECRET_SOURCE$/m);
    assert.match(stdout, /^9 checks, none failed$/m);
  });

  test("says what to do below what failed, and exits 1", async () => {
    connect.vaults = [];
    const { code, stdout } = await run(["verify", "--config", standard], { env: env() });
    assert.equal(code, 1);
    assert.match(stdout, /^FAIL {2}vault "agents" .*\n {10,}-> set OP_VAULT .*it can read no vault$/m);
    assert.match(stdout, /^9 checks, 1 failed, 1 skipped$/m);
  });

  test("--json", async () => {
    const { stdout } = await run(["verify", "--json", "--config", standard], { env: env() });
    const data = JSON.parse(stdout) as { ok: boolean; failed: number; checks: Record<string, unknown>[] };
    assert.deepEqual([data.ok, data.failed], [true, 0]);
    assert.deepEqual(Object.keys(data.checks[0] ?? {}), [
      "kind",
      "subject",
      "status",
      "message",
      "cause",
      "hint",
    ]);
  });

  test("without a configuration it takes directories, from the command line or TOOL_DIRS", async () => {
    const home = directoryOf({});
    const more = { ...env(), XDG_STATE_HOME: home };
    const { code, stdout } = await run(["verify", join(folder, "tools")], { env: more });
    assert.equal(code, 0, stdout);
    assert.match(stdout, /none yet; the proxy makes .*ca\.crt when it starts/);
    const listed = await run(["verify"], { env: { ...more, TOOL_DIRS: join(folder, "tools") } });
    assert.equal(listed.code, 0, listed.stdout);
  });

  for (const [args, message] of [
    [[], /name a configuration with --config, or a directory of tools/],
    [["--config", standard, "--request", "https://a.example/"], /write method and URL in one argument/],
    [["--config", standard, "--request", "GET a.example"], /must begin with https:\/\/ or http:\/\//],
    [["--config", standard, "-H", "A: b"], /add --request/],
    [["--config", standard, "--timeout", "ten"], /at most 10m/],
  ] as const) {
    test(`exits 2 for ${args.slice(2).join(" ") || "nothing to verify"}`, async () => {
      const { code, stderr } = await run(["verify", ...args], { env: env() });
      assert.equal(code, 2);
      assert.match(stderr, message);
    });
  }
});
