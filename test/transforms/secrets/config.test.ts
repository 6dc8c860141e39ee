import assert from "node:assert/strict";
import { test } from "node:test";
import { secrets } from "../../../src/transforms/secrets/index.ts";
import { buildTransform } from "../../helpers/build-transform.ts";
import { fakeExchange } from "../../helpers/exchange.ts";

const base = { source: { type: "test", name: "A" }, rules: [{ host: "api.example.com" }] };
const proxy_value = "proxy-openai-abc123";

function build(...entries: Record<string, unknown>[]) {
  return buildTransform(secrets, { secrets: entries.map((entry) => ({ ...base, ...entry })) }, { A: "a" });
}

const errors: [entry: Record<string, unknown>, error: string][] = [
  [{}, "secrets.0: must specify either inject or replace"],
  [{ proxy_value: "", match_headers: [] }, "secrets.0: must specify either inject or replace"],
  [
    { proxy_value, replace: { proxy_value } },
    "secrets.0: cannot use both top-level proxy_value/match_headers and replace block",
  ],
  [
    { require: true, inject: { header: "X" } },
    "secrets.0: cannot use both top-level proxy_value/match_headers and inject block",
  ],
  [
    { inject: { header: "X" }, replace: { proxy_value } },
    "secrets.0: cannot specify both inject and replace",
  ],
  [{ inject: {} }, "secrets.0.inject: inject must specify either header or query_param"],
  [
    { inject: { header: "X", query_param: "y" } },
    "secrets.0.inject: inject cannot specify both header and query_param",
  ],
  [{ replace: { proxy_value: "" } }, "secrets.0.replace: replace.proxy_value is required"],
  [{ replace: {} }, "secrets.0.replace: replace.proxy_value is required"],
  [{ match_headers: ["X"] }, "secrets.0: proxy_value is required"],
  [{ replace: { proxy_value }, rules: [{}] }, "secrets.0.rules.0: one of host or cidr is required"],
  [
    { replace: { proxy_value }, rules: [{ host: "a.com", cidr: "10.0.0.0/8" }] },
    "secrets.0.rules.0: host and cidr are mutually exclusive",
  ],
  [
    { inject: { header: "X", formatter: "{{ .Valeu }}" } },
    "secrets.0.inject.formatter: parsing formatter template: unknown field .Valeu; there are: .Value (at character 4)",
  ],
  [{ inject: { header: "X Y" } }, 'secrets.0.inject.header: "X Y" is not a header name'],
  [
    { inject: { header: "Sec-WebSocket-Key" } },
    "secrets.0.inject.header: Sec-WebSocket-Key belongs to the connection; a credential cannot be put there",
  ],
  [
    { replace: { proxy_value, match_headers: ["ok", "X:"] } },
    'secrets.0.replace.match_headers.1: invalid match_headers "X:" is not a header name; write a pattern between slashes: /^x-/',
  ],
  [
    { inject: { header: "X", require: true }, on_unavailable: "pass" },
    "secrets.0.on_unavailable: `on_unavailable: pass` and `require: true` contradict each other",
  ],
];

for (const [entry, error] of errors) {
  test(`S-19 S-34: refuses ${JSON.stringify(entry)}`, () => {
    assert.deepEqual(build(entry).errors.slice(0, 1), [error]);
  });
}

for (const name of [
  "Host",
  "content-length",
  "Connection",
  "Proxy-Authorization",
  "TE",
  "Sec-WebSocket-Accept",
]) {
  test(`I7: match_headers may not name ${name}`, () => {
    assert.match(
      build({ replace: { proxy_value, match_headers: [name] } }).errors[0] ?? "",
      /belongs to the connection/,
    );
  });
}

test("S-15: a pattern that does not compile is an error at load", () => {
  const found = build({ replace: { proxy_value, match_headers: ["/[/"] } }).errors;
  assert.match(
    found[0] ?? "",
    /^secrets\.0\.replace\.match_headers\.0: invalid match_headers regex "\/\[\/"/,
  );
});

test("every mistake of every entry is reported at once", () => {
  const { errors } = build({}, { inject: {} }, { replace: { proxy_value }, rules: [{}] });
  assert.deepEqual(
    errors.map((error) => error.split(":")[0]),
    ["secrets.0", "secrets.1.inject", "secrets.2.rules.0"],
  );
});

test("S-19: the schema refuses unknown keys and sources without a type", () => {
  const parse = (entry: unknown) => secrets.schema.safeParse({ secrets: [entry] });
  assert.equal(parse({ ...base, inject: { header: "X" } }).success, true);
  assert.equal(parse({ ...base, inject: { header: "X" }, hosts: [] }).success, false);
  assert.equal(parse({ ...base, replace: { proxy_value, match_querry: true } }).success, false);
  assert.equal(parse({ ...base, source: {}, inject: { header: "X" } }).success, false);
  assert.equal(secrets.schema.safeParse({}).success, true);
});

test("S-36: builds without asking a source", () => {
  const built = build({ replace: { proxy_value } }, { inject: { header: "X" } });
  assert.deepEqual(built.asked, {});
  assert.equal(built.transform.secrets?.length, 2);
  assert.equal(built.transform.credentialRules?.length, 2);
});

test("the legacy form works and is called deprecated", () => {
  const { transform, warnings, errors } = build({ proxy_value, match_headers: ["x-KEY"], match_body: true });
  assert.deepEqual(errors, []);
  assert.match(warnings.join("\n"), /secrets\.0: top-level proxy_value\/match_headers are deprecated/);
  const exchange = fakeExchange({ method: "POST", headers: [["X-Key", proxy_value]], body: proxy_value });
  assert.equal(transform.onRequest?.(exchange), undefined);
  assert.deepEqual([...exchange.request.headers], [["x-KEY", "a"]]);
  assert.equal(exchange.request.body.bytes?.toString(), "a");
});

const at = (host: string, value: string) => ({ rules: [{ host }], replace: { proxy_value: value } });
const warnings: [title: string, entries: Record<string, unknown>[], warning: RegExp | undefined][] = [
  ["nothing for a sound entry", [{ replace: { proxy_value, match_headers: ["Authorization"] } }], undefined],
  ["an entry without rules", [{ rules: [], inject: { header: "X" } }], /secrets\.0: the entry has no rules/],
  [
    "a short placeholder",
    [{ replace: { proxy_value: "key" } }],
    /secrets\.0\.replace\.proxy_value: .*is short/,
  ],
  [
    "any host",
    [{ rules: [{ host: "*" }], inject: { header: "X" } }],
    /secrets\.0\.rules\.0\.host: this credential goes to/,
  ],
  [
    "no header is searched",
    [{ replace: { proxy_value, match_query: true } }],
    /secrets\.0\.replace: no header is searched, because match_query is on/,
  ],
  [
    "an empty list beside another place",
    [{ replace: { proxy_value, match_headers: [], match_body: true } }],
    /secrets\.0\.replace\.match_headers: no header is searched/,
  ],
  [
    "require over all headers",
    [{ replace: { proxy_value, require: true } }],
    /secrets\.0\.replace\.require: a placeholder in any header/,
  ],
  [
    "one placeholder twice",
    [at("*.a.com", "same-placeholder"), at("x.a.com:443", "same-placeholder")],
    /secrets\.1\.replace\.proxy_value: the placeholder is also that of secrets\[0\]/,
  ],
  [
    "one placeholder for hosts apart",
    [at("*.a.com", "same-placeholder"), at("xa.com", "same-placeholder")],
    undefined,
  ],
  [
    "a placeholder inside another",
    [at("a.com", "placeholder-1"), at("b.com", "placeholder-12")],
    /secrets\.1\.replace\.proxy_value: the placeholder of secrets\[0\] is part of that of secrets\[1\]/,
  ],
];

for (const [title, entries, warning] of warnings) {
  test(`warns of: ${title}`, () => {
    const found = build(...entries).warnings;
    if (warning === undefined) assert.deepEqual(found, []);
    else assert.match(found.join("\n"), warning);
  });
}

test("explain says what would happen, asks no source and changes nothing", () => {
  const { transform, asked } = build(
    { replace: { proxy_value, match_headers: ["Authorization"] } },
    { rules: [{ host: "other.com" }], inject: { header: "X" } },
    { inject: { header: "X-Key" } },
    { inject: { query_param: "k" } },
    { inject: { header: "x-key" } },
    { replace: { proxy_value: "not-in-the-request", match_body: true, require: true } },
    { inject: { header: "Authorization" } },
    { replace: { proxy_value: "Bearer" } },
  );
  const exchange = fakeExchange({ headers: [["authorization", `Bearer ${proxy_value}`]] });
  const lines = transform.explain?.(exchange) ?? [];
  assert.match(lines[1] ?? "", /^secrets\[1\] A: rules do not match: .+/);
  assert.deepEqual(
    [...lines.slice(0, 1), ...lines.slice(2)],
    [
      "secrets[0] A: rules match; placeholder found in header Authorization; would be replaced",
      "secrets[2] A: rules match; would set header X-Key",
      "secrets[3] A: rules match; would set query k",
      "secrets[4] A: rules match; would skip header x-key: an earlier entry has it",
      "secrets[5] A: rules match; placeholder not found in body; would be refused (placeholder_missing)",
      "secrets[6] A: rules match; would skip header Authorization: an earlier entry has it",
      "secrets[7] A: rules match; placeholder found in header Authorization; would be replaced",
    ],
  );
  assert.deepEqual(asked, {});
  assert.deepEqual([...exchange.request.headers], [["authorization", `Bearer ${proxy_value}`]]);
  assert.deepEqual(exchange.annotations, {});
});
