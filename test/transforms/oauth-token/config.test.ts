import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { build, type Entry, entryOf, rules, source } from "./fixture.ts";

const endpoint = "https://idp.example.com/oauth2/token";

/** Errors and warnings of one entry, without the prefix that all have. */
function problems(t: Parameters<typeof build>[0], entry: Entry) {
  const { errors, warnings } = build(t, [entry]);
  const short = (text: string) => text.replace(/^(tokens\.0[^:]*): oauth_token: tokens\[0\]: /, "$1: ");
  return { errors: errors.map(short), warnings: warnings.map(short) };
}

const without = (grant: string, ...keys: string[]): Entry =>
  entryOf(grant, endpoint, Object.fromEntries(keys.map((key) => [key, undefined])));

const cases: [title: string, entry: Entry, errors: string[]][] = [
  [
    "an unknown grant",
    entryOf("magic", endpoint),
    [
      'tokens.0.grant: "grant" must be one of refresh_token, client_credentials, password, jwt_bearer (got "magic")',
    ],
  ],
  [
    "no grant",
    { token_endpoint: endpoint, rules },
    ['tokens.0: "grant" must be one of refresh_token, client_credentials, password, jwt_bearer (got "")'],
  ],
  [
    "no rules",
    entryOf("password", endpoint, { rules: [] }),
    ['tokens.0.rules: at least one entry in "rules" is required'],
  ],
  ...["refresh_token", "client_credentials", "password", "jwt_bearer"].map(
    (grant): [string, Entry, string[]] => [
      `${grant} without token_endpoint`,
      without(grant, "token_endpoint"),
      [`tokens.0: ${grant} grant requires "token_endpoint"`],
    ],
  ),
  [
    "refresh_token without refresh_token and client_id",
    without("refresh_token", "refresh_token", "client_id"),
    [
      'tokens.0: refresh_token grant requires "refresh_token"',
      'tokens.0: refresh_token grant requires "client_id"',
    ],
  ],
  [
    "client_credentials without client_id",
    without("client_credentials", "client_id"),
    ['tokens.0: client_credentials grant requires "client_id" and "client_secret"'],
  ],
  [
    "client_credentials without client_secret",
    without("client_credentials", "client_secret"),
    ['tokens.0: client_credentials grant requires "client_id" and "client_secret"'],
  ],
  [
    "password without password",
    without("password", "password"),
    ['tokens.0: password grant requires "username" and "password"'],
  ],
  [
    "password without username and client_id",
    without("password", "username", "client_id"),
    [
      'tokens.0: password grant requires "username" and "password"',
      'tokens.0: password grant requires "client_id"',
    ],
  ],
  ...["audience", "issuer", "subject", "private_key"].map((key): [string, Entry, string[]] => [
    `jwt_bearer without ${key}`,
    without("jwt_bearer", key),
    [`tokens.0: jwt_bearer grant requires "${key}"`],
  ]),
  [
    "an endpoint header without a name, one that is none, one of the connection, one named twice",
    entryOf("client_credentials", endpoint, {
      token_endpoint_headers: {
        "": source("a"),
        "a b": source("a"),
        Host: source("a"),
        "X-A": source("a"),
        "x-a": source("a"),
      },
    }),
    [
      "tokens.0.token_endpoint_headers.: token_endpoint_headers: header name must not be empty",
      'tokens.0.token_endpoint_headers.Host: token_endpoint_headers["Host"]: belongs to the connection and cannot be set',
      'tokens.0.token_endpoint_headers.a b: token_endpoint_headers["a b"]: not a header name',
      'tokens.0.token_endpoint_headers.x-a: token_endpoint_headers["x-a"]: the header is named twice',
    ],
  ],
  [
    "Authorization twice",
    entryOf("client_credentials", endpoint, {
      client_auth: "basic",
      token_endpoint_headers: { authorization: source("a") },
    }),
    [
      'tokens.0.token_endpoint_headers.authorization: token_endpoint_headers["authorization"]: client_auth: basic sets this header',
    ],
  ],
  [
    "Basic authentication without a password",
    entryOf("refresh_token", endpoint, { client_auth: "basic", client_secret: undefined }),
    ['tokens.0.client_auth: client_auth: basic requires "client_secret"'],
  ],
  [
    "a header that is none",
    entryOf("password", endpoint, { header: "a b" }),
    ['tokens.0.header: "a b" is not a header name'],
  ],
  [
    "a header of the connection",
    entryOf("password", endpoint, { header: "Host" }),
    ["tokens.0.header: Host belongs to the connection; a credential cannot be put there"],
  ],
  [
    "attack 33: a line break in the prefix",
    entryOf("password", endpoint, { value_prefix: "Bearer\r\n" }),
    ["tokens.0.value_prefix: value_prefix must not have a control character in it"],
  ],
];

describe("O-01: refuses, and says what to do about it", () => {
  test("no tokens", (t) => {
    for (const tokens of [[], undefined]) {
      const { errors } = build(t, tokens as unknown as Entry[]);
      assert.deepEqual(errors, ['tokens: oauth_token: at least one entry in "tokens" is required']);
    }
  });

  for (const [title, entry, errors] of cases) {
    test(title, (t) => assert.deepEqual(problems(t, entry).errors, errors));
  }

  test("keys it does not know", (t) => {
    assert.throws(() => build(t, [entryOf("password", endpoint, { scope: "a" })]), /scope/);
    assert.throws(() => build(t, [entryOf("password", endpoint, { client_auth: "jwt" })]), /basic/);
  });
});

describe("the token endpoint", () => {
  const refused: [text: string, why: RegExp][] = [
    ["foo", /has no host; write an absolute URL/],
    ["/oauth2/token", /has no host/],
    ["https://", /has no host/],
    ["ftp://idp.example.com/token", /scheme must be https/],
    ["http://idp.example.com/token", /must be https; http is for 127\.0\.0\.1/],
    ["http://10.0.0.1/token", /must be https/],
    ["https://user:hunter2@idp.example.com/token", /user name or password/],
    ["https://idp.example.com/token#x", /fragment/],
    ["https://idp.example.com:0/token", /port/],
  ];
  for (const [text, why] of refused) {
    test(`refuses ${text}`, (t) => {
      const { errors } = problems(t, entryOf("client_credentials", text));
      assert.equal(errors.length, 1);
      assert.match(errors[0] ?? "", /^tokens\.0\.token_endpoint: invalid token_endpoint: /);
      assert.match(errors[0] ?? "", why);
      assert.ok(!errors[0]?.includes("hunter2"));
    });
  }

  for (const text of [
    endpoint,
    "https://idp.example.com",
    "https://[2001:db8::1]:8443/t?x=1",
    "http://127.0.0.1:8080/token",
    "http://localhost/token",
    "http://[::1]:9/token",
  ]) {
    test(`takes ${text}`, (t) => {
      assert.deepEqual(problems(t, entryOf("client_credentials", text)), { errors: [], warnings: [] });
    });
  }
});

describe("warns of", () => {
  test("keys that the grant does not use", (t) => {
    const entry = entryOf("refresh_token", endpoint, {
      username: source("username"),
      scopes: ["a"],
      audience: "x",
    });
    const { errors, warnings } = problems(t, entry);
    assert.deepEqual(errors, []);
    assert.deepEqual(warnings.toSorted(), [
      "tokens.0.audience: audience is not used by the refresh_token grant",
      "tokens.0.scopes: scopes is not used by the refresh_token grant",
      "tokens.0.username: username is not used by the refresh_token grant",
    ]);
  });

  test("O-15: an empty prefix, which is the default", (t) => {
    const { warnings } = problems(t, entryOf("password", endpoint, { value_prefix: "" }));
    assert.deepEqual(warnings, ['tokens.0.value_prefix: an empty value_prefix means "Bearer "']);
  });
});

test("one rotation file for two refresh tokens is an error; for one token in two entries it is not", (t) => {
  const entry = (name: string) =>
    entryOf("refresh_token", endpoint, { refresh_token: source(name), rotation_file: "/state/token" });
  assert.deepEqual(build(t, [entry("a"), entry("a")]).errors, []);
  assert.deepEqual(build(t, [entry("a"), entry("b")]).errors, [
    "tokens.1.rotation_file: oauth_token: tokens[1]: rotation_file is that of tokens[0], which has another refresh token; give each its own",
  ]);
});
