// What tests of the original assert about rendering (T18 to T31), and row G1.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import * as fc from "fast-check";
import { parse, stringify } from "yaml";
import { harnessTools, type RenderOptions, renderTransforms, type Tool } from "../../src/tools/index.ts";
import { connectMode, declare, envMode, pageBlock, toolOf } from "./support.ts";

type Data = Record<string, unknown>;

function render(tools: readonly Tool[], options: RenderOptions = envMode) {
  return renderTransforms(tools, options).transforms as readonly { name: string; config: Data }[];
}

/** Elements of the list of `secrets`. */
function secrets(tools: readonly Tool[], options?: RenderOptions): readonly Data[] {
  return listIn(render(tools, options)[0]?.config, "secrets");
}

const hosts = (entry: Data | undefined) => listIn(entry, "rules").map(({ host }) => host);

function listIn(entry: Data | undefined, key: string): readonly Data[] {
  return (entry?.[key] ?? []) as Data[];
}

function http(name: string, host: string, more = 'match_headers = ["Authorization"]'): string {
  return `{ name = "${name}", hosts = ["${host}"], ${more} }`;
}

const gcp = (name: string, more = "") => `{ type = "gcp_auth", name = "${name}"${more} }`;
const token = (host: string, more = "") =>
  `{ type = "oauth_token", name = "T", grant = "client_credentials", hosts = ["${host}"], token_endpoint = "https://idp.example/token",
     fields = { client_id = "ID", client_secret = "S" }${more} }`;
const hmac = (host: string, more = "") =>
  `{ type = "hmac_sign", name = "H", hosts = ["${host}"], credentials = { secret = "K" }, message = "{{ .Timestamp }}",
     headers = [{ name = "X-Sign", value = "{{ .Signature }}" }, { name = "X-At", value = "{{ .Timestamp }}" }]${more} }`;
const aws = `{ type = "aws_auth", name = "AWS", hosts = ["*.s3.amazonaws.com"], access_key_id = "A", secret_access_key = "S" }`;

test("G1: the page's declaration with the harnesses renders as 4.3 says", () => {
  const { tool } = declare(pageBlock, "warehouse");
  const { tools } = harnessTools(["codex", "claude-code", "amp"], undefined);
  const text = stringify(
    { transforms: render([tool as Tool, ...tools], connectMode) },
    { aliasDuplicateObjects: false },
  );
  assert.equal(text, readFileSync(new URL("fixtures/page.yaml", import.meta.url), "utf8"));
});

test("C6: every type renders to its transform", () => {
  const all = [
    http("A_KEY", "a.example"),
    http("Q", "q.example", 'mode = "inject", inject_query_param = "key"'),
    gcp("GCP"),
    token("t.example"),
    hmac("h.example"),
    aws,
  ];
  const text = stringify({ transforms: render([toolOf(all.join())]) }, { aliasDuplicateObjects: false });
  assert.equal(text, readFileSync(new URL("fixtures/types.yaml", import.meta.url), "utf8"));
});

test("T18: secrets come first, then gcp_auth, oauth_token, hmac_sign, aws_auth", () => {
  const tool = toolOf([aws, hmac("h"), token("t"), gcp("G2"), gcp("G1"), http("A_KEY", "a")].join());
  assert.deepEqual(
    render([tool]).map(({ name }) => name),
    ["secrets", "gcp_auth", "gcp_auth", "oauth_token", "hmac_sign", "aws_auth"],
  );
});

test("T19, T20: an entry has replace or inject, and what is off is not written", () => {
  const [query, plain, inject] = secrets([
    toolOf(
      [
        http("A", "a", "match_query = true, match_path = false"),
        http("B", "b"),
        http("C", "c", 'mode = "inject", inject_header = "X-Key"'),
      ].join(),
    ),
  ]);
  assert.deepEqual(query?.["replace"], { proxy_value: "A", match_headers: [], match_query: true });
  assert.deepEqual(plain?.["replace"], { proxy_value: "B", match_headers: ["Authorization"] });
  assert.deepEqual([inject?.["replace"], inject?.["inject"]], [undefined, { header: "X-Key" }]);
});

test("T21: one secret in one place is one entry with the hosts of all; in two places it is two", () => {
  const [one, other] = [toolOf(http("K", "z.example"), "one"), toolOf(http("K", "a.example"), "other")];
  assert.deepEqual(secrets([one, other]).map(hosts), [["a.example", "z.example"]]);
  const elsewhere = toolOf(http("K", "a.example", "match_path = true"), "third");
  assert.equal(secrets([one, elsewhere]).length, 2);
});

test("T22: tools that share a key file share a token with the hosts and scopes of both", () => {
  const one = toolOf(gcp("G", ', hosts = ["b.googleapis.com"], scopes = ["y"]'), "one");
  const other = toolOf(gcp("G", ', hosts = ["a.googleapis.com"], scopes = ["x", "y"]'), "other");
  const [shared, ...rest] = render([one, other]);
  assert.deepEqual(rest, []);
  assert.deepEqual(
    [hosts(shared?.config), shared?.config["scopes"]],
    [
      ["a.googleapis.com", "b.googleapis.com"],
      ["x", "y"],
    ],
  );
  assert.equal(render([one, toolOf(gcp("G2"), "third")]).length, 2);
});

test("T23: tokens merge when nothing but hosts and scopes differs, and absent keys are left out", () => {
  const tokens = (...all: string[]) => render([toolOf(all.join())])[0]?.config["tokens"] as Data[];
  const [merged] = tokens(token("b", ', scopes = ["s"]'), token("a"));
  assert.deepEqual([hosts(merged), merged?.["scopes"]], [["a", "b"], ["s"]]);
  assert.deepEqual(Object.keys(tokens(token("a"))[0] ?? {}), [
    "grant",
    "token_endpoint",
    "client_id",
    "client_secret",
    "rules",
  ]);
  assert.equal(
    tokens(token("a"), token("b", ', token_endpoint_headers = { X-Tenant = "TENANT" }')).length,
    2,
  );
  assert.equal(tokens(token("a"), token("b").replace("idp.example", "other.example")).length, 2);
  assert.equal(tokens(token("a"), token("b").replace('"ID"', '"ID2"')).length, 2);
});

test("T24: json_key is written where one is declared", () => {
  const sources = secrets([
    toolOf([http("A", "a"), http("B", "b", 'match_path = true, json_key = "f"')].join()),
  ]).map(({ source }) => source);
  assert.deepEqual(sources, [
    { type: "env", var: "A" },
    { type: "env", var: "B", json_key: "f" },
  ]);
});

test("T25: headers of hmac_sign keep their order, and allow_chunked_body is left out unless it is on", () => {
  const [plain] = render([toolOf(hmac("h"))]);
  assert.deepEqual(
    listIn(plain?.config, "headers").map(({ name }) => name),
    ["X-Sign", "X-At"],
  );
  assert.equal("allow_chunked_body" in (plain?.config ?? {}), false);
  assert.equal(
    render([toolOf(hmac("h", ", allow_chunked_body = true"))])[0]?.config["allow_chunked_body"],
    true,
  );
  assert.equal(render([toolOf(hmac("h")), toolOf(hmac("g"), "other")]).length, 1);
});

test("T26: without secrets there is no transform", () => {
  assert.deepEqual(render([]), []);
  assert.deepEqual(render([toolOf("")]), []);
  assert.deepEqual(render([toolOf('{ type = "pg_dsn", name = "DSN", database = "d" }')]), []);
});

test("T28, B1: the reference is vault/reference/credential, and only the type tells SDK from Connect", () => {
  const tool = toolOf(http("K", "a", 'match_path = true, secret_ref = "Item of another name"'));
  const source = (mode: RenderOptions["mode"]) =>
    secrets([tool], { ...connectMode, mode, vault: "Team vault" })[0]?.["source"];
  const reference = { secret_ref: "op://Team vault/Item of another name/credential", ttl: "10m" };
  assert.deepEqual(source("onepassword-connect"), { type: "1password_connect", ...reference });
  assert.deepEqual(source("onepassword"), { type: "1password", ...reference });
  assert.deepEqual(source("env"), { type: "env", var: "Item of another name" });
});

/** Tools that share names, hosts and places often enough to be merged. */
const someTools = fc.uniqueArray(fc.constantFrom("a", "b", "c", "d"), { minLength: 1 }).chain((names) =>
  fc.tuple(
    ...names.map((name) =>
      fc
        .array(
          fc
            .record({
              type: fc.constantFrom("http", "path", "inject", "gcp", "token", "hmac"),
              name: fc.constantFrom("KEY", "KEY_2"),
              host: fc.constantFrom("x.example", "*.example", "y.example"),
              scope: fc.constantFrom("r", "w"),
            })
            .map(({ type, name, host, scope }) => {
              if (type === "http") return http(name, host);
              if (type === "path") return http(name, host, "match_path = true");
              if (type === "inject") return http(name, host, 'mode = "inject", inject_header = "X"');
              if (type === "gcp") return gcp(name, `, scopes = ["${scope}"]`);
              return type === "token" ? token(host, `, scopes = ["${scope}"]`) : hmac(host);
            }),
          { maxLength: 5 },
        )
        .map((all) => toolOf(all.join(), name)),
    ),
  ),
);

test("T30: the order of tools and of their entries changes nothing", () => {
  fc.assert(
    fc.property(someTools, fc.infiniteStream(fc.nat(1000)), fc.boolean(), (tools, numbers, callers) => {
      const shuffled = <T>(list: readonly T[]): T[] =>
        list
          .map((one) => [numbers.next().value as number, one] as const)
          .sort(([one], [other]) => one - other)
          .map(([, one]) => one);
      const other = shuffled(tools).map((tool) => ({ ...tool, secrets: shuffled(tool.secrets) }));
      const options = { ...connectMode, callers };
      assert.deepEqual(render(other, options), render(tools, options));
    }),
    { numRuns: 60 },
  );
});

test("T31: order and number of entries do not depend on the source mode", () => {
  fc.assert(
    fc.property(someTools, (tools) => {
      const withoutSources = (mode: RenderOptions["mode"]) =>
        JSON.stringify(render(tools, { ...envMode, mode })).replaceAll(
          /\{"type":"[^}]*(?:"var":"([^"]*)"|op:\/\/ai-agents\/([^/]*)\/credential)[^}]*\}/g,
          '"$1$2"',
        );
      assert.equal(withoutSources("onepassword"), withoutSources("env"));
    }),
    { numRuns: 40 },
  );
});

test("with callers each rule names the tools that declare its host, and no others", () => {
  const tools = [
    toolOf([http("K", "a.example"), http("K", "b.example")].join(), "one"),
    toolOf(http("K", "a.example"), "other"),
  ];
  assert.deepEqual(secrets(tools, { ...envMode, callers: true })[0]?.["rules"], [
    { host: "a.example", tools: ["one", "other"] },
    { host: "b.example", tools: ["one"] },
  ]);
});

test("with callers a tool does not gain the scopes that another one declares", () => {
  const tools = [
    toolOf(gcp("G", ', scopes = ["read"]'), "reader"),
    toolOf(gcp("G", ', scopes = ["write"]'), "writer"),
  ];
  const rendered = render(tools, { ...envMode, callers: true });
  assert.deepEqual(
    rendered.map(({ config }) => [config["scopes"], config["rules"]]),
    [
      [["read", "write"], [{ host: "*.googleapis.com" }]],
      [["read"], [{ host: "*.googleapis.com", tools: ["reader"] }]],
      [["write"], [{ host: "*.googleapis.com", tools: ["writer"] }]],
    ],
  );
});

test("what is rendered is YAML that says the same", () => {
  fc.assert(
    fc.property(someTools, (tools) => {
      const transforms = render(tools, connectMode);
      assert.deepEqual(parse(stringify({ transforms }, { aliasDuplicateObjects: false, lineWidth: 0 })), {
        transforms,
      });
    }),
    { numRuns: 30 },
  );
});
