import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { inspect } from "node:util";
import { parseAuthority } from "../../src/http/authority.ts";
import { compileIdentities, type OpenIdentities } from "../../src/proxy/upstream-identities.ts";
import { SourceRegistry } from "../../src/sources/registry.ts";
import { RootsError } from "../../src/tls/roots.ts";
import { UpstreamError } from "../../src/upstream/index.ts";
import { runCheck } from "../helpers/cli.ts";
import { configOf } from "../helpers/config.ts";
import { makeCa, makeLeaf } from "../helpers/pki.ts";

const ca = makeCa();
const client = makeLeaf(ca, "client.test");
const other = makeLeaf(ca, "other.test");
const expired = makeLeaf(ca, "expired.test", {
  notBefore: new Date(Date.now() - 7_200_000),
  notAfter: new Date(Date.now() - 3_600_000),
});
const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const encrypted = privateKey.export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "x" });
const folder = mkdtempSync(join(tmpdir(), "sallyport-identities-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const rootsFile = join(folder, "roots.crt");
writeFileSync(rootsFile, ca.certPem);

/** @param tls lines of the section besides those for our own CA */
function open(tls: string, env: NodeJS.ProcessEnv = {}): OpenIdentities & { readonly warnings: string[] } {
  const warnings: string[] = [];
  const sources = new SourceRegistry({ env, onWarning() {} });
  const config = configOf(`tls:\n  ca_cert: ca.crt\n  ca_key: ca.key\n${tls}`);
  const locate = () => ({ line: 0, column: 0 });
  const { identities, issues } = compileIdentities(config, { sources, locate, file: undefined });
  assert.deepEqual(issues, []);
  const opened = identities.open({ SSL_CERT_FILE: rootsFile }, (message, fields) =>
    warnings.push(`${message}: ${fields["error"]}`),
  );
  return { ...opened, warnings };
}

const certificates = (host = "api.test", cert = "CERT", key = "KEY"): string => `  client_certificates:
    - rules: [{host: "${host}"}]
      cert: {type: env, var: ${cert}}
      key: {type: env, var: ${key}}
`;
const good = { CERT: client.certPem, KEY: client.keyPem };
const at = (text: string) => parseAuthority(text, 443);

test("without entries no host is asked about", () => {
  assert.equal(open("").identityOf, undefined);
});

test("the identity is for the hosts and ports of the rules", () => {
  const { identityOf } = open(certificates(), good);
  assert.notEqual(identityOf?.(at("api.test"), true), undefined);
  assert.equal(identityOf?.(at("api.test:8443"), true), undefined);
  assert.equal(identityOf?.(at("other.test"), true), undefined);
  assert.equal(identityOf?.(at("api.test"), false), undefined, "nor for who may not be vouched for");
});

test("the first entry for a host counts", () => {
  const two = `${certificates("api.test", "CERT", "KEY")}${certificates("*.test", "OTHER_CERT", "OTHER_KEY").split("\n").slice(1).join("\n")}`;
  const env = { ...good, OTHER_CERT: other.certPem, OTHER_KEY: other.keyPem };
  const { identityOf } = open(two, env);
  const first = identityOf?.(at("api.test"), true) as { id: string };
  const second = identityOf?.(at("www.test"), true) as { id: string };
  assert.notEqual(first.id, second.id);
});

test("the same values have the same identity, also after a reload", () => {
  const first = open(certificates(), good).identityOf?.(at("api.test"), true) as { id: string };
  const again = open(certificates(), good).identityOf?.(at("api.test"), true) as { id: string };
  assert.equal(first.id, again.id);
  assert.doesNotMatch(first.id, / /);
});

test("a context is made once, and anew when the value changes", () => {
  const env: NodeJS.ProcessEnv = { ...good };
  const { identityOf } = open(certificates(), env);
  assert.equal(identityOf?.(at("api.test"), true), identityOf?.(at("api.test"), true));
});

test("roots of several entries add up; one root for others is another identity", () => {
  const roots = `  upstream_roots:
    - {rules: [{host: "*.corp.test"}], file: ${rootsFile}}
    - {rules: [{host: "a.corp.test"}, {cidr: 10.0.0.0/8}], file: ${rootsFile}}
`;
  const { identityOf } = open(roots);
  const both = identityOf?.(at("a.corp.test"), true) as { id: string };
  const one = identityOf?.(at("b.corp.test"), true) as { id: string };
  assert.notEqual(both.id, one.id);
  assert.notEqual(identityOf?.(at("10.1.2.3"), false), undefined);
  assert.equal(identityOf?.(at("api.test"), true), undefined);
});

test("a file with roots that cannot be read is named", () => {
  assert.throws(
    () => open(`  upstream_roots: [{rules: [{host: a.test}], file: /nowhere.pem}]\n`),
    (error) => error instanceof RootsError && /tls\.upstream_roots: \/nowhere\.pem/.test(error.message),
  );
});

const broken: readonly (readonly [what: string, env: NodeJS.ProcessEnv, fault: RegExp])[] = [
  [
    "a key of another certificate",
    { CERT: client.certPem, KEY: other.keyPem },
    /not that of the certificate/,
  ],
  ["an encrypted key", { CERT: client.certPem, KEY: encrypted }, /the key is encrypted/],
  ["a key that is none", { CERT: client.certPem, KEY: "hunter2" }, /not a private key in PEM/],
  ["a certificate that is none", { CERT: "hunter2", KEY: client.keyPem }, /not a certificate in PEM/],
];

for (const [what, env, fault] of broken) {
  test(`I4 I14: ${what} is refused with its reason, and warned of once`, async () => {
    const { identityOf, check, warnings } = open(certificates(), env);
    await check();
    for (let left = 3; left > 0; left--) {
      assert.throws(
        () => identityOf?.(at("api.test"), true),
        (error) => {
          assert.ok(error instanceof UpstreamError);
          assert.equal(error.reason, "client_certificate_unavailable");
          assert.match(error.detail ?? "", fault);
          assert.doesNotMatch(inspect(error), /hunter2|PRIVATE/);
          return true;
        },
      );
    }
    assert.equal(warnings.length, 1);
    assert.match(warnings[0] ?? "", fault);
    assert.doesNotMatch(warnings[0] ?? "", /hunter2|PRIVATE/);
  });
}

test("a certificate that has expired is presented, with a warning", async () => {
  const { identityOf, check, warnings } = open(certificates(), {
    CERT: expired.certPem,
    KEY: expired.keyPem,
  });
  await check();
  assert.notEqual(identityOf?.(at("api.test"), true), undefined);
  assert.match(warnings[0] ?? "", /has expired/);
});

test("I4: a source that cannot be read is a refusal, and nothing is left unhandled", async () => {
  for (const env of [{}, { CERT: client.certPem }, { KEY: client.keyPem }]) {
    const { identityOf, check } = open(certificates(), env);
    await check();
    assert.throws(() => identityOf?.(at("api.test"), true), { reason: "client_certificate_unavailable" });
  }
});

test("what is wrong with the entries is told by line", async () => {
  const { issues } = await runCheck(`tls:
  ca_cert: ca.crt
  ca_key: ca.key
  client_certificates:
    - rules: [{host: "bad host"}]
      cert: {type: nowhere}
      key: {type: env}
    - rules: [{host: a.test, methods: [GET]}]
      cert: {type: env, var: A}
      key: {type: env, var: A}
    - rules: []
      cert: {type: env, var: A}
      key: {type: env, var: A}
  upstream_roots:
    - rules: [{cidr: 10.0.0.0/99}]
      file: a.pem
`);
  assert.deepEqual(
    issues.filter((issue) => !issue.includes("warning:")).map((issue) => issue.split(":")[0]),
    ["5", "6", "7", "8", "11", "15"],
    issues.join("\n"),
  );
});
