import assert from "node:assert/strict";
import { test } from "node:test";
import { sandboxEnvironment } from "../../src/tools/sandbox-environment.ts";
import { shapedFor, withShapedPlaceholders } from "../../src/tools/shaped.ts";
import type { SandboxPlaceholder, Tool } from "../../src/tools/types.ts";

const placeholder = (name: string, more: Partial<SandboxPlaceholder> = {}): SandboxPlaceholder => ({
  name,
  placeholder: name,
  mode: "replace",
  hosts: ["api.example.com"],
  tools: ["a"],
  ...more,
});

function environmentOf(options: Partial<Parameters<typeof sandboxEnvironment>[0]> = {}) {
  return sandboxEnvironment({
    placeholders: [],
    shaped: false,
    extra: new Map(),
    proxyUrl: "http://sbx:token@proxy:8080",
    bundle: "/etc/ca.pem",
    ...options,
  });
}

test("D2 T38: placeholders are the names, or what was chosen, also for entries that set a header of their own", () => {
  const { variables, warnings } = environmentOf({
    placeholders: [
      placeholder("A_KEY"),
      placeholder("B_KEY", { placeholder: "chosen" }),
      placeholder("C_KEY", { mode: "inject" }),
    ],
  });
  assert.deepEqual(
    [variables.get("A_KEY"), variables.get("B_KEY"), variables.get("C_KEY")],
    ["A_KEY", "chosen", "C_KEY"],
  );
  assert.deepEqual(warnings, []);
});

test("T59: leads to the proxy in both cases and points every program to one bundle", () => {
  const { variables } = environmentOf({ direct: ["proxy"] });
  for (const name of ["HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]) {
    assert.equal(variables.get(name), "http://sbx:token@proxy:8080");
  }
  for (const name of [
    "SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "CURL_CA_BUNDLE",
  ]) {
    assert.equal(variables.get(name), "/etc/ca.pem");
  }
  assert.equal(variables.get("NO_PROXY"), "localhost,127.0.0.1,::1,[::1],proxy");
  assert.equal(variables.get("no_proxy"), variables.get("NO_PROXY"));
});

test("T37: NO_PROXY has nothing twice, and what is added replaces what was there", () => {
  const { variables } = environmentOf({
    placeholders: [placeholder("A_KEY")],
    direct: ["localhost", "api", "api", "127.0.0.1"],
    extra: new Map([
      ["A_KEY", "mine"],
      ["HTTPS_PROXY", "http://other"],
      ["NEW", ""],
    ]),
  });
  assert.equal(variables.get("NO_PROXY"), "localhost,127.0.0.1,::1,[::1],api");
  assert.deepEqual(
    [variables.get("A_KEY"), variables.get("HTTPS_PROXY"), variables.get("NEW")],
    ["mine", "http://other", ""],
  );
  assert.equal([...variables.keys()].filter((name) => name === "A_KEY").length, 1);
});

test("T42: a name that is no variable's, or one of ours, gets no placeholder, and that is said", () => {
  const { variables, warnings } = environmentOf({
    placeholders: [
      placeholder("my-key"),
      placeholder("A=B"),
      placeholder("HTTPS_PROXY"),
      placeholder("GOOD"),
    ],
  });
  assert.deepEqual(
    [variables.has("my-key"), variables.has("A=B"), variables.has("GOOD")],
    [false, false, true],
  );
  assert.equal(variables.get("HTTPS_PROXY"), "http://sbx:token@proxy:8080");
  assert.equal(warnings.length, 3);
});

for (const [hosts, shape] of [
  [["api.openai.com"], /^sk-proj-[A-Za-z0-9]{48}$/],
  [["api.anthropic.com:443"], /^sk-ant-api03-[A-Za-z0-9]{95}$/],
  [["*.slack.com"], /^xoxb-[0-9A-Za-z]{12}-[0-9A-Za-z]{13}-[0-9A-Za-z]{24}$/],
  [["gist.github.com", "GitHub.com"], /^ghp_[A-Za-z0-9]{36}$/],
  [["generativelanguage.googleapis.com"], /^AIza[A-Za-z0-9]{35}$/],
  [["openrouter.ai"], /^sk-or-v1-[0-9a-f]{64}$/],
  [["api.x.ai"], /^xai-[A-Za-z0-9]{80}$/],
  [["internal.example.com"], /^[A-Za-z0-9]{40}$/],
  [["evil-openai.com"], /^[A-Za-z0-9]{40}$/],
  [[], /^[A-Za-z0-9]{40}$/],
] as const) {
  test(`a shaped placeholder for ${hosts.join(" and ") || "no host"} looks like a key of the service`, () => {
    const text = shapedFor("NAME", hosts);
    assert.match(text, shape);
    assert.equal(shapedFor("NAME", hosts), text, "the proxy and the sandbox make the same one");
    assert.notEqual(shapedFor("NAME_2", hosts), text);
    assert.ok(!shapedFor("NAME_2", hosts).includes(text), "T45: none is a part of another");
  });
}

test("shaped: what the proxy swaps is shaped with the tools, what it sets by itself here, and a replacer stays", () => {
  const where = { file: "f", line: 1, column: 1 };
  const common = {
    optional: false,
    where,
    hosts: ["api.openai.com"],
    secret: { ref: "x", jsonKey: undefined },
  };
  const replace = {
    ...common,
    type: "http",
    mode: "replace",
    matchHeaders: ["A"],
    matchPath: false,
    matchQuery: false,
  } as const;
  const tool: Tool = {
    name: "a",
    directory: "d",
    file: "f",
    description: undefined,
    secrets: [
      { ...replace, name: "PLAIN", placeholder: "PLAIN" },
      { ...replace, name: "CHOSEN", placeholder: "mine" },
    ],
  };
  const [shaped] = withShapedPlaceholders([tool]);
  assert.deepEqual(
    shaped?.secrets.map((entry) =>
      entry.type === "http" && entry.mode === "replace" ? entry.placeholder : "",
    ),
    [shapedFor("PLAIN", ["api.openai.com"]), "mine"],
  );
  const inject = placeholder("C_KEY", { mode: "inject", hosts: ["api.openai.com"] });
  const { variables } = environmentOf({ placeholders: [inject, placeholder("A_KEY")], shaped: true });
  assert.equal(variables.get("C_KEY"), shapedFor("C_KEY", ["api.openai.com"]));
  assert.equal(variables.get("A_KEY"), "A_KEY", "the proxy decides what it swaps");
});
