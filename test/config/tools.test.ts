// The `tools:` section: what it stands for, where its values come from, and what is said about it.
import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { formatIssue } from "../../src/config/issues.ts";
import { loadConfig } from "../../src/config/load.ts";
import { buildTransforms } from "../../src/proxy/build-transforms.ts";
import { SourceRegistry } from "../../src/sources/registry.ts";
import { transformKinds } from "../../src/transforms/registry.ts";
import { ca } from "../helpers/config.ts";
import { directoryOf, simple } from "../tools/support.ts";

const root = directoryOf({ "warehouse/pyproject.toml": simple("WAREHOUSE_KEY", "warehouse.example") });

function load(section: string, env: NodeJS.ProcessEnv = {}, rest = "") {
  return loadConfig({ file: "p.yaml", text: `${ca}tools: ${section}\n${rest}`, env });
}

/** Issues of loading, and of building what was loaded. */
function issuesOf(section: string, env: NodeJS.ProcessEnv = {}, rest = ""): string[] {
  const { draft, locate, issues } = load(section, env, rest);
  assert.ok(draft);
  const sources = new SourceRegistry({ env, onWarning: assert.fail });
  const built = buildTransforms(draft, { kinds: transformKinds, sources, locate, file: "p.yaml" });
  return [...issues, ...built.issues].map(formatIssue);
}

/** Sources of the rendered secrets. */
function sources(section: string, env: NodeJS.ProcessEnv = {}): unknown[] {
  const { config, issues } = load(section, env);
  assert.ok(config, issues.map(formatIssue).join("\n"));
  return config.transforms.flatMap((entry) =>
    (entry.config as { secrets: { source: unknown }[] }).secrets.map(({ source }) => source),
  );
}

const reference = "op://ai-agents/WAREHOUSE_KEY/credential";

test("A1, A2, A3: each mode reads declared credentials from its own place", () => {
  const of = (mode: string) => sources(`{ directories: ["${root}"], source: ${mode} }`);
  assert.deepEqual(of("env"), [{ type: "env", var: "WAREHOUSE_KEY" }]);
  assert.deepEqual(of("onepassword"), [{ type: "1password", secret_ref: reference, ttl: "10m" }]);
  assert.deepEqual(of("onepassword-connect"), [
    { type: "1password_connect", secret_ref: reference, ttl: "10m" },
  ]);
});

test("Centaur's variables are the defaults, and what the section says wins", () => {
  const env = {
    TOOL_DIRS: root,
    OP_VAULT: "team",
    FIREWALL_MANAGER_SECRET_SOURCE: "onepassword",
    FIREWALL_MANAGER_SECRET_TTL: "1h",
  };
  assert.deepEqual(sources("{}", env), [
    { type: "1password", secret_ref: "op://team/WAREHOUSE_KEY/credential", ttl: "1h" },
  ]);
  assert.deepEqual(sources("{ source: onepassword-connect, vault: other, ttl: 5m }", env), [
    { type: "1password_connect", secret_ref: "op://other/WAREHOUSE_KEY/credential", ttl: "5m" },
  ]);
  const own = { ...env, SALLYPORT_TOOLS_SOURCE: "env" };
  assert.deepEqual(sources("{ source: onepassword }", own), [{ type: "env", var: "WAREHOUSE_KEY" }]);
});

test("without the section nothing is declared, whatever the variables say", () => {
  const { config, tools } = loadConfig({ text: ca, env: { TOOL_DIRS: root } });
  assert.deepEqual([config?.transforms, tools], [[], undefined]);
});

for (const [title, section, env, error] of [
  [
    "A4: an unknown mode, with the three names",
    "{ source: onepassword_connect }",
    {},
    'p.yaml:2:18: tools.source: unknown source mode "onepassword_connect"; must be "env", "onepassword" or "onepassword-connect"; did you mean "onepassword-connect"?',
  ],
  [
    "A4: an unknown mode in the variable",
    "{}",
    { FIREWALL_MANAGER_SECRET_SOURCE: "vault" },
    'p.yaml:2:1: FIREWALL_MANAGER_SECRET_SOURCE: unknown source mode "vault"; must be "env", "onepassword" or "onepassword-connect"',
  ],
  [
    "A5: a ttl that is no duration",
    "{ ttl: ten }",
    {},
    'p.yaml:2:15: tools.ttl: must be a duration such as 45s, 10m or 1h30m, or 0 for never; got "ten"',
  ],
  [
    "A5: a ttl without unit",
    "{ ttl: 600 }",
    {},
    'p.yaml:2:15: tools.ttl: must be a duration such as 45s, 10m or 1h30m, or 0 for never; got "600"',
  ],
  [
    "a vault that would be read as a path",
    "{ vault: a/b }",
    {},
    "p.yaml:2:17: tools.vault must be the name or id of a vault, without a slash or a question mark; use the id of such a vault",
  ],
  [
    "F2: an unknown harness",
    "{ harnesses: [codx] }",
    {},
    'p.yaml:2:22: unknown harness "codx"; did you mean "codex"?',
  ],
  [
    "F2: a gateway that is a URL",
    "{ gateway: 'https://llm/' }",
    {},
    'p.yaml:2:19: host "https://llm/": this is not a host alone; leave out the scheme and the path',
  ],
  [
    "F2: a gateway for nobody",
    "{ gateway: { codx: llm } }",
    {},
    'p.yaml:2:21: unknown harness "codx"; did you mean "codex"?',
  ],
  [
    "a key that is misspelt",
    "{ directoris: [] }",
    {},
    'p.yaml:2:10: unknown key "directoris" in tools; did you mean "directories"?',
  ],
] as const) {
  test(`refuses ${title}`, () => {
    const { config, issues } = load(section, { TOOL_DIRS: root, ...env });
    assert.equal(config, undefined);
    assert.deepEqual(issues.filter(({ severity }) => severity === "error").map(formatIssue), [error]);
  });
}

test("A5: a ttl of 0 means that a credential is read once", () => {
  const [source] = sources(`{ directories: ["${root}"], source: onepassword, ttl: 0 }`);
  assert.deepEqual(source, { type: "1password", secret_ref: reference, ttl: "0" });
});

test("a directory that is not there is an error; a tool that is wrong is a warning, and left out", () => {
  const missing = load('{ directories: ["/nowhere/tools"] }');
  assert.equal(missing.config, undefined);
  assert.deepEqual(missing.issues.map(formatIssue), [
    "/nowhere/tools: cannot read this directory of tools: it does not exist",
  ]);
  const mixed = directoryOf({
    "bad/pyproject.toml": "[tool.centaur]\nsecrets = [3]\n",
    "good/pyproject.toml": simple("GOOD"),
  });
  const { config, issues, tools } = load(`{ directories: ["${mixed}"] }`);
  assert.deepEqual(issues.map(formatIssue), [
    `${join(mixed, "bad/pyproject.toml")}:2:12: warning: tool bad is left out: secrets[0]: must be a table or a name, not a number`,
  ]);
  assert.deepEqual([config?.transforms.length, tools?.tools.map(({ name }) => name)], [1, ["good"]]);
});

test("B1: a name with a slash is refused where it becomes a 1Password item, and no other tool with it", () => {
  const text = simple("K").replace('name = "K"', 'name = "K", secret_ref = "team/key"');
  const slash = directoryOf({ "x/pyproject.toml": text, "y/pyproject.toml": simple("Y_KEY") });
  const { tools, issues } = load(`{ directories: ["${slash}"], source: onepassword }`);
  assert.deepEqual(
    tools?.tools.map(({ name }) => name),
    ["y"],
  );
  assert.match(
    issues.map(formatIssue).join(),
    /tool x is left out: K: secret_ref: cannot be a 1Password item with a slash/,
  );
  assert.equal(load(`{ directories: ["${slash}"] }`).tools?.tools.length, 2);
});

for (const name of [
  "IRON_MANAGEMENT_API_KEY",
  "OP_CONNECT_TOKEN",
  "SANDBOX_SIGNING_KEY",
  "MY_MANAGEMENT_KEY",
]) {
  test(`a declaration cannot have ${name} sent to a host of its choice`, () => {
    const text = simple("K").replace('name = "K"', `name = "K", secret_ref = "${name}"`);
    const greedy = directoryOf({ "x/pyproject.toml": text, "y/pyproject.toml": simple("Y_KEY") });
    const management = 'management: { listen: ":9092", api_key_env: MY_MANAGEMENT_KEY }';
    const { tools, issues } = load(`{ directories: ["${greedy}"] }`, { MY_MANAGEMENT_KEY: "x" }, management);
    assert.deepEqual(
      tools?.tools.map((tool) => tool.name),
      ["y"],
    );
    assert.match(
      issues.map(formatIssue).join(),
      /tool x is left out: K: secret_ref: names a key of the proxy's own/,
    );
  });
}

const policy = `transforms:
  - { name: allowlist, config: { domains: [warehouse.example, api.openai.com] } }
  - { name: secrets, config: { secrets: [{ source: { type: env, var: OWN }, inject: { header: X-Own }, rules: [{ host: warehouse.example }] }] } }
  - { name: header_allowlist, config: { headers: [authorization, accept, x-own] } }
`;

test("G2: declared credentials come after policies and what is written, directly before the header filter", () => {
  const names = (rest: string) =>
    load(`{ directories: ["${root}"] }`, {}, rest).config?.transforms.map(({ name }) => name);
  assert.deepEqual(names(policy), ["allowlist", "secrets", "secrets", "header_allowlist"]);
  assert.deepEqual(names("transforms: [{ name: allowlist, config: { domains: ['*'] } }]"), [
    "allowlist",
    "secrets",
  ]);
  assert.deepEqual(names(""), ["secrets"]);
});

test("what is declared builds without a word where the rest is in order", () => {
  assert.deepEqual(issuesOf(`{ directories: ["${root}"], harnesses: [codex] }`, {}, policy), []);
});

test("without an allowlist, hosts of declared credentials can be reached, and it is said which", () => {
  assert.deepEqual(issuesOf(`{ directories: ["${root}"], harnesses: [codex] }`), [
    "p.yaml:1:1: warning: there is no allowlist, so only hosts that credentials are for can be reached: api.openai.com, warehouse.example",
  ]);
});

test("an allowlist that refuses a declared host is told, by reference and declaration", () => {
  const narrow = "transforms: [{ name: allowlist, config: { domains: [elsewhere.example] } }]";
  const issues = issuesOf(`{ directories: ["${root}"], harnesses: [codex] }`, {}, narrow);
  assert.deepEqual(
    issues.map((issue) => issue.replace(/^(p\.yaml:2):\d+/, "$1")),
    [
      "p.yaml:2: warning: the allowlist refuses api.openai.com, so OPENAI_API_KEY is never used there",
      `${join(root, "warehouse/pyproject.toml")}:2:12: warning: the allowlist refuses warehouse.example, so WAREHOUSE_KEY is never used there`,
    ],
  );
});

test("G4: a header filter that removes a declared header is told, and allow_headers adds to it", () => {
  const inject = simple("K").replace(
    'match_headers = ["Authorization"]',
    'mode = "inject", inject_header = "X-Key"',
  );
  const tools = directoryOf({ "x/pyproject.toml": inject });
  const filter = "transforms: [{ name: header_allowlist, config: { headers: [accept] } }]";
  const said = (more: string) =>
    load(`{ directories: ["${tools}"]${more} }`, {}, filter).issues.map(formatIssue).join("\n");
  assert.match(
    said(""),
    /x\/pyproject\.toml:2:12: warning: tool x: K: header_allowlist removes X-Key, .*add the line "- X-Key"/,
  );
  assert.equal(said(", allow_headers: [X-Key]"), "");
});

test("each rule names its tools, so that limited callers get only what theirs declare", () => {
  const { config } = load(`{ directories: ["${root}"], harnesses: [GITHUB_TOKEN] }`);
  const [entry] = config?.transforms ?? [];
  assert.ok(entry);
  assert.deepEqual(
    (entry.config as { secrets: { rules: unknown }[] }).secrets.map(({ rules }) => rules),
    [
      [
        { host: "api.github.com", tools: ["GITHUB_TOKEN"] },
        { host: "github.com", tools: ["GITHUB_TOKEN"] },
      ],
      [{ host: "warehouse.example", tools: ["warehouse"] }],
    ],
  );
});

test("H2: every load reads the directories again", () => {
  const changing = directoryOf({
    "x/pyproject.toml": simple("OLD_KEY"),
    "y/pyproject.toml": simple("Y_KEY"),
  });
  const vars = () =>
    sources(`{ directories: ["${changing}"] }`).map((source) => (source as { var: string }).var);
  assert.deepEqual(vars(), ["OLD_KEY", "Y_KEY"]);
  writeFileSync(join(changing, "x/pyproject.toml"), simple("NEW_KEY"));
  rmSync(join(changing, "y"), { recursive: true });
  assert.deepEqual(vars(), ["NEW_KEY"]);
});

test("says so when the section stands for nothing", () => {
  assert.deepEqual(load("{}").issues.map(formatIssue), [
    "p.yaml:2:1: warning: no directory and no harness: name directories, or set TOOL_DIRS, or remove tools",
  ]);
});
