// The other types of entries: what tests of the original assert (T10 to T15), and rows C2, C3, C5 and C6.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Entry } from "../../src/tools/index.ts";
import { declare, entryOf, errorsOf, shown } from "./support.ts";

function only<Type extends Entry["type"]>(
  type: Type,
  secret: string,
  table = "",
): Extract<Entry, { type: Type }> {
  const entry = entryOf(secret, table);
  assert.equal(entry.type, type);
  return entry as Extract<Entry, { type: Type }>;
}

const ref = (name: string, jsonKey?: string) => ({ ref: name, jsonKey });

test("T10: gcp_auth goes to Google's hosts with the cloud-platform scope unless it says otherwise", () => {
  const entry = only("gcp_auth", '{ type = "gcp_auth", name = "GCP" }', 'hosts = ["tool.example"]');
  assert.deepEqual(
    [entry.hosts, entry.scopes, entry.secret],
    [["*.googleapis.com"], ["https://www.googleapis.com/auth/cloud-platform"], ref("GCP")],
  );
  const own = only(
    "gcp_auth",
    '{ type = "gcp_auth", name = "GCP", hosts = ["sheets.googleapis.com"], scopes = ["s"] }',
  );
  assert.deepEqual([own.hosts, own.scopes], [["sheets.googleapis.com"], ["s"]]);
});

/** The fields each grant needs, and the one it may have. */
const grants = [
  ["refresh_token", ["refresh_token", "client_id"], "client_secret", ""],
  ["client_credentials", ["client_id", "client_secret"], undefined, ""],
  ["password", ["username", "password", "client_id"], "client_secret", ""],
  ["jwt_bearer", ["issuer", "subject", "private_key"], "private_key_id", 'audience = "https://idp.example/"'],
] as const;

function oauth(grant: string, fields: readonly string[], more = ""): string {
  const table = fields.map((field) => `${field} = "${field.toUpperCase()}"`).join(", ");
  const rest = more === "" ? "" : `, ${more}`;
  return `{ type = "oauth_token", name = "T", grant = "${grant}", hosts = ["h"], token_endpoint = "https://idp.example/token", fields = { ${table} }${rest} }`;
}

for (const [grant, needed, optional, more] of grants) {
  test(`T11: ${grant} with the fields it needs, and with the one it may have`, () => {
    const entry = only("oauth_token", oauth(grant, needed, more));
    assert.deepEqual([...entry.fields.keys()], [...needed].sort());
    if (optional !== undefined) assert.deepEqual(errorsOf(oauth(grant, [...needed, optional], more)), []);
  });
  for (const field of needed) {
    test(`T11: ${grant} without ${field}`, () => {
      const fields = needed.filter((one) => one !== field);
      const errors = errorsOf(oauth(grant, fields, more));
      assert.ok(
        errors.includes(`T fields: fields has no ${field}; the ${grant} grant needs it`),
        errors.join("\n"),
      );
    });
  }
  test(`T11: ${grant} with a field it does not know`, () => {
    assert.match(
      errorsOf(oauth(grant, [...needed, "tenant"], more)).join(),
      /T fields: fields has "tenant", which/,
    );
  });
}

test("T11: audience is for jwt_bearer, which needs it", () => {
  assert.match(
    errorsOf(oauth("jwt_bearer", grants[3][1])).join(),
    /T: audience is missing; the jwt_bearer grant/,
  );
  assert.match(
    errorsOf(oauth("refresh_token", grants[0][1], 'audience = "x"')).join(),
    /T audience: audience is for the jwt_bearer grant/,
  );
});

test("T12: a field is a reference, or one with a json_key", () => {
  const secret = `{ type = "oauth_token", name = "GOOGLE", grant = "refresh_token", hosts = ["h"], token_endpoint = "https://idp.example/token",
    fields = { refresh_token = { secret_ref = "GOOGLE_TOKEN_JSON", json_key = "refresh_token" }, client_id = "ID" } }`;
  const { fields } = only("oauth_token", secret);
  assert.deepEqual(
    [...fields],
    [
      ["client_id", ref("ID")],
      ["refresh_token", ref("GOOGLE_TOKEN_JSON", "refresh_token")],
    ],
  );
});

const fields = grants[0][1];
const signed = 'hosts = ["h"], credentials = { secret = "KEY", id = "ID" }, message = "{{ .Timestamp }}"';
const header = 'headers = [{ name = "X-Sign", value = "{{ .Signature }}" }]';
const brokered =
  'type = "brokered_token", name = "B", hosts = ["h"], token_endpoint = "https://idp.example/token"';
const aws = 'type = "aws_auth", name = "AWS", hosts = ["*.amazonaws.com"]';

const mistakes: readonly (readonly [title: string, secret: string, error: RegExp])[] = [
  ["T10: hosts that are empty", '{ type = "gcp_auth", name = "G", hosts = [] }', /^G hosts: hosts is empty/],
  [
    "T10: scopes that are empty",
    '{ type = "gcp_auth", name = "G", scopes = [] }',
    /^G scopes: scopes is empty/,
  ],
  [
    "T10: an empty scope",
    '{ type = "gcp_auth", name = "G", scopes = [""] }',
    /^G scopes: .*\[0\] is an empty one$/,
  ],
  [
    "T10: a scope of two words",
    '{ type = "gcp_auth", name = "G", scopes = ["a b"] }',
    /^G scopes: a scope is one word/,
  ],
  [
    "T11: no grant",
    '{ type = "oauth_token", name = "T", hosts = ["h"], token_endpoint = "https://i/", fields = { a = "B" } }',
    /^T: grant is missing/,
  ],
  ["T11: an unknown grant", oauth("device_code", fields), /^T grant: grant must be one of refresh_token, /],
  [
    "T12: headers for the endpoint that are empty",
    oauth("refresh_token", fields, "token_endpoint_headers = {}"),
    /^T token_endpoint_headers: token_endpoint_headers is an empty table/,
  ],
  [
    "T12: no fields",
    '{ type = "oauth_token", name = "T", grant = "password", hosts = ["h"], token_endpoint = "https://i/" }',
    /^T: fields is missing$/,
  ],
  [
    "no token endpoint",
    '{ type = "oauth_token", name = "T", grant = "refresh_token", hosts = ["h"], fields = { refresh_token = "R", client_id = "C" } }',
    /^T: token_endpoint is missing$/,
  ],
  [
    "a token endpoint without TLS",
    oauth("refresh_token", fields).replace("https://idp", "http://idp"),
    /^T token_endpoint: invalid token_endpoint: /,
  ],
  [
    "a secret_ref where credentials are named one by one",
    oauth("refresh_token", fields, 'secret_ref = "X"'),
    /^T secret_ref: unknown key "secret_ref" in an oauth_token entry; its credentials are named one by one/,
  ],
  [
    "T13: credentials without secret",
    `{ type = "hmac_sign", name = "H", hosts = ["h"], credentials = { id = "ID" }, message = "m", ${header} }`,
    /^H credentials: credentials has no secret/,
  ],
  [
    "T13: a header without value",
    `{ type = "hmac_sign", name = "H", ${signed}, headers = [{ name = "X" }] }`,
    /^H headers: value is missing$/,
  ],
  [
    "T13: a header without name",
    `{ type = "hmac_sign", name = "H", ${signed}, headers = [{ value = "x" }] }`,
    /^H headers: name is missing$/,
  ],
  [
    "T13: no headers",
    `{ type = "hmac_sign", name = "H", ${signed}, headers = [] }`,
    /^H headers: headers is empty/,
  ],
  [
    "T13: no message",
    `{ type = "hmac_sign", name = "H", hosts = ["h"], credentials = { secret = "K" }, ${header} }`,
    /^H: message is missing$/,
  ],
  [
    "T13: an unknown algorithm",
    `{ type = "hmac_sign", name = "H", ${signed}, ${header}, algorithm = "md5" }`,
    /^H algorithm: algorithm must be one of sha256, sha512, sha1; got "md5"/,
  ],
  [
    "T13: an unknown encoding of the key",
    `{ type = "hmac_sign", name = "H", ${signed}, ${header}, key_encoding = "utf8" }`,
    /^H key_encoding: /,
  ],
  [
    "T13: an unknown encoding of the signature",
    `{ type = "hmac_sign", name = "H", ${signed}, ${header}, output_encoding = "raw" }`,
    /^H output_encoding: /,
  ],
  [
    "T13: an unknown timestamp",
    `{ type = "hmac_sign", name = "H", ${signed}, ${header}, timestamp_format = "iso" }`,
    /^H timestamp_format: /,
  ],
  [
    "a template that names no credential",
    `{ type = "hmac_sign", name = "H", ${signed}, headers = [{ name = "X", value = "{{ .Credentials.nope }}" }] }`,
    /^H value: /,
  ],
  [
    "T14: a json_key on the refresh token",
    `{ ${brokered}, client_id = "ID", refresh_token = { secret_ref = "R", json_key = "x" } }`,
    /^B refresh_token: refresh_token cannot have a json_key/,
  ],
  ["T14: no client_id", `{ ${brokered}, refresh_token = "R" }`, /^B: client_id is missing$/],
  [
    "a template of a brokered token that is more than a prefix",
    `{ ${brokered}, client_id = "I", refresh_token = "R", inject_formatter = "{{ .Value }}!" }`,
    /^B inject_formatter: .*must be text before/,
  ],
  ["aws_auth without a key", `{ ${aws}, access_key_id = "ID" }`, /^AWS: secret_access_key is missing$/],
  ["T15: pg_dsn without database", '{ type = "pg_dsn", name = "DSN" }', /^DSN: database is missing$/],
];

for (const [title, secret, error] of mistakes) {
  test(title, () => {
    const errors = errorsOf(secret);
    assert.equal(errors.length, 1, errors.join("\n"));
    assert.match(errors[0] ?? "", error);
  });
}

test("T14: a brokered token is an oauth_token of the refresh_token grant, and deprecated", () => {
  const secret = `{ ${brokered}, client_id = { secret_ref = "J", json_key = "id" }, refresh_token = "R", inject_header = "X-Token", inject_formatter = "Token {{ .Value }}" }`;
  const { tool, problems } = declare(`[tool.centaur]\nsecrets = [${secret}]`);
  const [entry] = tool?.secrets ?? [];
  assert.ok(entry?.type === "oauth_token");
  assert.deepEqual(
    [entry.grant, [...entry.fields], entry.header, entry.valuePrefix],
    [
      "refresh_token",
      [
        ["client_id", ref("J", "id")],
        ["refresh_token", ref("R")],
      ],
      "X-Token",
      "Token ",
    ],
  );
  assert.deepEqual(
    problems.map(({ severity }) => severity),
    ["note"],
  );
});

test("hmac_sign keeps the order of its headers", () => {
  const headers =
    'headers = [{ name = "Z", value = "{{ .Signature }}" }, { name = "A", value = "{{ .Credentials.id }}" }]';
  const entry = only(
    "hmac_sign",
    `{ type = "hmac_sign", name = "H", ${signed}, ${headers}, algorithm = "sha512" }`,
  );
  assert.deepEqual(
    entry.headers.map(({ name }) => name),
    ["Z", "A"],
  );
  assert.deepEqual(
    [entry.algorithm, entry.keyEncoding, entry.allowChunkedBody],
    ["sha512", undefined, false],
  );
});

test("aws_auth names its keys one by one", () => {
  const keys = 'access_key_id = { secret_ref = "J", json_key = "id" }, secret_access_key = "S"';
  const entry = only("aws_auth", `{ ${aws}, ${keys}, allowed_regions = ["eu-west-1"] }`);
  assert.deepEqual(
    [
      entry.accessKeyId,
      entry.secretAccessKey,
      entry.sessionToken,
      entry.allowedRegions,
      entry.allowedServices,
    ],
    [ref("J", "id"), ref("S"), undefined, ["eu-west-1"], []],
  );
});

test("pg_dsn is listed, and said to be left out, while the tool's other entries work", () => {
  const other = '{ name = "K", match_path = true, hosts = ["h"] }';
  const { tool, problems } = declare(
    `[tool.centaur]\nsecrets = [{ type = "pg_dsn", name = "DSN", database = "wh", role = "r", settings = [{ name = "x", value = "1" }] }, ${other}]`,
  );
  assert.deepEqual(
    tool?.secrets.map(({ type }) => type),
    ["pg_dsn", "http"],
  );
  assert.deepEqual(problems.map(shown), [
    "DSN type: pg_dsn is not supported yet; this entry is left out, the others of the tool work",
  ]);
  assert.equal(problems[0]?.severity, "warning");
});

const one = '{ name = "K", match_path = true, hosts = ["h"] }';

test("optional secrets have the same schema", () => {
  const { tool } = declare(`[tool.centaur]\noptional_secrets = [${one}]`);
  assert.deepEqual(
    tool?.secrets.map(({ name, optional }) => [name, optional]),
    [["K", true]],
  );
});

test("C5: [tool.ai-v2] works, and is deprecated", () => {
  const { tool, problems } = declare('[tool.ai-v2]\nhosts = ["h.example"]\nsecrets = ["API_KEY"]');
  assert.equal(tool?.secrets.length, 1);
  assert.match(problems.map(shown).join("\n"), /\[tool\.ai-v2\] is deprecated; call it \[tool\.sallyport\]/);
});

test("[tool.sallyport] counts where both tables are there, and a difference is told", () => {
  const both = (other: string) =>
    declare(`[tool.centaur]\nsecrets = [${other}]\n[tool.sallyport]\nsecrets = [${one}]`);
  assert.deepEqual(both(one).problems, []);
  const { tool, problems } = both(one.replace("K", "OTHER"));
  assert.deepEqual(
    tool?.secrets.map(({ name }) => name),
    ["K"],
  );
  assert.match(
    problems.map(shown).join(),
    /\[tool\.sallyport\] counts: \[tool\.centaur\] says something else/,
  );
});

test("a persona is no tool, and neither is a file without a table", () => {
  for (const text of ['[tool.centaur]\ntype = "persona"\nengine = "x"', "[tool.ruff]\nline-length = 3", ""]) {
    assert.deepEqual(declare(text), { tool: undefined, problems: [] });
  }
});

test("keys of the program that runs the tools are no concern; unknown ones are told and let be", () => {
  const { tool, problems } = declare(
    `[project]\ndescription = "Asks"\n[tool.centaur]\nmodule = "client.py"\ntimeout_s = 3\nagent_facing = false\nsecrtes = []\nsecrets = [${one}]`,
  );
  assert.equal(tool?.description, "Asks");
  assert.deepEqual(
    problems.map((problem) => `${problem.severity} ${problem.line} ${problem.message}`),
    ['warning 7 unknown key "secrtes" in [tool.centaur]; did you mean "secrets"?'],
  );
});

test("I12: more than 200 entries in a list are refused", () => {
  assert.match(
    errorsOf(Array.from({ length: 201 }, () => '"A_KEY"').join(), 'hosts = ["h"]').join(),
    /more than 200/,
  );
});
