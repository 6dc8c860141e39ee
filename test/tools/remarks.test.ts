// What is legal and yet worth a warning: hosts that are too broad, headers that get lost, places that two want.
import assert from "node:assert/strict";
import { test } from "node:test";
import { breadth } from "../../src/tools/broad-hosts.ts";
import { conflicts } from "../../src/tools/conflicts.ts";
import { strippedHeaders } from "../../src/tools/stripped-headers.ts";
import { declare, shown, toolOf } from "./support.ts";

function words(text: string): string[] {
  return text.split(/\s+/);
}

for (const host of []) {
  test(`C7: ${host} is too broad`, () => assert.notEqual(breadth(host), undefined));
}

for (const host of words(`api.example.com *.example.com *.googleapis.com *.internal api.example.com:8443 localhost
  *.g.alchemy.com *.acme.co.uk *.eu-west-1.amazonaws.com`)) {
  test(`C7: ${host} is not`, () => assert.equal(breadth(host), undefined));
}

test("a host that is too broad is told with its place, and the tool stays", () => {
  const { tool, problems } = declare(
    '[tool.centaur]\nsecrets = [{ name = "K", match_path = true, hosts = ["a.example", "*.com"] }]',
  );
  assert.equal(tool?.secrets.length, 1);
  assert.deepEqual(
    problems.map(({ severity, line, column, key }) => [severity, line, column, key]),
    [["warning", 2, 67, "hosts"]],
  );
});

const header = (names: string) => toolOf(`{ name = "K", match_headers = [${names}], hosts = ["a.example"] }`);

test("G4: a declared header that a header_allowlist removes is told, with the line to add", () => {
  const filter = { headers: ["accept", "/^x-ok/"], hosts: undefined };
  const said = (names: string) => strippedHeaders([header(names)], [filter]).map(shown);
  assert.deepEqual(said('"Accept", "X-OK-1"'), []);
  assert.deepEqual(said('"X-Key"'), [
    'K: header_allowlist removes X-Key, which this credential goes into; add the line "- X-Key" to its headers, or X-Key to tools.allow_headers',
  ]);
});

test("G4: every mechanism has headers of its own", () => {
  const lost = (secret: string) =>
    strippedHeaders([toolOf(secret)], [{ headers: ["accept"], hosts: undefined }]).map(
      ({ message }) => /removes (\S+),/.exec(message)?.[1],
    );
  assert.deepEqual(lost('{ type = "gcp_auth", name = "G" }'), ["Authorization"]);
  assert.deepEqual(lost('{ name = "K", mode = "inject", inject_header = "X-Key", hosts = ["h"] }'), [
    "X-Key",
  ]);
  assert.deepEqual(lost('{ name = "K", mode = "inject", inject_query_param = "key", hosts = ["h"] }'), []);
  assert.deepEqual(
    lost('{ type = "aws_auth", name = "A", hosts = ["h"], access_key_id = "I", secret_access_key = "S" }'),
    ["Authorization", "X-Amz-Date", "X-Amz-Content-Sha256"],
  );
});

test("G4: a header_allowlist with rules concerns the hosts they name", () => {
  const concerns = (hosts: string[]) =>
    strippedHeaders([header('"X-Key"')], [{ headers: ["accept"], hosts }]).length;
  assert.deepEqual([concerns(["a.example"]), concerns(["*"]), concerns(["b.example"])], [1, 1, 0]);
});

function inject(name: string, host: string, tool: string, into = "Authorization") {
  return toolOf(
    `{ name = "${name}", mode = "inject", inject_header = "${into}", hosts = ["${host}"] }`,
    tool,
  );
}

test("T68: two credentials that want one header of one host are told of, the first by name is used", () => {
  const both = [
    inject("B_KEY", "*.slack.com", "wide"),
    inject("A_KEY", "api.slack.com", "narrow", "authorization"),
  ];
  assert.deepEqual(
    conflicts(both).map(({ tool, entry, message }) => `${tool} ${entry} ${message}`),
    [
      "wide B_KEY A_KEY of narrow wants Authorization of requests to *.slack.com too, comes first and is used there; let one of them go, or limit callers to one of the tools",
    ],
  );
  assert.deepEqual(conflicts(both.toReversed()).length, 1);
});

test("T68: the same credential twice, other hosts and other headers are no conflict", () => {
  assert.deepEqual(conflicts([inject("K", "a.example", "one"), inject("K", "*.example", "two")]), []);
  assert.deepEqual(conflicts([inject("A", "a.example", "one"), inject("B", "b.example", "two")]), []);
  assert.deepEqual(
    conflicts([inject("A", "a.example", "one"), inject("B", "a.example", "two", "X-Key")]),
    [],
  );
});

test("two credentials behind one placeholder are told of", () => {
  const shared = (name: string, tool: string) =>
    toolOf(`{ name = "${name}", replacer = "token", match_path = true, hosts = ["a.example"] }`, tool);
  assert.match(
    conflicts([shared("A", "one"), shared("B", "two")])[0]?.message ?? "",
    /wants the placeholder token of/,
  );
});
