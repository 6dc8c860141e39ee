// `sallyport tools`: rows C7, F2, G1 to G4 on the command line.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { formatIssue } from "../../src/config/issues.ts";
import { loadConfig } from "../../src/config/load.ts";
import { run } from "../helpers/cli.ts";
import { directoryOf, pageBlock, simple } from "../tools/support.ts";

const root = directoryOf({
  "warehouse/pyproject.toml": `[project]\ndescription = "Asks"\n${pageBlock}`,
  "maps/pyproject.toml": `[tool.centaur]\nsecrets = [
  { name = "MAPS_KEY", mode = "inject", inject_query_param = "key", hosts = ["maps.example"] },
  { type = "pg_dsn", name = "MAPS_DSN", database = "maps" },
]\noptional_secrets = [{ type = "gcp_auth", name = "GCP" }]\n`,
});
const bad = directoryOf({
  "bad/pyproject.toml": "[tool.centaur]\nsecrets = [3]\n",
  "good/pyproject.toml": simple("GOOD_KEY"),
});
const broad = directoryOf({ "broad/pyproject.toml": simple("BROAD_KEY", "*.com") });

const base = `# our policy
tls: { ca_cert: ca.crt, ca_key: ca.key }
transforms:
  # reachable at all
  - name: allowlist
    config: { domains: ["*"] }
  - name: secrets
    config: { secrets: [] }
  - name: header_allowlist
    config:
      headers: [authorization]
postgres: []
`;
const file = join(root, "base.yaml");
writeFileSync(file, base);

test("list: one row for each secret, with hosts, places and the reference", async () => {
  const { stdout, stderr, code } = await run([
    "tools",
    "list",
    "--source",
    "onepassword",
    "--harness",
    "codex",
    root,
  ]);
  assert.equal(
    stdout,
    `TOOL       SECRET             TYPE          HOSTS                           PLACES                REFERENCE
maps       MAPS_KEY           http inject   maps.example                    query:key             op://ai-agents/MAPS_KEY/credential
maps       MAPS_DSN           pg_dsn        not supported yet               -                     op://ai-agents/MAPS_DSN/credential
maps       GCP (optional)     gcp_auth      *.googleapis.com                header:Authorization  op://ai-agents/GCP/credential
warehouse  WAREHOUSE_API_KEY  http replace  warehouse.internal.example.com  header:Authorization  op://ai-agents/WAREHOUSE_API_KEY/credential
(harness)  OPENAI_API_KEY     http replace  api.openai.com                  header:Authorization  op://ai-agents/OPENAI_API_KEY/credential
`,
  );
  assert.match(stderr, /maps\/pyproject\.toml:4:12: warning: tool maps: MAPS_DSN: .*not supported yet/);
  assert.match(stderr, /^2 tools, 1 harness credential: 1 warning$/m);
  assert.equal(code, 0);
});

test("check: says what is wrong, where, and exits 1; the others are counted", async () => {
  const { stdout, code } = await run(["tools", "check", bad]);
  assert.equal(
    stdout,
    `${bad}/bad/pyproject.toml:2:12: tool bad is left out: secrets[0]: must be a table or a name, not a number\n1 tool: 1 error\n`,
  );
  assert.equal(code, 1);
  assert.equal((await run(["tools", "list", bad])).code, 1);
});

test("C7: a host that is too broad is a warning, and an error with --strict", async () => {
  const plain = await run(["tools", "check", broad]);
  assert.match(plain.stdout, /warning: tool broad: BROAD_KEY: hosts: host "\*\.com" is every name under com/);
  assert.equal(plain.code, 0);
  assert.equal((await run(["tools", "check", "--strict", broad])).code, 1);
});

test("--json: the documented shape", async () => {
  const { stdout, code } = await run(["tools", "check", "--json", bad]);
  assert.deepEqual(JSON.parse(stdout), {
    ok: false,
    errors: 1,
    warnings: 0,
    source: "env",
    vault: "ai-agents",
    ttl: "10m",
    directories: [bad],
    tools: [
      {
        name: "good",
        harness: false,
        file: join(bad, "good/pyproject.toml"),
        description: null,
        secrets: [
          {
            name: "GOOD_KEY",
            type: "http",
            mode: "replace",
            optional: false,
            supported: true,
            hosts: ["api.example.com"],
            places: ["header:Authorization"],
            placeholder: "GOOD_KEY",
            references: { secret_ref: "GOOD_KEY" },
            line: 2,
          },
        ],
      },
    ],
    problems: [
      {
        severity: "error",
        file: join(bad, "bad/pyproject.toml"),
        line: 2,
        column: 12,
        tool: "bad",
        entry: "secrets[0]",
        key: null,
        message: "must be a table or a name, not a number",
      },
    ],
  });
  assert.equal(code, 1);
});

test("directories come from TOOL_DIRS where none is named; without any it is wrong usage", async () => {
  assert.match((await run(["tools", "list"], { env: { TOOL_DIRS: root } })).stdout, /WAREHOUSE_API_KEY/);
  const { stderr, code } = await run(["tools", "check"]);
  assert.deepEqual([stderr, code], ["error: name a directory of tools, or set TOOL_DIRS\n", 2]);
});

test("A4: an unknown mode is refused with the three names, and nothing is rendered", async () => {
  for (const command of ["list", "check", "render"]) {
    const { stdout, stderr, code } = await run(["tools", command, "--source", "onepassword_connect", root]);
    assert.match(stdout + stderr, /--source: .*must be "env", "onepassword" or "onepassword-connect"/);
    assert.equal(code, 1);
    if (command === "render") assert.equal(stdout, "");
  }
});

test("a directory that is not there is an error by its name", async () => {
  const { stdout, stderr, code } = await run(["tools", "render", "/nowhere"]);
  assert.match(stderr, /^\/nowhere: cannot read this directory of tools: it does not exist$/m);
  assert.deepEqual([stdout, code], ["", 1]);
});

test("G1, G2: render puts declarations into the base, keeps its comments, and gives way to nothing else", async () => {
  const { stdout, stderr, code } = await run(["tools", "render", "--base", file, root]);
  assert.equal(
    stdout,
    `# our policy
tls: { ca_cert: ca.crt, ca_key: ca.key }
transforms:
  # reachable at all
  - name: allowlist
    config: { domains: [ "*" ] }
  - name: secrets
    config:
      secrets:
        - source:
            type: env
            var: MAPS_KEY
          inject:
            query_param: key
          rules:
            - host: maps.example
        - source:
            type: env
            var: WAREHOUSE_API_KEY
          replace:
            proxy_value: WAREHOUSE_API_KEY
            match_headers:
              - Authorization
          rules:
            - host: warehouse.internal.example.com
  - name: gcp_auth
    config:
      keyfile:
        type: env
        var: GCP
      scopes:
        - https://www.googleapis.com/auth/cloud-platform
      rules:
        - host: "*.googleapis.com"
  - name: header_allowlist
    config:
      headers: [ authorization ]
`,
  );
  assert.match(stderr, /base\.yaml: note: transforms\[1\] \(secrets\) gives way to what is rendered/);
  assert.match(stderr, /base\.yaml: note: postgres is taken out/);
  assert.equal(code, 0);
});

/** Lets the header of the harness pass, which the base takes away. */
const withApiKey = ["--base", file, "--harness", "claude-code", "--allow-header", "X-Api-Key"];

async function rendered(...args: string[]): Promise<string> {
  const { stdout, stderr, code } = await run(["tools", "render", ...args]);
  assert.equal(code, 0, stderr);
  return stdout;
}

test("G1: the same bytes each time, and again when the result is the base", async () => {
  const first = await rendered("--base", file, "--harness", "codex,amp", root);
  assert.equal(await rendered("--base", file, "--harness", "codex,amp", root), first);
  const again = join(root, "rendered.yaml");
  writeFileSync(again, first);
  assert.equal(await rendered("--base", again, "--harness", "codex,amp", root), first);
});

test("G1: the hash is that of the configuration", async () => {
  const text = await rendered("--base", file, root);
  const hash = createHash("sha256").update(text).digest("hex");
  assert.equal(await rendered("--hash", "--base", file, root), `${hash}\n`);
  assert.notEqual(await rendered("--hash", "--base", file, "--harness", "amp", root), `${hash}\n`);
});

test("G3: the rendered file loads, and is warned of only for what its base has", async () => {
  for (const more of [[], ["--callers"], ["--source", "onepassword-connect", "--ttl", "1h"]]) {
    const text = await rendered(...withApiKey, ...more, root);
    const { stdout, code } = await run(["check", "-"], { stdin: text });
    const warning = '<stdin>:6:26: warning: host "*" matches every host; name the hosts that are needed';
    assert.equal(stdout, `${warning}\n<stdin>: 1 warning\n`);
    assert.equal(code, 0);
    assert.equal(text.includes("tools:"), more.includes("--callers"));
  }
});

test("without a base: the transforms alone, which load with a CA from the environment", async () => {
  const text = await rendered(root);
  assert.match(text, /^transforms:\n {2}- name: secrets\n/);
  const env = { SALLYPORT_TLS_CA_CERT: "ca.crt", SALLYPORT_TLS_CA_KEY: "ca.key" };
  const { config, issues } = loadConfig({ text, env });
  assert.ok(config, issues.map(formatIssue).join("\n"));
});

test("a base with a tools section is written out: the section goes, what is written beside it stays", async () => {
  const section = join(root, "section.yaml");
  const own =
    "{ source: { type: env, var: OWN }, inject: { header: X-Own }, rules: [{ host: own.example }] }";
  writeFileSync(
    section,
    `tools: { directories: ["${root}"] }\ntransforms:\n  - { name: secrets, config: { secrets: [${own}] } }\n`,
  );
  const text = await rendered("--base", section);
  assert.doesNotMatch(text, /^tools:/m);
  const written = loadConfig({ text, env: {} }).draft?.transforms ?? [];
  const expanded = loadConfig({ file: section, env: {} }).draft?.transforms ?? [];
  assert.deepEqual(withoutTools(written), withoutTools(expanded));
});

/** Entries as plain data, without the key that only callers need. */
function withoutTools(entries: readonly { name: string; config: unknown }[]): unknown {
  const text = JSON.stringify(entries.map(({ name, config }) => ({ name, config })));
  return JSON.parse(text.replaceAll(/,"tools":\[[^\]]*\]/g, ""));
}

test("G4: the base's header filter is compared, and --allow-header adds to it", async () => {
  const { stdout } = await run(["tools", "check", "--base", file, "--harness", "claude-code", root]);
  assert.match(
    stdout,
    /harness ANTHROPIC_API_KEY: header_allowlist removes X-Api-Key, .*add the line "- X-Api-Key"/,
  );
  const mended = await run(["tools", "check", ...withApiKey, root]);
  assert.doesNotMatch(mended.stdout, /removes/);
  const text = await rendered(...withApiKey, root);
  assert.match(text, /headers: \[ authorization, X-Api-Key \]/);
});

test("--shaped: placeholders that look like keys, the same each time", async () => {
  const text = await rendered("--harness", "codex", "--shaped", root);
  assert.match(text, /proxy_value: sk-proj-\w{48}\n/);
  assert.equal(await rendered("--harness", "codex", "--shaped", root), text);
});

test("F2: a gateway for all, or for one by name", async () => {
  assert.match(
    await rendered("--harness", "codex", "--gateway", "llm.internal", root),
    /host: llm\.internal/,
  );
  const one = await rendered("--harness", "codex,amp", "--gateway", "amp=amp.internal", root);
  assert.match(one, /host: amp\.internal/);
  assert.match(one, /host: api\.openai\.com/);
  const both = await run(["tools", "render", "--gateway", "a", "--gateway", "codex=b", root]);
  assert.equal(both.code, 2);
});

test("a bad tool does not keep render from printing the others, and exits 1", async () => {
  const { stdout, stderr, code } = await run(["tools", "render", bad]);
  assert.match(stdout, /GOOD_KEY/);
  assert.match(stderr, /tool bad is left out/);
  assert.equal(code, 1);
});

test("an anchor in what is taken out is told, not left dangling", async () => {
  const text =
    "transforms:\n  - name: secrets\n    config: &all { secrets: [] }\n  - { name: annotate, config: *all }\n";
  const { stdout, stderr, code } = await run(["tools", "render", "--base", "-", root], { stdin: text });
  assert.match(stderr, /<stdin>: an anchor stands in a transform that is taken out/);
  assert.deepEqual([stdout, code], ["", 1]);
});

test("a base that is broken or missing is told", async () => {
  const broken = await run(["tools", "render", "--base", "-", root], { stdin: "transforms: [" });
  assert.match(broken.stderr, /^<stdin>:1:14: not valid YAML/m);
  assert.deepEqual([broken.stdout, broken.code], ["", 1]);
  const missing = await run(["tools", "render", "--base", "/nowhere.yaml", root]);
  assert.deepEqual([missing.stderr, missing.code], ["error: --base /nowhere.yaml: no such file\n", 1]);
});
