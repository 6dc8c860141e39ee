import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { parseEnv } from "node:util";
import { X509Certificate } from "node:crypto";
import { callerGate } from "../../src/callers/gate.ts";
import { shapedFor } from "../../src/tools/shaped.ts";
import { toolsFolder } from "../api/support.ts";
import { basic, keysOf, newKey } from "../callers/support.ts";
import { Canary } from "../e2e/harness/canary.ts";
import { run } from "../helpers/cli.ts";
import { makeCa } from "../helpers/pki.ts";

const key = newKey();
const signing = { SANDBOX_SIGNING_KEY: key };
const folder = mkdtempSync(join(tmpdir(), "sallyport-sandbox-"));
const tools = toolsFolder({
  search: '{ name = "SEARCH_KEY", mode = "inject", inject_header = "X-Key", hosts = ["search.example.com"] }',
  crm: '{ name = "CRM_KEY", secret_ref = "CRM_REFERENCE", replacer = "crm-placeholder", match_headers = ["Authorization"], hosts = ["crm.example.com"] }',
  google: '{ name = "GOOGLE_JSON", type = "gcp_auth" }',
});
after(() => {
  tools.remove();
  rmSync(folder, { recursive: true });
});
const ca = makeCa();
writeFileSync(join(folder, "both.pem"), `${ca.keyPem}${ca.certPem}`);

function configFile(more = "", toolsSection = `directories: [${tools.path}], harnesses: [codex]`): string {
  const path = join(folder, `${newKey().slice(0, 8)}.yaml`);
  writeFileSync(
    path,
    `proxy: {tunnel_listen: "0.0.0.0:18080"${more}}
tls: {ca_cert: ${folder}/both.pem, ca_key: /not/here}
management: {listen: "127.0.0.1:9"}
tools: {${toolsSection}}
transforms:
  - name: secrets
    config:
      secrets:
        - {source: {type: env, var: OWN_KEY}, replace: {proxy_value: own-placeholder}, rules: [{host: own.example.com}]}
        - {source: {type: env, var: MAIL_KEY}, inject: {header: X-Key}, rules: [{host: mail.example.com, tools: [mail]}]}
        - {source: {type: 1password, secret_ref: op://vault/ITEM_KEY/credential}, replace: {proxy_value: item-placeholder}, rules: [{host: item.example.com}]}
        - {source: {type: file, path: /secret}, replace: {proxy_value: FILE_KEY}, rules: [{host: file.example.com}]}
        - {source: {type: file, path: /secret}, replace: {proxy_value: a-file-placeholder}, rules: [{host: file.example.com}]}
`,
  );
  return path;
}

async function env(...args: string[]): Promise<Record<string, string>> {
  const { code, stdout, stderr } = await run(["sandbox", "env", "--format", "json", ...args], {
    env: signing,
  });
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as Record<string, string>;
}

test("token: prints a token that the proxy takes, alone on its line", async () => {
  const { code, stdout, stderr } = await run(
    ["sandbox", "token", "--name", "sandbox-41", "--tools", "search, crm", "--ttl", "30m"],
    { env: signing },
  );
  assert.deepEqual([code, stderr], [0, ""]);
  assert.match(stdout, /^sbx1\.[\w-]+\.[\w-]{43}\n$/);
  const caller = callerGate({ keys: keysOf(key), required: true }).authenticate(basic(stdout.trim()));
  assert.ok(typeof caller === "object");
  assert.deepEqual([caller.name, caller.tools], ["sandbox-41", ["crm", "search"]]);
  assert.ok(Math.abs((caller.proof?.expiresAt ?? 0) - Date.now() - 1_800_000) < 5000);
});

test("token: as JSON with its end", async () => {
  const { stdout } = await run(["sandbox", "token", "--name", "a", "--json"], { env: signing });
  const { name, tools, token, expires_at: end } = JSON.parse(stdout) as Record<string, string | null>;
  assert.deepEqual([name, tools], ["a", null]);
  assert.ok(
    typeof callerGate({ keys: keysOf(key), required: true }).authenticate(`Bearer ${token}`) === "object",
  );
  assert.ok(Math.abs(Date.parse(String(end)) - Date.now() - 7_200_000) < 5000, "two hours");
});

for (const [what, args, environment, code, message] of [
  ["no name", ["token"], signing, 2, /--name is required/],
  ["a bad name", ["token", "--name", "a b"], signing, 2, /the name of a sandbox is/],
  ["a bad ttl", ["token", "--name", "a", "--ttl", "soon"], signing, 2, /Write a duration such as 30m/],
  [
    "a ttl of a year",
    ["token", "--name", "a", "--ttl", "8760h"],
    signing,
    2,
    /from 1 to 2592000 \(30 days\)/,
  ],
  ["an empty tool", ["token", "--name", "a", "--tools", "a,,b"], signing, 2, /Write names with commas/],
  [
    "no key",
    ["token", "--name", "a"],
    {},
    1,
    /SANDBOX_SIGNING_KEY is not set; it has to be the key that the proxy has/,
  ],
  [
    "a short key",
    ["token", "--name", "a"],
    { SANDBOX_SIGNING_KEY: "hush-hush" },
    1,
    /holds fewer than 32 bytes/,
  ],
  ["a variable without a value", ["env", "--set", "A"], signing, 2, /--set number 1: write NAME=VALUE/],
  ["a variable with a bad name", ["env", "--set", "A-B=1"], signing, 2, /--set number 1/],
  ["a proxy that is no URL", ["env", "--proxy", "proxy:8080"], signing, 2, /write http:\/\/HOST:PORT/],
  ["a proxy with a user", ["env", "--proxy", "http://me:hush-hush@proxy:8080"], signing, 2, /without a user/],
  ["a relative path", ["env", "--ca", "ca.pem"], signing, 2, /write the whole path/],
  ["token and name", ["env", "--name", "a", "--token", "b"], signing, 2, /not both/],
  ["what is no token", ["env", "--token", "hush-hush x"], signing, 2, /this is no token/],
  [
    "an unknown format",
    ["env", "--format", "xml"],
    signing,
    2,
    /Allowed choices are shell, dotenv, json, k8s, docker/,
  ],
  [
    "an unknown tool",
    ["env", tools.path, "--tools", "serch"],
    signing,
    2,
    /no tool "serch"; did you mean "search"\?/,
  ],
  [
    "a directory that is not there",
    ["env", "/not/here"],
    signing,
    1,
    /\/not\/here: cannot read this directory/,
  ],
  [
    "an unknown harness",
    ["env", "--harness", "codecs"],
    signing,
    1,
    /unknown harness "codecs"; did you mean "codex"/,
  ],
  [
    "a line break for docker",
    ["env", "--format", "docker", "--set", "A=hush\nhush"],
    signing,
    1,
    /A: a file for docker/,
  ],
] as const) {
  test(`refuses ${what}, and shows no value`, async () => {
    const result = await run(["sandbox", ...args], { env: environment });
    assert.equal(result.code, code, result.stderr);
    assert.match(result.stderr, message);
    assert.equal(result.stdout, "");
    assert.doesNotMatch(result.stderr, /hush-hush|hush\nhush/);
  });
}

test("D1 D2: the environment has placeholders of tools and harnesses, and the way to the proxy", async () => {
  const all = await env(
    tools.path,
    "--harness",
    "codex",
    "--no-proxy",
    "api,db",
    "--no-proxy",
    "api",
    "--set",
    "A=b=c",
  );
  assert.equal(all["CRM_KEY"], "crm-placeholder");
  assert.equal(all["SEARCH_KEY"], "SEARCH_KEY", "T67: also where the proxy sets the header itself");
  assert.equal(all["OPENAI_API_KEY"], "OPENAI_API_KEY");
  assert.equal(all["GOOGLE_JSON"], undefined, "nothing stands for a minted token");
  assert.equal(all["https_proxy"], "http://127.0.0.1:8080");
  assert.equal(all["NO_PROXY"], "localhost,127.0.0.1,::1,[::1],api,db");
  assert.equal(all["A"], "b=c");
  assert.equal(all["SSL_CERT_FILE"], "/etc/sallyport/ca-bundle.pem");
});

test("harnesses are named one by one or in a list", async () => {
  const { OPENAI_API_KEY, GITHUB_TOKEN, AMP_API_KEY } = await env(
    "--harness",
    "codex,GITHUB_TOKEN",
    "--harness",
    "amp",
  );
  assert.deepEqual(
    [OPENAI_API_KEY, GITHUB_TOKEN, AMP_API_KEY],
    ["OPENAI_API_KEY", "GITHUB_TOKEN", "AMP_API_KEY"],
  );
});

test("directories come from TOOL_DIRS where none is named", async () => {
  const { stdout } = await run(["sandbox", "env", "--format", "dotenv"], { env: { TOOL_DIRS: tools.path } });
  assert.equal(parseEnv(stdout)["CRM_KEY"], "crm-placeholder");
});

test("with the proxy's configuration: its tools, its own entries, its listener", async () => {
  const file = configFile();
  const { stdout, stderr, code } = await run(["sandbox", "env", "--config", file, "--format", "json"], {
    env: {},
  });
  assert.equal(code, 0, stderr);
  const all = JSON.parse(stdout) as Record<string, string>;
  const { CRM_KEY, OPENAI_API_KEY, OWN_KEY, MAIL_KEY, ITEM_KEY, FILE_KEY, HTTPS_PROXY } = all;
  assert.deepEqual(
    [CRM_KEY, OPENAI_API_KEY, OWN_KEY, MAIL_KEY, ITEM_KEY, FILE_KEY],
    ["crm-placeholder", "OPENAI_API_KEY", "own-placeholder", "MAIL_KEY", "item-placeholder", "FILE_KEY"],
  );
  assert.equal(HTTPS_PROXY, "http://127.0.0.1:18080");
  assert.match(stderr, /transforms\[0\]\.config\.secrets\[4\]: no variable is known for its placeholder/);
});

test("--tools leaves what other tools declare out, and what no tool does", async () => {
  const file = configFile();
  const limited = await env("--config", file, "--tools", "search,mail", "--name", "a");
  const held = Object.keys(limited).filter((name) => name.endsWith("_KEY"));
  assert.deepEqual(held.sort(), ["MAIL_KEY", "SEARCH_KEY"]);
});

test("says when a token is needed and there is none", async () => {
  const file = configFile(", require_caller: true");
  const without = await run(["sandbox", "env", "--config", file], { env: {} });
  assert.match(without.stderr, /without --name or --token, every request is 407/);
  const limited = await run(["sandbox", "env", "--config", configFile(), "--tools", "crm"], { env: {} });
  assert.match(limited.stderr, /only a token limits the sandbox/);
  const withName = await run(["sandbox", "env", "--config", file, "--name", "a"], { env: signing });
  assert.doesNotMatch(withName.stderr, /407/);
});

test("puts a token into the proxy's URL: a new one, one that is given, one from standard input", async () => {
  const url = (await env("--proxy", "https://proxy.internal", "--name", "a"))["HTTPS_PROXY"] ?? "";
  const [, token = ""] = /^https:\/\/sbx:(sbx1\.[\w.-]+)@proxy\.internal:443$/.exec(url) ?? [];
  assert.ok(typeof callerGate({ keys: keysOf(key), required: true }).authenticate(basic(token)) === "object");
  assert.equal((await env("--token", token))["HTTPS_PROXY"], `http://sbx:${token}@127.0.0.1:8080`);
  const { stdout } = await run(["sandbox", "env", "--format", "json", "--token", "-"], {
    stdin: `${token}\n`,
  });
  assert.equal(JSON.parse(stdout).HTTPS_PROXY, `http://sbx:${token}@127.0.0.1:8080`);
  const { no_proxy: direct } = await env("--proxy", "http://[2001:db8::1]:8080");
  assert.equal(direct, "localhost,127.0.0.1,::1,[::1],2001:db8::1,[2001:db8::1]");
});

test("--shaped placeholders look like keys; a configuration decides for its own proxy", async () => {
  const shaped = await env(tools.path, "--harness", "codex", "--shaped");
  assert.match(shaped["OPENAI_API_KEY"] ?? "", /^sk-proj-[A-Za-z0-9]{48}$/);
  assert.equal(shaped["SEARCH_KEY"], shapedFor("SEARCH_KEY", ["search.example.com"]));
  assert.equal(shaped["CRM_KEY"], "crm-placeholder", "chosen by the declaration");
  const refused = await run(["sandbox", "env", "--config", configFile(), "--shaped"], { env: {} });
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /set tools\.placeholders: shaped there/);
  const section = `harnesses: [codex], placeholders: shaped`;
  assert.equal((await env("--config", configFile("", section)))["OPENAI_API_KEY"], shaped["OPENAI_API_KEY"]);
});

test("T59 L2: --write-ca writes the system's roots and the CA's certificate, never its key", async () => {
  const file = join(folder, "bundle.pem");
  const all = await env("--config", configFile(), "--write-ca", file);
  assert.equal(all["SSL_CERT_FILE"], file);
  const text = readFileSync(file, "utf8");
  assert.doesNotMatch(text, /PRIVATE KEY/);
  const [first = "", ...roots] =
    text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  assert.equal(new X509Certificate(first).fingerprint256, new X509Certificate(ca.certPem).fingerprint256);
  assert.ok(roots.length > 50);
  const named = await env(
    "--ca-cert",
    join(folder, "both.pem"),
    "--write-ca",
    file,
    "--ca",
    "/in/sandbox.pem",
  );
  assert.equal(named["CURL_CA_BUNDLE"], "/in/sandbox.pem");
  const missing = await run(
    ["sandbox", "env", "--ca-cert", "/not/here", "--write-ca", join(folder, "none.pem")],
    { env: {} },
  );
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /CA certificate \/not\/here cannot be read \(ENOENT\)/);
  assert.ok(!existsSync(join(folder, "none.pem")));
});

test("D3 I14: no format and no mode shows a value, though every variable holds one", async () => {
  const canary = new Canary();
  const names = [
    "SEARCH_KEY",
    "CRM_KEY",
    "CRM_REFERENCE",
    "GOOGLE_JSON",
    "OPENAI_API_KEY",
    "OWN_KEY",
    "MAIL_KEY",
    "ITEM_KEY",
    "OP_SERVICE_ACCOUNT_TOKEN",
    "OP_CONNECT_TOKEN",
    "IRON_MANAGEMENT_API_KEY",
    "SANDBOX_SIGNING_KEY",
    "FILE_KEY",
    "AWS_SECRET_ACCESS_KEY",
    "SANDBOX_SIGNING_KEY_PREVIOUS",
    "PATH",
    "HOME",
    "UNRELATED",
  ];
  const values = Object.fromEntries(names.map((name) => [name, canary.secret(name)]));
  for (const format of ["shell", "dotenv", "json", "k8s", "docker"]) {
    for (const mode of ["env", "onepassword", "onepassword-connect"]) {
      for (const more of [
        ["--config", configFile()],
        [tools.path, "--shaped"],
      ]) {
        const { code, stdout, stderr } = await run(
          ["sandbox", "env", "--format", format, "--name", "a", ...more],
          {
            env: { ...values, FIREWALL_MANAGER_SECRET_SOURCE: mode },
          },
        );
        assert.equal(code, 0, stderr);
        assert.match(stdout, /SEARCH_KEY/);
        canary.search(`${format} in mode ${mode}`, Buffer.from(stdout + stderr));
      }
    }
  }
  canary.check();
});

for (const [what, environment, args, message] of [
  [
    "a replacer that is the value",
    { CRM_KEY: "crm-placeholder" },
    [],
    /CRM_KEY: its placeholder is its value/,
  ],
  [
    "a placeholder that is the value of its reference",
    { CRM_REFERENCE: "crm-placeholder" },
    [],
    /CRM_KEY holds the value of CRM_REFERENCE/,
  ],
  [
    "a variable with a value in it",
    { CRM_KEY: "the-real-one" },
    ["--set", "A=Bearer the-real-one"],
    /A holds the value of CRM_KEY/,
  ],
  [
    "a variable that is a short value",
    { CRM_KEY: "real" },
    ["--set", "A=real"],
    /A holds the value of CRM_KEY/,
  ],
  ["the signing key", {}, ["--set", `A=${key}`], /A holds the value of SANDBOX_SIGNING_KEY/],
] as const) {
  test(`D3: refuses ${what}`, async () => {
    const result = await run(["sandbox", "env", tools.path, ...args], {
      env: { ...signing, ...environment },
    });
    assert.equal(result.code, 1);
    assert.match(result.stderr, message);
    assert.equal(result.stdout, "");
    assert.doesNotMatch(result.stderr, /the-real-one/);
    assert.ok(!result.stderr.includes(key));
  });
}

test("a variable that holds its own name is a sandbox's environment already, and no credential", async () => {
  const { code } = await run(["sandbox", "env", tools.path], { env: { SEARCH_KEY: "SEARCH_KEY" } });
  assert.equal(code, 0);
});

test("T16: a tool with a mistake is left out and named; the others stay", async () => {
  const mixed = toolsFolder({
    good: '{ name = "GOOD_KEY", match_headers = ["A"], hosts = ["a.example.com"] }',
    bad: '{ name = "BAD_KEY", mode = "nonsense", hosts = ["a.example.com"] }',
  });
  const { code, stdout, stderr } = await run(["sandbox", "env", mixed.path], { env: {} });
  mixed.remove();
  assert.equal(code, 0);
  assert.match(stdout, /^export GOOD_KEY=GOOD_KEY$/m);
  assert.doesNotMatch(stdout, /BAD_KEY/);
  assert.match(stderr, /bad\/pyproject\.toml:4:.*warning: .*mode/);
});

test("api: says which variable is missing before it listens", async () => {
  for (const [environment, message] of [
    [{}, /IRON_MANAGEMENT_API_KEY is not set/],
    [{ IRON_MANAGEMENT_API_KEY: "k" }, /SANDBOX_SIGNING_KEY is not set/],
    [
      { IRON_MANAGEMENT_API_KEY: "k", SANDBOX_SIGNING_KEY: "short" },
      /SANDBOX_SIGNING_KEY holds fewer than 32 bytes/,
    ],
    [{ IRON_MANAGEMENT_API_KEY: "k", ...signing }, /CA certificate \/not\/here cannot be read/],
  ] as const) {
    const args = ["api", "--listen", "127.0.0.1:0", "--ca-cert", "/not/here", "--tools-dir", tools.path];
    const { code, stderr } = await run(args, { env: environment });
    assert.equal(code, 1);
    assert.match(stderr, message);
  }
  const { code, stderr } = await run(["api", "--listen", "8000"], { env: {} });
  assert.deepEqual([code, /Write HOST:PORT or :PORT/.test(stderr)], [2, true]);
});
