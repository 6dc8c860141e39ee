import assert from "node:assert/strict";
import { test } from "node:test";
import { BodyTooLargeError } from "../../../src/http/body.ts";
import { streamedBody } from "../../helpers/exchange.ts";
import { bodyText, placeholder, real, replaceEntry, send } from "./replace-fixture.ts";

const queries: [title: string, query: string, expected: string, secret?: string][] = [
  [
    "S-02 S-41 V12: other parameters stay byte for byte, in their order",
    `z=1&token=${placeholder}&a=b%20c&a=d&flag&b=%zz;x=1&c=+`,
    "z=1&token=s%2Fk%2Br%3D1%26x~%20y&a=b%20c&a=d&flag&b=%zz;x=1&c=+",
    "s/k+r=1&x~ y",
  ],
  [
    "S-41: a placeholder that the client percent-encoded",
    "k=proxy%2Dopenai%2dabc123%20x",
    "k=sk-real-openai-key%20x",
  ],
  ["the rest of the value keeps its spelling", `k=a%2fb+${placeholder}%zz`, `k=a%2fb+${real}%zz`],
  ["names are not searched", `${placeholder}=1&${placeholder}`, `${placeholder}=1&${placeholder}`],
  ["empty parameters stay", `&&k=${placeholder}&`, `&&k=${real}&`],
];

for (const [title, query, expected, secret = real] of queries) {
  test(`query: ${title}`, async () => {
    const url = `https://api.example.com/v1?${query}`;
    const { exchange } = await send([replaceEntry({ match_query: true })], { url }, { OPENAI: secret });
    assert.equal(exchange.request.query, expected);
  });
}

test("query: the audit names the parameter", async () => {
  const url = `https://api.example.com/?api%5Fkey=${placeholder}`;
  const { exchange } = await send([replaceEntry({ match_query: true })], { url });
  assert.deepEqual(exchange.annotations["swapped"], [{ secret: "OPENAI", locations: ["query:api_key"] }]);
});

test("S-03 S-35: query, path and body are not searched unless the entry says so", async () => {
  const url = `https://api.example.com/${placeholder}?k=${placeholder}`;
  const { exchange, asked } = await send([replaceEntry()], { url, method: "POST", body: placeholder });
  assert.equal(exchange.request.query, `k=${placeholder}`);
  assert.equal(exchange.request.path, `/${placeholder}`);
  assert.equal(bodyText(exchange), placeholder);
  assert.deepEqual(asked, {});
});

const paths: [title: string, path: string, expected: string, secret?: string][] = [
  [
    "S-35 V12: the secret is one segment, whatever is in it",
    `/bot${placeholder}/sendMessage`,
    "/bot123:AA%2FBB%3Fc%20d%28e%29%2A%21/sendMessage",
    "123:AA/BB?c d(e)*!",
  ],
  ["S-44: other escapes stay byte for byte", `/a%2fb%2Fc/${placeholder}/%41`, `/a%2fb%2Fc/${real}/%41`],
  ["a placeholder that the client percent-encoded", "/x/proxy%2Dopenai%2dabc123/y", `/x/${real}/y`],
  ["beyond ASCII", `/${placeholder}`, "/k%C3%A9", "ké"],
];

for (const [title, path, expected, secret = real] of paths) {
  test(`path: ${title}`, async () => {
    const url = `https://api.example.com${path}`;
    const { exchange } = await send([replaceEntry({ match_path: true })], { url }, { OPENAI: secret });
    assert.equal(exchange.request.path, expected);
    assert.deepEqual(exchange.annotations["swapped"], [{ secret: "OPENAI", locations: ["path"] }]);
  });
}

for (const secret of ["..", ".", "../x", "a/../b", "..\\x", "%2e%2e", "a\0b"]) {
  test(`I3: a secret that makes the path ambiguous is refused (${JSON.stringify(secret)})`, async () => {
    const url = `https://api.example.com/v1/${placeholder}/x`;
    const { verdict, exchange } = await send(
      [replaceEntry({ match_path: true })],
      { url },
      { OPENAI: secret },
    );
    assert.ok(verdict?.kind === "reject");
    assert.deepEqual([verdict.status, verdict.reason], [403, "secret_invalid"]);
    assert.equal(exchange.request.path, `/v1/${placeholder}/x`);
  });
}

test("S-45 I3: rules of every entry see the path that was decided on", async () => {
  const entries = [
    replaceEntry({ match_path: true }),
    {
      source: { type: "test", name: "OTHER" },
      rules: [{ host: "api.example.com", paths: [`/${placeholder}/*`] }],
      inject: { header: "X-Other" },
    },
  ];
  const { headers } = await send(entries, { url: `https://api.example.com/${placeholder}/x` });
  assert.deepEqual(headers, [["X-Other", "other-real-value"]]);
});

const bodies: [title: string, type: string, body: string, expected: string, secret?: string][] = [
  ["S-04: other bytes stay", "text/plain", `a\0é ${placeholder}\r\n`, `a\0é ${real}\r\n`],
  [
    "JSON",
    "application/json; charset=utf-8",
    `{"k":"${placeholder}"}`,
    '{"k":"a\\"b\\\\c\\n-é"}',
    'a"b\\c\n-é',
  ],
  ["JSON by suffix", "application/vnd.api+json", `"${placeholder}"`, '"\\""', '"'],
  [
    "form",
    "application/x-www-form-urlencoded",
    `a=%2f&k=${placeholder}&c=+`,
    "a=%2f&k=x%26y%3D%2B%20&c=+",
    "x&y=+ ",
  ],
  [
    "form, percent-encoded placeholder",
    "application/x-www-form-urlencoded",
    "k=proxy%2Dopenai%2Dabc123",
    `k=${real}`,
  ],
  ["anything else is raw", "application/octet-stream", `<${placeholder}>`, '<a"&b>', 'a"&b'],
];

for (const [title, type, body, expected, secret = real] of bodies) {
  test(`body: ${title}`, async () => {
    const request = { method: "POST", headers: [["Content-Type", type]] as const, body };
    const { exchange } = await send([replaceEntry({ match_body: true })], request, { OPENAI: secret });
    assert.equal(bodyText(exchange), expected);
    assert.equal(exchange.request.body.length, Buffer.byteLength(expected));
    assert.deepEqual(exchange.annotations["swapped"], [{ secret: "OPENAI", locations: ["body"] }]);
  });
}

test("body: a placeholder with a slash is found in JSON that escapes slashes", async () => {
  const entry = replaceEntry({ proxy_value: "placeholder/one", match_body: true });
  for (const spelling of ["placeholder/one", "placeholder\\/one"]) {
    const headers = [["Content-Type", "application/json"]] as const;
    const { exchange } = await send([entry], { method: "POST", headers, body: `{"k":"${spelling}"}` });
    assert.equal(bodyText(exchange), `{"k":"${real}"}`);
  }
});

test("body: bytes that are not text survive a swap", async () => {
  const body = Buffer.concat([
    Buffer.from([0xff, 0x00, 0xc3]),
    Buffer.from(placeholder),
    Buffer.from([0x80]),
  ]);
  const { exchange } = await send(
    [replaceEntry({ match_body: true })],
    { method: "POST", body },
    { OPENAI: "é" },
  );
  assert.equal(exchange.request.body.bytes?.toString("hex"), "ff00c3c3a980");
});

test("body: one that streams in is searched as a whole", async () => {
  const body = streamedBody("x proxy-op", "enai-abc", "123 y");
  const { exchange } = await send([replaceEntry({ match_body: true })], { method: "POST", body });
  assert.equal(bodyText(exchange), `x ${real} y`);
});

test("S-29: several entries search one body, and require holds for each on its own", async () => {
  const entries = [
    replaceEntry({ proxy_value: "never-sent-placeholder", match_body: true }),
    replaceEntry({ match_body: true, require: true }),
  ];
  const { exchange, verdict } = await send(entries, { method: "POST", body: placeholder });
  assert.equal(verdict, undefined);
  assert.equal(bodyText(exchange), real);
});

test("S-20 I12: a body over the limit is refused, never cut", async () => {
  const entry = replaceEntry({ match_body: true });
  for (const body of ["x".repeat(11), streamedBody("x".repeat(8), "x".repeat(8))]) {
    await assert.rejects(send([entry], { method: "POST", body, maxRequestBody: 10 }), BodyTooLargeError);
  }
});

test("a body is left to stream when no matching entry searches it", async () => {
  const entries = [replaceEntry(), replaceEntry({ match_body: true }, { rules: [{ host: "other.com" }] })];
  const { exchange } = await send(entries, { method: "POST", body: streamedBody(placeholder) });
  assert.equal(exchange.request.body.bytes, undefined);
});

test("identity is no compression", async () => {
  const headers = [["Content-Encoding", "Identity"]] as const;
  const { exchange } = await send([replaceEntry({ match_body: true })], {
    method: "POST",
    headers,
    body: placeholder,
  });
  assert.equal(bodyText(exchange), real);
  assert.equal(exchange.annotations["body_skipped"], undefined);
});

test("a compressed body is not searched, and the audit says so", async () => {
  const headers = [["Content-Encoding", "gzip"]] as const;
  const entry = replaceEntry({ match_body: true, match_headers: ["Authorization"], require: true });
  const missing = await send([entry], { method: "POST", headers, body: placeholder });
  assert.ok(missing.verdict?.kind === "reject");
  assert.equal(missing.verdict.reason, "placeholder_missing");
  assert.equal(missing.exchange.annotations["body_skipped"], "content_encoding");
  const elsewhere = await send([entry], {
    method: "POST",
    headers: [...headers, ["Authorization", placeholder]],
    body: placeholder,
  });
  assert.equal(elsewhere.verdict, undefined);
  assert.equal(bodyText(elsewhere.exchange), placeholder);
  assert.equal(elsewhere.exchange.request.headers.get("authorization"), real);
});
