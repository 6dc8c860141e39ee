import assert from "node:assert/strict";
import { test } from "node:test";
import { secrets } from "../../../src/transforms/secrets/index.ts";
import { buildTransform } from "../../helpers/build-transform.ts";
import { fakeExchange } from "../../helpers/exchange.ts";
import { placeholder, real, replaceEntry, rules, send } from "./replace-fixture.ts";

test("S-01 S-17: swaps the placeholder inside a header value and names the place in the audit", async () => {
  const { headers, exchange, verdict } = await send([replaceEntry()], {
    headers: [
      ["Accept", "*/*"],
      ["Authorization", `Bearer ${placeholder}`],
      ["X-Both", `${placeholder};x${placeholder}`],
    ],
  });
  assert.equal(verdict, undefined);
  assert.deepEqual(headers, [
    ["Accept", "*/*"],
    ["Authorization", `Bearer ${real}`],
    ["X-Both", `${real};x${real}`],
  ]);
  assert.deepEqual(exchange.annotations, {
    swapped: [{ secret: "OPENAI", locations: ["header:Authorization", "header:X-Both"] }],
  });
});

test("gives a plain value when the credential is cached, a promise only while it is fetched", async () => {
  const headers = [["Authorization", placeholder]] as const;
  const cached = buildTransform(secrets, { secrets: [replaceEntry()] }, { OPENAI: real }).transform;
  assert.equal(cached.onRequest?.(fakeExchange({ headers })), undefined);
  const late = { OPENAI: () => Promise.resolve(real) };
  const exchange = fakeExchange({ headers });
  const pending = buildTransform(secrets, { secrets: [replaceEntry()] }, late).transform.onRequest?.(
    exchange,
  );
  assert.ok(pending instanceof Promise);
  assert.equal(exchange.request.headers.get("authorization"), placeholder);
  assert.equal(await pending, undefined);
  assert.equal(exchange.request.headers.get("authorization"), real);
});

test("S-23: fifty requests at once are swapped, each on its own", async () => {
  const { transform } = buildTransform(secrets, { secrets: [replaceEntry()] }, { OPENAI: async () => real });
  const exchanges = Array.from({ length: 50 }, (_, index) =>
    fakeExchange({ headers: [["Authorization", `${index} ${placeholder}`]] }),
  );
  await Promise.all(exchanges.map(async (exchange) => transform.onRequest?.(exchange)));
  const values = exchanges.map((exchange) => exchange.request.headers.get("authorization"));
  assert.deepEqual(
    values,
    Array.from({ length: 50 }, (_, index) => `${index} ${real}`),
  );
});

test("S-05 S-06 S-21 S-28: rules decide which requests are swapped", async () => {
  const entries = [
    replaceEntry({}, { rules: [{ host: "*.example.com", methods: ["POST"], paths: ["/v1/*"] }] }),
  ];
  const cases: [method: string, url: string, swapped: boolean][] = [
    ["POST", "https://api.example.com/v1/chat", true],
    ["POST", "https://api.example.com:443/v1/chat", true],
    ["POST", "https://example.com/v1/chat", true],
    ["POST", "https://other.com/v1/chat", false],
    ["POST", "https://api.example.com.evil.net/v1/chat", false],
    ["POST", "https://api.example.com:8443/v1/chat", false],
    ["GET", "https://api.example.com/v1/chat", false],
    ["POST", "https://api.example.com/v2", false],
  ];
  for (const [method, url, swapped] of cases) {
    const { headers, asked } = await send(entries, {
      method,
      url,
      headers: [["Authorization", placeholder]],
    });
    assert.deepEqual(headers, [["Authorization", swapped ? real : placeholder]], `${method} ${url}`);
    assert.equal(asked["OPENAI"] ?? 0, swapped ? 1 : 0);
  }
});

test("I4: asks no source while the placeholder is not there", async () => {
  const { asked, verdict } = await send(
    [replaceEntry({ match_query: true, match_path: true, match_headers: ["A"] })],
    {
      url: "https://api.example.com/v1?x=%41",
      headers: [["Authorization", placeholder]],
    },
  );
  assert.deepEqual(asked, {});
  assert.equal(verdict, undefined);
});

test("I7 attack 41: all headers means none that frames, routes, upgrades or is commonly reflected", async () => {
  const spared = [
    "Host",
    "Content-Length",
    "Connection",
    "Upgrade",
    "TE",
    "Proxy-Authorization",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Protocol",
    "Cookie",
    "Referer",
    "User-Agent",
    "Forwarded",
    "X-Forwarded-For",
    "x-forwarded-host",
  ];
  const headers = spared.map((name) => [name, placeholder] as const);
  for (const match_headers of [undefined, [], ["/.*/"], ["//"]]) {
    const sent = await send([replaceEntry(match_headers === undefined ? {} : { match_headers })], {
      headers,
    });
    assert.deepEqual(sent.headers, headers);
    assert.deepEqual(sent.asked, {});
  }
});

test("attack 30: a pattern never reaches the WebSocket handshake or the connection's own fields", async () => {
  const { headers } = await send([replaceEntry({ match_headers: ["/^sec-/", "/^proxy-/", "/^cookie$/"] })], {
    headers: [
      ["Sec-WebSocket-Key", placeholder],
      ["Proxy-Authorization", placeholder],
      ["Sec-Other", placeholder],
      ["Cookie", `a=${placeholder}`],
    ],
  });
  assert.deepEqual(headers, [
    ["Sec-WebSocket-Key", placeholder],
    ["Proxy-Authorization", placeholder],
    ["Sec-Other", real],
    ["Cookie", `a=${real}`],
  ]);
});

const matching: [title: string, match: string[], sent: [string, string][], expected: [string, string][]][] = [
  [
    "S-08: headers outside match_headers keep the placeholder",
    ["Authorization"],
    [
      ["Authorization", placeholder],
      ["X-Api-Key", placeholder],
    ],
    [
      ["Authorization", real],
      ["X-Api-Key", placeholder],
    ],
  ],
  [
    "S-10 S-11: patterns match names, anchored as written, in any case",
    ["/^x-API-/"],
    [
      ["X-Api-Key", placeholder],
      ["Foo-X-Api-Key", placeholder],
    ],
    [
      ["X-Api-Key", real],
      ["Foo-X-Api-Key", placeholder],
    ],
  ],
  [
    "S-12 S-13: names and patterns mix, a header that both match is swapped once",
    ["/^x-/", "X-Api-Key", "Authorization"],
    [
      ["X-Api-Key", placeholder],
      ["AUTHORIZATION", placeholder],
      ["Other", placeholder],
    ],
    [
      ["X-Api-Key", real],
      ["Authorization", real],
      ["Other", placeholder],
    ],
  ],
  [
    "S-16: a name gives its casing to the header it is swapped in",
    ["x-api-KEY"],
    [["X-Api-Key", placeholder]],
    [["x-api-KEY", real]],
  ],
  [
    "S-18: a pattern keeps the casing of the wire",
    ["/api/"],
    [["x-aPi-key", placeholder]],
    [["x-aPi-key", real]],
  ],
  [
    "a named header without the placeholder is left as it was, casing too",
    ["x-api-KEY"],
    [["X-Api-Key", "mine"]],
    [["X-Api-Key", "mine"]],
  ],
  [
    "a header that is named may be one that all headers spares",
    ["Cookie"],
    [["Cookie", `session=${placeholder}`]],
    [["Cookie", `session=${real}`]],
  ],
  [
    "repeated fields are swapped each in its place",
    ["X-Key"],
    [
      ["X-Key", placeholder],
      ["A", "b"],
      ["X-Key", "plain"],
      ["X-Key", `2${placeholder}`],
    ],
    [
      ["X-Key", real],
      ["A", "b"],
      ["X-Key", "plain"],
      ["X-Key", `2${real}`],
    ],
  ],
  [
    "attack 44: a second Authorization with the workload's own credential does not travel beside ours",
    ["Authorization"],
    [
      ["authorization", "Bearer mine"],
      ["Authorization", `Bearer ${placeholder}`],
    ],
    [["Authorization", `Bearer ${real}`]],
  ],
];

for (const [title, match_headers, headers, expected] of matching) {
  test(title, async () => {
    assert.deepEqual((await send([replaceEntry({ match_headers })], { headers })).headers, expected);
  });
}

test("attack 44: with require, a rival field of the same name goes", async () => {
  const { headers } = await send([replaceEntry({ match_headers: ["X-Key"], require: true })], {
    headers: [
      ["x-key", "mine"],
      ["X-Key", placeholder],
    ],
  });
  assert.deepEqual(headers, [["X-Key", real]]);
});

const base64 = (text: string) => Buffer.from(text, "latin1").toString("base64");
const unpadded = base64(`u:${placeholder}`).replace(/=+$/, "");
const basics: [title: string, name: string, sent: string, expected: string][] = [
  [
    "S-24 V12: password",
    "Authorization",
    "Basic dXNlcjpwcm94eS1vcGVuYWktYWJjMTIz",
    "Basic dXNlcjpzay1yZWFsLW9wZW5haS1rZXk=",
  ],
  [
    "S-24 V12: user name",
    "Authorization",
    "Basic cHJveHktb3BlbmFpLWFiYzEyMzpzZWNyZXQ=",
    "Basic c2stcmVhbC1vcGVuYWkta2V5OnNlY3JldA==",
  ],
  [
    "any case and several spaces",
    "authorization",
    `bAsIc   ${base64(placeholder)}`,
    `bAsIc   ${base64(real)}`,
  ],
  ["unpadded", "Authorization", `Basic ${unpadded}`, `Basic ${base64(`u:${real}`)}`],
  [
    "URL-safe",
    "Authorization",
    `Basic ${base64(`\xff\xfe?>:${placeholder}`).replaceAll("+", "-").replaceAll("/", "_")}`,
    `Basic ${base64(`\xff\xfe?>:${real}`)}`,
  ],
  [
    "S-25: byte-identical without a placeholder",
    "Authorization",
    "Basic dXNlcjpwYXNz_w",
    "Basic dXNlcjpwYXNz_w",
  ],
  [
    "S-26: not decoded in another header",
    "X-Auth",
    `Basic ${base64(placeholder)}`,
    `Basic ${base64(placeholder)}`,
  ],
  ["a placeholder that looks like base64 itself", "Authorization", `Basic ${placeholder}`, `Basic ${real}`],
  [
    "a length base64 cannot have",
    "Authorization",
    `Basic ${base64(`${placeholder}::`)}A`,
    `Basic ${base64(`${placeholder}::`)}A`,
  ],
  ["no base64", "Authorization", `Basic !${placeholder}`, `Basic !${real}`],
];

for (const [title, name, sent, expected] of basics) {
  test(`Basic credentials: ${title}`, async () => {
    const { headers } = await send([replaceEntry()], { headers: [[name, sent]] });
    assert.deepEqual(headers, [[name, expected]]);
  });
}

test("user name and password may be two placeholders of two entries", async () => {
  const other = {
    source: { type: "test", name: "OTHER" },
    rules,
    replace: { proxy_value: "proxy-other-token", match_headers: ["Authorization"] },
  };
  const { headers, exchange } = await send([replaceEntry(), other], {
    headers: [["authorization", `Basic ${base64(`${placeholder}:proxy-other-token`)}`]],
  });
  assert.deepEqual(headers, [["authorization", `Basic ${base64(`${real}:other-real-value`)}`]]);
  assert.deepEqual(exchange.annotations["swapped"], [
    { secret: "OPENAI", locations: ["header:authorization"] },
    { secret: "OTHER", locations: ["header:authorization"] },
  ]);
});
