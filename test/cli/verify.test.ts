// `sallyport verify`: the checks of the page "Use 1Password", each with what goes wrong in it (K1).
import assert from "node:assert/strict";
import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { run } from "../helpers/cli.ts";
import { makeCa } from "../helpers/pki.ts";
import { directoryOf, pageBlock } from "../tools/support.ts";
import {
  ca,
  carrying,
  checksOf,
  connect,
  environment,
  fileOf,
  find,
  folder,
  host,
  onlyFailure,
  request,
  standard,
  vaultId,
} from "./verify-support.ts";

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
