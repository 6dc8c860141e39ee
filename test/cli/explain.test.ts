import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { run } from "../helpers/cli.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-explain-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const file = join(folder, "proxy.yaml");
writeFileSync(
  file,
  `proxy: {upstream_deny_cidrs: [127.0.0.0/8]}
transforms:
  - name: allowlist
    config:
      domains: [api.openai.com, 127.0.0.2]
      rules: [{host: api.github.com, methods: [GET], paths: [/repos/*]}, {host: signed.example}]
  - name: secrets
    config:
      secrets:
        - source: {type: env, var: OPENAI_API_KEY}
          replace: {proxy_value: PLACEHOLDER-1234, match_headers: [Authorization], match_body: true}
          rules: [{host: api.openai.com}]
        - source: {type: env, var: GITHUB_TOKEN}
          inject: {header: Authorization, formatter: "Bearer {{ .Value }}"}
          rules: [{host: api.github.com}]
  - name: aws_auth
    config:
      credentials_provider: {type: workload_identity}
      rules: [{host: signed.example}]
  - name: header_allowlist
    config: {headers: [authorization, accept]}
`,
);
// The names of the variables are known; a value would show where it must not.
const env = { OPENAI_API_KEY: "real-openai-key", GITHUB_TOKEN: "real-github-token" };

async function explain(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const result = await run(["explain", ...args], { env });
  assert.doesNotMatch(result.stdout + result.stderr, /real-|stand-in/);
  return result;
}

async function verdict(...args: string[]): Promise<string> {
  const { code, stdout } = await explain(file, ...args);
  assert.equal(code, 0);
  const { verdict: found } = JSON.parse((await explain("--json", file, ...args)).stdout);
  assert.ok(stdout.includes(`verdict    ${found.text}`));
  return found.text;
}

test("tells of a placeholder where it is not for, and of the refusal for it", async () => {
  const elsewhere = ["GET", "https://api.github.com/repos/a", "-H", "X-Note: PLACEHOLDER-1234"];
  const refused = await explain(file, ...elsewhere);
  assert.match(
    refused.stdout,
    /^finding {4}placeholder_wrong_host: the placeholder of OPENAI_API_KEY in header x-note; blocked$/m,
  );
  assert.match(refused.stdout, /^verdict {4}would be refused: 403 placeholder_misused, by findings$/m);
  const { verdict: json, findings } = JSON.parse((await explain("--json", file, ...elsewhere)).stdout);
  assert.equal(json.reason, "placeholder_misused");
  assert.equal(findings[0].kind, "placeholder_wrong_host");

  const mention = ["POST", "https://127.0.0.2:1/", "-d", "see PLACEHOLDER-1234"];
  assert.match((await explain(file, ...mention)).stdout, /placeholder_wrong_host.* in body; reported$/m);
  const copies = ["POST", "https://api.openai.com/", "-d", "PLACEHOLDER-1234 ".repeat(5)];
  assert.match(await verdict(...copies), /403 placeholder_misused/);
  assert.match(
    await verdict("POST", "https://api.openai.com/", "-d", "PLACEHOLDER-1234"),
    /would be forwarded/,
  );
});

test("tells the whole way of a request", async () => {
  const { code, stdout, stderr } = await explain(
    file,
    "GET",
    "https://API.openai.com/v1/%7Emodels?secret=1",
    "-H",
    "Authorization: Bearer PLACEHOLDER-1234",
    "-H",
    "X-Trace: 1",
  );
  assert.equal(code, 0);
  assert.equal(stderr, "");
  assert.equal(
    stdout,
    `method     GET
authority  api.openai.com:443
path       /v1/~models
tunnel     would be opened
step 1     allowlist: allowed: rule 1 (api.openai.com) matches
step 2     secrets[0] OPENAI_API_KEY: rules match; placeholder found in header Authorization; would be replaced
           secrets[1] GITHUB_TOKEN: rules do not match: no rule is for the host api.openai.com
step 3     aws_auth: rules do not match: no rule is for the host api.openai.com
step 4     header_allowlist: would remove X-Trace
verdict    would be forwarded to https://api.openai.com/v1/~models with credential OPENAI_API_KEY in header Authorization
`,
  );
});

for (const [what, args, expected] of [
  [
    "a placeholder in the body",
    ["POST", "https://api.openai.com/v1", "--data", '{"key":"PLACEHOLDER-1234"}'],
    "would be forwarded to https://api.openai.com/v1 with credential OPENAI_API_KEY in body",
  ],
  [
    "no placeholder",
    ["GET", "https://api.openai.com/"],
    "would be forwarded to https://api.openai.com/ without a credential",
  ],
  [
    "an injected header",
    ["GET", "https://api.github.com/repos/a"],
    "would be forwarded to https://api.github.com/repos/a with credential GITHUB_TOKEN in header Authorization",
  ],
  [
    "a method that no rule allows",
    ["POST", "https://api.github.com/repos/a"],
    "would be refused: 403 request_not_allowed, by allowlist",
  ],
  [
    "a host that no rule is for",
    ["GET", "https://evil.example/"],
    "would be refused: 403 host_not_allowed, by allowlist",
  ],
  [
    "a port that no rule is for",
    ["GET", "https://api.openai.com:8443/"],
    "would be refused: 403 host_not_allowed, by allowlist",
  ],
  [
    "I6: plain HTTP to a host that a credential is for",
    ["GET", "http://api.github.com/repos/a"],
    "would be refused: 403 plaintext_upstream, by secrets",
  ],
  ["I3: a dot segment", ["GET", "https://api.github.com/a/%2e%2e/b"], "would be refused: 400 ambiguous_path"],
  [
    "I1: another Host",
    ["GET", "https://api.openai.com/", "-H", "Host: evil.example"],
    "would be refused: 421 authority_mismatch",
  ],
  [
    "attack 13: user information",
    ["GET", "https://api.openai.com@evil.example/"],
    "would be refused: 400 invalid_host",
  ],
  ["attack 36: TRACE", ["TRACE", "https://api.openai.com/"], "would be refused: 405 method_not_allowed"],
  [
    "I11: an address that is never dialled",
    ["GET", "https://127.0.0.2/"],
    "would be refused: 403 upstream_address_denied",
  ],
  [
    "a mechanism that refuses without asking anyone",
    ["GET", "https://signed.example/"],
    "would be refused: missing_sigv4, by aws_auth",
  ],
] as const) {
  test(`${what}: ${expected}`, async () => {
    assert.equal(await verdict(...args), expected);
  });
}

test("I2: TLS that is passed through is not said to carry anything", async () => {
  const passing = join(folder, "passing.yaml");
  writeFileSync(
    passing,
    "tls: {passthrough: [pinned.example]}\ntransforms: [{name: allowlist, config: {domains: [pinned.example]}}]\n",
  );
  const { code, stdout } = await explain(passing, "GET", "https://pinned.example/x");
  assert.equal(code, 0);
  assert.match(
    stdout,
    /verdict    would be passed to pinned\.example:443 unopened, by tls\.passthrough: no request/,
  );
  assert.match(stdout, /allowlist: allowed.*\[not reached\]/);
  const plain = await explain(passing, "GET", "http://pinned.example/x");
  assert.match(plain.stdout, /verdict    would be forwarded/);
});

test("transforms behind the one that refuses are shown as not reached", async () => {
  const { stdout } = await explain(file, "POST", "https://api.github.com/repos/a");
  assert.match(stdout, /^step 1 +allowlist: refused: .*method POST is not one of GET$/m);
  assert.match(stdout, /secrets\[1\] GITHUB_TOKEN: rules match; .* \[not reached\]$/m);
});

test("a later credential for the same header is seen to come too late", async () => {
  const twice = join(folder, "twice.yaml");
  const entry = (name: string) =>
    `{source: {type: env, var: ${name}}, inject: {header: X-Key}, rules: [{host: a.example}]}`;
  writeFileSync(
    twice,
    `transforms: [{name: secrets, config: {secrets: [${entry("ONE")}, ${entry("TWO")}]}}]\n`,
  );
  const { stdout } = await explain(twice, "GET", "https://a.example/");
  assert.match(stdout, /secrets\[1\] TWO: rules match; would skip header X-Key: an earlier entry has it$/m);
  assert.match(stdout, /with credential ONE in header X-Key$/m);
});

test("shows the file's warnings on standard error, and in the JSON", async () => {
  const bare = join(folder, "bare.yaml");
  writeFileSync(bare, "transforms: []\n");
  const { stderr } = await explain(bare, "GET", "https://a.example/");
  assert.match(stderr, /bare\.yaml:1:1: warning: there is no allowlist/);
  const { stdout } = await explain("--json", bare, "GET", "https://a.example/");
  const { warnings, verdict: found } = JSON.parse(stdout);
  assert.equal(warnings.length, 1);
  assert.deepEqual([found.kind, found.status, found.reason], ["refuse", 403, "host_not_allowed"]);
});

test("a file with errors is not explained", async () => {
  const wrong = join(folder, "wrong.yaml");
  writeFileSync(wrong, "transforms: [{name: alowlist}]\n");
  const { code, stdout, stderr } = await explain(wrong, "GET", "https://a.example/");
  assert.deepEqual([code, stdout], [1, ""]);
  assert.match(stderr, /unknown transform "alowlist"; did you mean "allowlist"\?/);
});

for (const [what, args, message] of [
  ["no URL", ["GET", "api.openai.com/v1"], /must begin with https:\/\/ or http:\/\//],
  [
    "a header without a name",
    ["GET", "https://a.example/", "-H", "secret-value"],
    /-H number 1 has no header name/,
  ],
  [
    "a line break in a header",
    ["GET", "https://a.example/", "-H", "X-A: secret\r\nvalue"],
    /-H X-A has a control/,
  ],
] as const) {
  test(`I14: ${what} is wrong usage, said without the value`, async () => {
    const { code, stderr } = await explain(file, ...args);
    assert.equal(code, 2);
    assert.match(stderr, message);
    assert.doesNotMatch(stderr, /secret/);
  });
}
