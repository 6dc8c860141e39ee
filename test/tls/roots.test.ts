import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import tls from "node:tls";
import { bundle, upstreamContext, upstreamRoots } from "../../src/tls/roots.ts";
import { makeCa, makeLeaf } from "../helpers/pki.ts";
import { handshake } from "../helpers/tls-pair.ts";

const [one, two, three] = [makeCa(), makeCa(), makeCa()];
let dir: string;
before(() => {
  dir = mkdtempSync(join(tmpdir(), "sallyport-roots-"));
  writeFileSync(join(dir, "one.pem"), `# one\n${one.certPem}`);
  writeFileSync(join(dir, "two.pem"), two.certPem);
  writeFileSync(join(dir, "three.pem"), three.certPem);
  writeFileSync(join(dir, "both.pem"), one.certPem + two.certPem);
  writeFileSync(join(dir, "key.pem"), one.keyPem);
  writeFileSync(
    join(dir, "broken.pem"),
    `${one.certPem}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`,
  );
});
after(() => rmSync(dir, { recursive: true }));

describe("upstream roots", () => {
  test("are the system's, each once, or node's own where the system has none", () => {
    const roots = upstreamRoots({ env: {} });
    assert.ok(roots.length > 0);
    assert.equal(new Set(roots).size, roots.length);
    const expected = tls.getCACertificates("system").length > 0 ? "system" : "bundled";
    assert.deepEqual(new Set(roots), new Set(tls.getCACertificates(expected)));
  });

  test("are SSL_CERT_FILE's in place of the system's, and besides them the other two files'", () => {
    const env = { SSL_CERT_FILE: join(dir, "one.pem") };
    assert.deepEqual(upstreamRoots({ env }), [one.certPem]);
    const all = { ...env, NODE_EXTRA_CA_CERTS: join(dir, "two.pem") };
    assert.deepEqual(upstreamRoots({ env: all, upstreamCa: join(dir, "three.pem") }), [
      one.certPem,
      two.certPem,
      three.certPem,
    ]);
    assert.deepEqual(upstreamRoots({ env: { SSL_CERT_FILE: join(dir, "both.pem") } }), [
      one.certPem,
      two.certPem,
    ]);
  });

  test("add upstream_ca to the system's", () => {
    const plain = upstreamRoots({ env: {} });
    assert.deepEqual(upstreamRoots({ env: {}, upstreamCa: join(dir, "one.pem") }), [...plain, one.certPem]);
  });

  const wrong: [file: string, message: RegExp][] = [
    ["missing.pem", /^tls\.upstream_ca: .*missing\.pem cannot be read \(ENOENT\)$/],
    ["key.pem", /^tls\.upstream_ca: .*key\.pem holds no certificate in PEM$/],
    ["broken.pem", /^tls\.upstream_ca: certificate 2 of .*broken\.pem cannot be decoded$/],
  ];
  for (const [file, message] of wrong) {
    test(`say what is wrong with ${file}`, () => {
      assert.throws(() => upstreamRoots({ env: {}, upstreamCa: join(dir, file) }), {
        name: "RootsError",
        message,
      });
    });
  }

  test("name the variable that named a wrong file", () => {
    for (const name of ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"]) {
      const env = { [name]: join(dir, "missing.pem") };
      assert.throws(() => upstreamRoots({ env }), { message: new RegExp(`^${name}: `) });
    }
  });
});

describe("the upstream context", () => {
  const connect = async (upstreamCa: string, certificate: { certPem: string; keyPem: string }) => {
    const secureContext = upstreamContext({ env: { SSL_CERT_FILE: join(dir, "three.pem") }, upstreamCa });
    const server = tls.createSecureContext({ cert: certificate.certPem, key: certificate.keyPem });
    const { client, close } = await handshake(server, { secureContext, servername: "api.example.com" });
    close();
    return client.authorized;
  };

  test("trusts its roots and nothing else", async () => {
    const leaf = makeLeaf(one, "api.example.com");
    assert.equal(await connect(join(dir, "one.pem"), leaf), true);
    await assert.rejects(connect(join(dir, "two.pem"), leaf), /self-signed|unable to/);
  });

  test("trusts an intermediate CA that upstream_ca names", async () => {
    const intermediate = makeCa({ issuer: two });
    writeFileSync(join(dir, "intermediate.pem"), intermediate.certPem);
    assert.equal(
      await connect(join(dir, "intermediate.pem"), makeLeaf(intermediate, "api.example.com")),
      true,
    );
  });
});

test("the bundle for a workload is our CA and the roots, one PEM block after the other", () => {
  const env = { SSL_CERT_FILE: join(dir, "both.pem") };
  assert.equal(bundle(three.certPem.trimEnd(), { env }), three.certPem + one.certPem + two.certPem);
});
