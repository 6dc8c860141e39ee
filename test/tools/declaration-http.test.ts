// Entries of type http: what tests of the original assert (T1 to T9), and what it leaves open.
import assert from "node:assert/strict";
import { test } from "node:test";
import { blanketHeaders } from "../../src/tools/entries-http.ts";
import type { InjectEntry, ReplaceEntry } from "../../src/tools/index.ts";
import { declare, entryOf, errorsOf, pageBlock, shown } from "./support.ts";

function replace(secret: string, table = ""): ReplaceEntry {
  const entry = entryOf(secret, table);
  assert.ok(entry.type === "http" && entry.mode === "replace");
  return entry;
}

function inject(secret: string): InjectEntry {
  const entry = entryOf(secret);
  assert.ok(entry.type === "http" && entry.mode === "inject");
  return entry;
}

test("C1: the page's block parses as it stands", () => {
  const { tool, problems } = declare(pageBlock, "warehouse");
  assert.deepEqual(problems, []);
  assert.deepEqual(tool?.secrets, [
    {
      type: "http",
      mode: "replace",
      name: "WAREHOUSE_API_KEY",
      secret: { ref: "WAREHOUSE_API_KEY", jsonKey: undefined },
      optional: false,
      where: { file: "/tools/warehouse/pyproject.toml", line: 3, column: 5 },
      hosts: ["warehouse.internal.example.com"],
      placeholder: "WAREHOUSE_API_KEY",
      matchHeaders: ["Authorization"],
      matchPath: false,
      matchQuery: false,
    },
  ]);
});

test("T1: a bare name is a placeholder in the headers where services have been seen to want keys", () => {
  const { tool, problems } = declare('[tool.centaur]\nhosts = ["api.example.com"]\nsecrets = ["API_KEY"]');
  const [entry] = tool?.secrets ?? [];
  assert.ok(entry?.type === "http" && entry.mode === "replace");
  assert.deepEqual(
    [entry.placeholder, entry.secret.ref, entry.hosts, entry.matchHeaders],
    ["API_KEY", "API_KEY", ["api.example.com"], blanketHeaders],
  );
  assert.deepEqual(
    problems.map(({ severity }) => severity),
    ["note"],
  );
  assert.match(problems.map(shown).join(), /deprecated/);
});

test("a bare name without hosts of the tool is an error", () => {
  assert.match(errorsOf('"API_KEY"').join(), /needs the tool's own hosts/);
});

const place = 'match_headers = ["Authorization"], hosts = ["h.example"]';

test("T2: header is an older name of http, which is what no type means", () => {
  const { tool, problems } = declare(
    `[tool.centaur]\nsecrets = [{ type = "header", name = "A_KEY", ${place} }]`,
  );
  assert.equal(tool?.secrets[0]?.type, "http");
  assert.match(problems.map(shown).join(), /A_KEY: type = "header" is deprecated/);
  assert.equal(entryOf(`{ name = "A_KEY", ${place} }`).type, "http");
});

for (const [given, placeholder, ref] of [
  ["", "A_KEY", "A_KEY"],
  [', replacer = "sk-none"', "sk-none", "A_KEY"],
  [', secret_ref = "item"', "A_KEY", "item"],
  [', replacer = "sk-none", secret_ref = "item"', "sk-none", "item"],
] as const) {
  test(`T3: placeholder ${placeholder} and reference ${ref} each default to the name`, () => {
    const entry = replace(`{ name = "A_KEY", ${place}${given} }`);
    assert.deepEqual([entry.placeholder, entry.secret.ref], [placeholder, ref]);
  });
}

for (const places of ["match_query = true", "match_path = true", 'match_headers = ["X-Key"]']) {
  test(`T4: ${places} alone is enough`, () => {
    assert.deepEqual(errorsOf(`{ name = "A_KEY", hosts = ["h.example"], ${places} }`), []);
  });
}

test("T5: no header is fine where another place is named, and then no header is searched", () => {
  const entry = replace('{ name = "A_KEY", hosts = ["h.example"], match_headers = [], match_query = true }');
  assert.deepEqual([entry.matchHeaders, entry.matchQuery], [[], true]);
});

test("T9: hosts of an entry win over the tool's, which serve where it has none", () => {
  const table = 'hosts = ["tool.example"]';
  assert.deepEqual(replace('{ name = "A_KEY", match_query = true }', table).hosts, ["tool.example"]);
  assert.deepEqual(replace(`{ name = "A_KEY", ${place} }`, table).hosts, ["h.example"]);
});

test("inject: a header with a template, or a query parameter", () => {
  const header = inject(
    '{ name = "K", mode = "inject", hosts = ["h"], inject_header = "X-Key", inject_formatter = "Bearer {{ .Value }}" }',
  );
  assert.deepEqual(header.target, { kind: "header", header: "X-Key", formatter: "Bearer {{ .Value }}" });
  const query = inject('{ name = "K", mode = "inject", hosts = ["h"], inject_query_param = "key" }');
  assert.deepEqual(query.target, { kind: "query", parameter: "key" });
});

test("a json_key names a field of the credential", () => {
  const { secret } = replace(`{ name = "A_KEY", json_key = "token", ${place} }`);
  assert.deepEqual(secret, { ref: "A_KEY", jsonKey: "token" });
});

/** One mistake each: the element of `secrets`, and what is said. */
const mistakes: readonly (readonly [title: string, secret: string, error: string, table?: string])[] = [
  [
    "T4: no place",
    '{ name = "K", hosts = ["h"] }',
    "K: no place to search: name the header in match_headers, or set match_query or match_path",
  ],
  [
    "T4: places that are all off",
    '{ name = "K", hosts = ["h"], match_path = false }',
    "K match_path: match_path leaves no place to search: name a header in match_headers, or set match_query or match_path",
  ],
  [
    "T5: a number among headers",
    '{ name = "K", hosts = ["h"], match_headers = ["A", 3] }',
    "K match_headers: match_headers must be a list of texts; [1] is a number",
  ],
  [
    "T5: text in place of a list",
    '{ name = "K", hosts = ["h"], match_headers = "A" }',
    "K match_headers: match_headers must be a list of texts, not text",
  ],
  [
    "T6: replace with a target",
    '{ name = "K", hosts = ["h"], match_path = true, inject_header = "X" }',
    'K inject_header: inject_header is for mode = "inject", and this entry swaps a placeholder; choose one',
  ],
  [
    "T6: inject with a place",
    '{ name = "K", hosts = ["h"], mode = "inject", inject_header = "X", match_path = false }',
    'K match_path: match_path is for mode = "replace", and this entry sets its target; choose one',
  ],
  [
    "T6: inject with a placeholder",
    '{ name = "K", hosts = ["h"], mode = "inject", inject_header = "X", replacer = "x" }',
    'K replacer: replacer is for mode = "replace", and this entry sets its target; choose one',
  ],
  [
    "T7: no target",
    '{ name = "K", hosts = ["h"], mode = "inject" }',
    'K: mode = "inject" needs inject_header or inject_query_param',
  ],
  [
    "T7: two targets",
    '{ name = "K", hosts = ["h"], mode = "inject", inject_header = "X", inject_query_param = "x" }',
    "K inject_query_param: inject_query_param and inject_header exclude each other; keep one",
  ],
  [
    "T7: a template for a query parameter",
    '{ name = "K", hosts = ["h"], mode = "inject", inject_query_param = "x", inject_formatter = "{{ .Value }}" }',
    "K inject_formatter: inject_formatter needs inject_header; a query parameter is set as it is",
  ],
  [
    "T8: an unknown mode",
    '{ name = "K", hosts = ["h"], mode = "injekt" }',
    'K mode: mode must be one of replace, inject; got "injekt"; did you mean "inject"?',
  ],
  [
    "T8: an unknown type",
    '{ type = "oauth", name = "K" }',
    'K type: type must be one of http, gcp_auth, oauth_token, brokered_token, hmac_sign, aws_auth, pg_dsn, header; got "oauth"',
  ],
  ["T8: no name", `{ ${place} }`, "secrets[0]: name is missing"],
  ["T8: a blank name", `{ name = " ", ${place} }`, "secrets[0] name: name is empty"],
  [
    "T8: a name that is a number",
    `{ name = 3, ${place} }`,
    "secrets[0] name: name must be text, not a number",
  ],
  [
    "T9: an empty list of hosts",
    '{ name = "K", hosts = [], match_path = true }',
    "K hosts: hosts is empty; name the hosts, or remove it",
    'hosts = ["tool"]',
  ],
  ["no hosts anywhere", '{ name = "K", match_path = true }', "K: hosts is missing"],
  ["an empty reference", `{ name = "K", secret_ref = "", ${place} }`, "K secret_ref: secret_ref is empty"],
  [
    "a key that is misspelt",
    '{ name = "K", hosts = ["h"], match_path = true, match_pth = true }',
    'K match_pth: unknown key "match_pth" in an http entry; did you mean "match_path"?',
  ],
  [
    "a place that declarations do not have",
    '{ name = "K", hosts = ["h"], match_body = true, match_path = true }',
    `K match_body: unknown key "match_body" in an http entry; bodies are not searched for declared secrets; write an entry in the proxy's configuration`,
  ],
  [
    "a header that is none",
    '{ name = "K", hosts = ["h"], match_headers = ["X Key"] }',
    'K match_headers: invalid match_headers "X Key" is not a header name; write a pattern between slashes: /^x-/',
  ],
  [
    "a header of the connection",
    '{ name = "K", hosts = ["h"], match_headers = ["Host"] }',
    "K match_headers: Host belongs to the connection; a credential cannot be put there",
  ],
  [
    "a template that is broken",
    '{ name = "K", hosts = ["h"], mode = "inject", inject_header = "X", inject_formatter = "{{ .Valu }}" }',
    "K inject_formatter: parsing formatter template: unknown field .Valu; there are: .Value (at character 4)",
  ],
  [
    "a host that is a URL",
    '{ name = "K", hosts = ["https://h/"], match_path = true }',
    'K hosts: host "https://h/": this is not a host alone; leave out the scheme and the path',
  ],
  ["a list in place of a table", "[1]", "secrets[0]: must be a table or a name, not a list"],
];

for (const [title, secret, error, table] of mistakes) {
  test(title, () => assert.deepEqual(errorsOf(secret, table ?? ""), [error]));
}

test("I14: what stands where a name belongs is not shown", () => {
  for (const secret of ['"sk-live-canary-1"', '{ name = "sk-live-canary-1", match_path = true }']) {
    const errors = errorsOf(secret, 'hosts = ["h"]');
    assert.match(errors.join(), /^secrets\[0\].*must be the name of a variable/);
    assert.doesNotMatch(errors.join(), /canary/);
  }
  assert.doesNotMatch(errorsOf('{ name = "K", type = "sk-live-canary-1-and-long" }').join(), /canary/);
});

test("every mistake of a tool is reported at once, each with file, line and column", () => {
  const { problems } = declare(
    '[tool.centaur]\nsecrets = [\n  { name = "A", hosts = ["h"] },\n  { mode = 3 },\n]',
  );
  assert.deepEqual(
    problems.map(({ file, line, column, tool, entry, key }) => [file, line, column, tool, entry, key]),
    [
      ["/tools/demo/pyproject.toml", 3, 3, "demo", "A", undefined],
      ["/tools/demo/pyproject.toml", 4, 3, "demo", "secrets[1]", undefined],
      ["/tools/demo/pyproject.toml", 4, 12, "demo", "secrets[1]", "mode"],
      ["/tools/demo/pyproject.toml", 4, 3, "demo", "secrets[1]", undefined],
    ],
  );
});
