import assert from "node:assert/strict";
import { test } from "node:test";
import { secrets } from "../../../src/transforms/secrets/index.ts";
import { buildTransform, type FakeSource } from "../../helpers/build-transform.ts";
import { fakeExchange, type FakeRequest } from "../../helpers/exchange.ts";

const rules = [{ host: "api.example.com" }];
const placeholder = "proxy-openai-abc123";

function inject(name: string, target: Record<string, unknown>, more: Record<string, unknown> = {}) {
  return { source: { type: "test", name }, rules, inject: target, ...more };
}

function replace(name: string, more: Record<string, unknown> = {}) {
  return {
    source: { type: "test", name },
    rules,
    replace: { proxy_value: placeholder, match_headers: ["Authorization"], ...more },
  };
}

async function send(
  entries: readonly unknown[],
  request: FakeRequest = {},
  sources: Record<string, FakeSource> = { A: "sk-real-openai-key", B: "other" },
) {
  const built = buildTransform(secrets, { secrets: entries }, sources);
  assert.deepEqual(built.errors, []);
  const exchange = fakeExchange(request);
  const verdict = await built.transform.onRequest?.(exchange);
  return { ...built, exchange, verdict, headers: [...exchange.request.headers] };
}

const headerCases: [
  title: string,
  target: Record<string, unknown>,
  sent: [string, string][],
  expected: [string, string][],
][] = [
  ["S-30: raw, in the configured casing", { header: "x-api-KEY" }, [], [["x-api-KEY", "sk-real-openai-key"]]],
  [
    "S-30 attack 44: every spelling the workload sent is replaced by one field, where the first one stood",
    { header: "Authorization", formatter: "Bearer {{ .Value }}" },
    [
      ["AUTHORIZATION", "mine"],
      ["A", "b"],
      ["authorization", "too"],
    ],
    [
      ["Authorization", "Bearer sk-real-openai-key"],
      ["A", "b"],
    ],
  ],
  [
    "S-31 V12: Basic from a formatter",
    { header: "Authorization", formatter: 'Basic {{ base64 "x-credential:" .Value }}' },
    [],
    [["Authorization", "Basic eC1jcmVkZW50aWFsOnNrLXJlYWwtb3BlbmFpLWtleQ=="]],
  ],
];

for (const [title, target, sent, expected] of headerCases) {
  test(`header: ${title}`, async () => {
    const { headers, exchange } = await send([inject("A", target)], { headers: sent });
    assert.deepEqual(headers, expected);
    const locations = [`header:${String(target["header"])}`];
    assert.deepEqual(exchange.annotations, { injected: [{ secret: "A", locations }] });
  });
}

const queryCases: [title: string, url: string, expected: string][] = [
  [
    "S-32 V12: others stay byte for byte",
    "/x?existing=value&b=%2f+&c",
    "existing=value&b=%2f+&c&key=s%2Fk%20%2B",
  ],
  ["no query", "/x", "key=s%2Fk%20%2B"],
  ["an empty query", "/x?", "key=s%2Fk%20%2B"],
  [
    "values the workload sent are removed, in every spelling",
    "/?key=mine&a=1&k%65y=2&key&b=2",
    "key=s%2Fk%20%2B&a=1&b=2",
  ],
];

for (const [title, path, expected] of queryCases) {
  test(`query: ${title}`, async () => {
    const url = `https://api.example.com${path}`;
    const { exchange } = await send([inject("A", { query_param: "key" })], { url }, { A: "s/k +" });
    assert.equal(exchange.request.query, expected);
    assert.deepEqual(exchange.annotations, { injected: [{ secret: "A", locations: ["query:key"] }] });
  });
}

test("query: the formatter applies, and control characters are escaped rather than refused", async () => {
  const entry = inject("A", { query_param: "a b", formatter: "x{{ .Value }}" });
  const { exchange, verdict } = await send([entry], {}, { A: "1\n" });
  assert.equal(verdict, undefined);
  assert.equal(exchange.request.query, "a%20b=x1%0A");
});

test("query: a name beyond ASCII is compared and written as its UTF-8 bytes", async () => {
  const url = "https://api.example.com/?cl%C3%A9=mine&a=1";
  const { exchange } = await send([inject("A", { query_param: "clé" })], { url }, { A: "v" });
  assert.equal(exchange.request.query, "cl%C3%A9=v&a=1");
  assert.deepEqual(exchange.annotations["injected"], [{ secret: "A", locations: ["query:clé"] }]);
});

test("S-23: fifty injections at once", async () => {
  const { transform } = buildTransform(
    secrets,
    { secrets: [inject("A", { header: "X" })] },
    { A: async () => "v" },
  );
  const exchanges = Array.from({ length: 50 }, () => fakeExchange());
  await Promise.all(exchanges.map(async (exchange) => transform.onRequest?.(exchange)));
  assert.ok(exchanges.every((exchange) => exchange.request.headers.get("x") === "v"));
});

test("the formatter runs once for a value and again for the next one", async () => {
  let value = "one";
  const entry = inject("A", { header: "X", formatter: "<{{ .Value }}>" });
  const { transform } = buildTransform(secrets, { secrets: [entry] }, { A: () => value });
  const get = () => {
    const exchange = fakeExchange();
    assert.equal(transform.onRequest?.(exchange), undefined);
    return exchange.request.headers.get("x");
  };
  assert.deepEqual([get(), get()], ["<one>", "<one>"]);
  value = "two";
  assert.deepEqual([get(), get()], ["<two>", "<two>"]);
});

test("S-33: inject and replace entries mix", async () => {
  const { headers, exchange } = await send([inject("B", { header: "X-Key" }), replace("A")], {
    headers: [["Authorization", `Bearer ${placeholder}`]],
  });
  assert.deepEqual(headers, [
    ["Authorization", "Bearer sk-real-openai-key"],
    ["X-Key", "other"],
  ]);
  assert.deepEqual(exchange.annotations, {
    swapped: [{ secret: "A", locations: ["header:Authorization"] }],
    injected: [{ secret: "B", locations: ["header:X-Key"] }],
  });
});

const skipped = "credential_already_applied";

test("I5: of two entries that set one header the first wins, and the second asks no source", async () => {
  const entries = [inject("A", { header: "Authorization" }), inject("B", { header: "authorization" })];
  const { headers, exchange, asked } = await send(entries);
  assert.deepEqual(headers, [["Authorization", "sk-real-openai-key"]]);
  assert.equal(exchange.annotations["skipped"], skipped);
  assert.deepEqual(asked, { A: 1 });
});

test("I5: an entry that passes because its source failed leaves the header to the next", async () => {
  const entries = [
    inject("GONE", { header: "X-Key" }, { on_unavailable: "pass" }),
    inject("B", { header: "X-Key" }),
  ];
  const { headers, exchange } = await send(entries);
  assert.deepEqual(headers, [["X-Key", "other"]]);
  assert.deepEqual(exchange.annotations["secret_unavailable"], ["GONE"]);
});

test("I5: inject before replace, and replace before inject, on one header", async () => {
  const headers = [["Authorization", `Bearer ${placeholder}`]] as const;
  const injected = await send([inject("B", { header: "Authorization" }), replace("A", { require: true })], {
    headers,
  });
  assert.equal(injected.verdict, undefined);
  assert.deepEqual(injected.headers, [["Authorization", "other"]]);
  assert.equal(injected.exchange.annotations["skipped"], skipped);
  assert.equal(injected.exchange.annotations["swapped"], undefined);
  assert.deepEqual(injected.asked, { B: 1 });
  const replaced = await send([replace("A"), inject("B", { header: "Authorization" })], { headers });
  assert.deepEqual(replaced.headers, [["Authorization", "Bearer sk-real-openai-key"]]);
  assert.equal(replaced.exchange.annotations["skipped"], skipped);
  const absent = await send([replace("A"), inject("B", { header: "Authorization" })]);
  assert.deepEqual(absent.headers, [["Authorization", "other"]]);
});

test("I5: a later transform leaves what an earlier one wrote, in headers, query, path and body", async () => {
  const first = buildTransform(
    secrets,
    {
      secrets: [
        inject("B", { header: "Authorization" }),
        inject("B", { query_param: "key" }),
        {
          source: { type: "test", name: "A" },
          rules,
          replace: { proxy_value: placeholder, match_path: true, match_body: true },
        },
      ],
    },
    { A: `real-${placeholder}`, B: "b" },
  );
  const second = buildTransform(
    secrets,
    {
      secrets: [
        inject("C", { header: "authorization" }),
        inject("C", { query_param: "key" }),
        replace("C", { match_path: true, match_body: true, require: true }),
      ],
    },
    { C: "c" },
  );
  const exchange = fakeExchange({
    method: "POST",
    url: `https://api.example.com/${placeholder}?key=x`,
    body: placeholder,
  });
  assert.equal(await first.transform.onRequest?.(exchange), undefined);
  assert.equal(await second.transform.onRequest?.(exchange), undefined);
  assert.deepEqual([...exchange.request.headers], [["Authorization", "b"]]);
  assert.equal(exchange.request.query, "key=b");
  assert.equal(exchange.request.path, `/real-${placeholder}`);
  assert.equal(exchange.request.body.bytes?.toString(), `real-${placeholder}`);
  assert.equal(exchange.annotations["skipped"], skipped);
  assert.deepEqual(second.asked, {});
});

test("I5: require is met when an earlier transform put its credential over the header that is searched", async () => {
  const first = buildTransform(secrets, { secrets: [inject("A", { header: "Authorization" })] }, { A: "a" });
  const second = buildTransform(secrets, { secrets: [replace("B", { require: true })] }, { B: "b" });
  const exchange = fakeExchange({ headers: [["Authorization", placeholder]] });
  await first.transform.onRequest?.(exchange);
  assert.equal(await second.transform.onRequest?.(exchange), undefined);
  assert.deepEqual([...exchange.request.headers], [["Authorization", "a"]]);
});

test("a formatter that fails is a 502, and the text holds no value", async () => {
  const entry = inject("A", { header: "X", formatter: "{{ .Value }}{{ .Value }}" });
  const { verdict } = await send([entry], {}, { A: "canary".repeat(10_000) });
  assert.ok(verdict?.kind === "reject");
  assert.deepEqual([verdict.status, verdict.reason], [502, "transform_failed"]);
  assert.ok(!(verdict.detail ?? "").includes("canary"));
});

test("S-43 attack 33: a formatted value with a line break is refused", async () => {
  const entry = inject("A", { header: "X", formatter: "{{ .Value }}\nX-Evil: 1" });
  const { verdict, headers } = await send([entry]);
  assert.ok(verdict?.kind === "reject");
  assert.equal(verdict.reason, "secret_invalid");
  assert.deepEqual(headers, []);
});

test("I6: nothing is injected into plain HTTP, unless the credential is unavailable and would not be sent anyway", async () => {
  const url = "http://api.example.com/";
  const { verdict, headers } = await send([inject("A", { header: "X" })], { url });
  assert.ok(verdict?.kind === "reject");
  assert.equal(verdict.reason, "plaintext_upstream");
  assert.deepEqual(headers, []);
  const allowed = await send([inject("A", { header: "X" })], { url, plaintextCredentials: true });
  assert.equal(allowed.headers.length, 1);
  const passed = await send([inject("GONE", { header: "X" }, { on_unavailable: "pass" })], { url });
  assert.equal(passed.verdict, undefined);
});
