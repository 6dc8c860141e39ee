import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import tls from "node:tls";
import type { Host } from "../../src/http/authority.ts";
import { createCa, type CaAlgorithm } from "../../src/tls/ca-create.ts";
import { parseCa, type CertificateAuthority } from "../../src/tls/ca.ts";
import { LeafStore } from "../../src/tls/leaf.ts";
import { makeCa } from "../helpers/pki.ts";
import { handshake, peerChain } from "../helpers/tls-pair.ts";

const hour = 3_600_000;
const name = (text: string): Host => ({ name: text, kind: "name" });

let ca: CertificateAuthority;
let caPem: string;

before(async () => {
  const pem = await createCa({ name: "Test CA", validityDays: 30 });
  caPem = pem.certPem;
  ca = parseCa(pem.certPem, pem.keyPem);
});

/** The chain a client is shown for a host. */
async function served(store: LeafStore, host: Host): Promise<X509Certificate[]> {
  const { client, close } = await handshake(await store.contextFor(host), { rejectUnauthorized: false });
  const chain = peerChain(client);
  close();
  return chain;
}

describe("a leaf", () => {
  const hosts: { host: Host; san: string }[] = [
    { host: name("api.example.com"), san: "DNS:api.example.com" },
    { host: name("xn--bcher-kva.example"), san: "DNS:xn--bcher-kva.example" },
    { host: name("my_bucket.s3.example.com"), san: "DNS:my_bucket.s3.example.com" },
    { host: { name: "192.0.2.1", kind: "ipv4" }, san: "IP Address:192.0.2.1" },
    { host: { name: "2001:db8::1", kind: "ipv6" }, san: "IP Address:2001:DB8:0:0:0:0:0:1" },
  ];
  for (const { host, san } of hosts) {
    test(`names ${host.name} as ${host.kind} and verifies against the CA`, async () => {
      const store = new LeafStore(ca, { cacheSize: 10, expiryHours: 72 });
      const [leaf, issuer] = await served(store, host);
      assert.equal(leaf?.subjectAltName, san);
      assert.equal(leaf?.subject, `CN=${host.name}`);
      assert.equal(leaf?.ca, false);
      assert.ok(leaf?.verify(ca.certificate.publicKey));
      assert.ok(leaf?.checkIssued(ca.certificate));
      assert.equal(issuer?.fingerprint256, ca.certificate.fingerprint256);
      assert.deepEqual(leaf?.keyUsage, ["1.3.6.1.5.5.7.3.1"]);
      const key = leaf?.publicKey.asymmetricKeyDetails;
      assert.equal(key?.namedCurve, "prime256v1");
      assert.match(leaf?.serialNumber ?? "", /^[4-7][0-9A-F]{31}$/);
    });
  }

  test("has no common name, and critical names, for a host of more than 64 characters", async () => {
    const long = `${"a".repeat(60)}.example.com`;
    const store = new LeafStore(ca, { cacheSize: 10, expiryHours: 72 });
    const [leaf] = await served(store, name(long));
    assert.equal(leaf?.subject, undefined);
    assert.equal(leaf?.checkHost(long), long);
  });

  test("starts a minute ago and ends after its lifetime", async () => {
    const before = Math.floor(Date.now() / 1000) * 1000;
    const [leaf] = await served(new LeafStore(ca, { cacheSize: 1, expiryHours: 72 }), name("a.example"));
    const start = leaf?.validFromDate.getTime() ?? 0;
    assert.ok(Math.abs(start - (before - 60_000)) < 5000);
    assert.ok(Math.abs((leaf?.validToDate.getTime() ?? 0) - (before + 72 * hour)) < 5000);
  });

  test("never outlives the CA nor begins before it", async () => {
    const [leaf] = await served(
      new LeafStore(ca, { cacheSize: 1, expiryHours: 24 * 365 }),
      name("a.example"),
    );
    assert.equal(leaf?.validToDate.getTime(), ca.notAfter);
    const pem = await createCa({ name: "Young CA", validityDays: 1, now: Date.now() + 60_000 });
    const young = parseCa(pem.certPem, pem.keyPem, { now: Date.now() + 60_000 });
    const [early] = await served(new LeafStore(young, { cacheSize: 1, expiryHours: 1 }), name("a.example"));
    assert.equal(early?.validFromDate.getTime(), young.notBefore);
  });

  test("has a key and a serial of its own", async () => {
    const store = new LeafStore(ca, { cacheSize: 10, expiryHours: 72 });
    const [one] = await served(store, name("a.example"));
    const [two] = await served(store, name("b.example"));
    assert.notEqual(one?.serialNumber, two?.serialNumber);
    assert.notEqual(
      one?.publicKey.export({ type: "spki", format: "pem" }),
      two?.publicKey.export({ type: "spki", format: "pem" }),
    );
  });

  for (const algorithm of ["p256", "rsa4096", "ed25519"] satisfies CaAlgorithm[]) {
    test(`is accepted by openssl's strict verification under a ${algorithm} CA`, async (t) => {
      if (spawnSync("openssl", ["version"]).error !== undefined) return t.skip("openssl is not installed");
      const pem = await createCa({ name: "Strict CA", validityDays: 30, algorithm });
      const store = new LeafStore(parseCa(pem.certPem, pem.keyPem), { cacheSize: 10, expiryHours: 72 });
      const dir = mkdtempSync(join(tmpdir(), "sallyport-leaf-"));
      after(() => rmSync(dir, { recursive: true }));
      writeFileSync(join(dir, "ca.pem"), pem.certPem);
      for (const { host } of hosts) {
        const [leaf] = await served(store, host);
        writeFileSync(join(dir, "leaf.pem"), leaf?.toString() ?? "");
        const name = host.kind === "name" ? ["-verify_hostname", host.name] : ["-verify_ip", host.name];
        const args = ["-x509_strict", "-purpose", "sslserver", ...name, "-CAfile", "ca.pem", "leaf.pem"];
        assert.match(execFileSync("openssl", ["verify", ...args], { cwd: dir, encoding: "utf8" }), /: OK/);
      }
    });
  }

  test("verifies for a client that knows only the root above an intermediate CA", async () => {
    const root = makeCa();
    const intermediate = makeCa({ issuer: root });
    const store = new LeafStore(parseCa(intermediate.certPem, intermediate.keyPem), {
      cacheSize: 1,
      expiryHours: 1,
    });
    const context = await store.contextFor(name("api.example.com"));
    const { client, close } = await handshake(context, { ca: root.certPem, servername: "api.example.com" });
    assert.equal(client.authorized, true);
    close();
  });

  test("comes with the whole chain that the CA's file holds", async () => {
    const root = makeCa();
    const middle = makeCa({ issuer: root });
    const signing = makeCa({ issuer: middle });
    const store = new LeafStore(parseCa(signing.chainPem, signing.keyPem), { cacheSize: 1, expiryHours: 1 });
    const context = await store.contextFor(name("api.example.com"));
    const { client, close } = await handshake(context, { ca: root.certPem, servername: "api.example.com" });
    assert.equal(client.authorized, true);
    close();
  });
});

describe("the leaf store", () => {
  test("gives a cached context at once and the same one each time", async () => {
    const store = new LeafStore(ca, { cacheSize: 10, expiryHours: 72 });
    const first = await store.contextFor(name("a.example"));
    assert.equal(store.has(name("a.example")), true);
    assert.equal(store.contextFor(name("a.example")), first);
    assert.equal(store.has(name("b.example")), false);
  });

  test("makes one leaf per host however many ask at once, with a CA that signs off the main thread", async () => {
    const pem = await createCa({ name: "RSA CA", validityDays: 1, algorithm: "rsa4096" });
    const store = new LeafStore(parseCa(pem.certPem, pem.keyPem), { cacheSize: 100, expiryHours: 72 });
    const asked = Array.from({ length: 50 }, (_, i) => store.contextFor(name(`h${i % 5}.example`)));
    assert.ok(asked.every((context) => context instanceof Promise));
    const contexts = await Promise.all(asked);
    assert.equal(new Set(contexts).size, 5);
    assert.equal(store.size, 5);
    assert.equal(store.contextFor(name("h0.example")), contexts[0]);
  });

  test("I12 attack 60: keeps no more leaves than its size, dropping the one longest unused", async () => {
    const store = new LeafStore(ca, { cacheSize: 2, expiryHours: 72 });
    const a = await store.contextFor(name("a.example"));
    await store.contextFor(name("b.example"));
    await store.contextFor(name("a.example"));
    await store.contextFor(name("c.example"));
    assert.equal(store.size, 2);
    assert.equal(store.contextFor(name("a.example")), a);
    assert.equal(store.has(name("b.example")), false);
  });

  for (const cacheSize of [0, -1, 1.5, Number.POSITIVE_INFINITY, Number.NaN]) {
    test(`I12: refuses a cache of ${cacheSize}`, () => {
      assert.throws(() => new LeafStore(ca, { cacheSize, expiryHours: 1 }), RangeError);
    });
  }

  test("renews a leaf before its end: after nine tenths of its lifetime", async () => {
    let now = Date.now();
    const store = new LeafStore(ca, { cacheSize: 1, expiryHours: 10, now: () => now });
    const first = await store.contextFor(name("a.example"));
    now += 9 * hour - 1000;
    assert.equal(store.contextFor(name("a.example")), first);
    now += 2000;
    assert.equal(store.has(name("a.example")), false);
    assert.notEqual(await store.contextFor(name("a.example")), first);
  });

  test("says that the CA has expired instead of serving a leaf that every client refuses", async () => {
    let now = Date.now();
    const store = new LeafStore(ca, { cacheSize: 1, expiryHours: 10_000, now: () => now });
    await store.contextFor(name("a.example"));
    now = ca.notAfter;
    await assert.rejects(
      async () => store.contextFor(name("a.example")),
      /CA certificate expired on .*: replace it/,
    );
  });

  test("lets a process resume the sessions of another that has the same ticket keys, and no others", async () => {
    const options = { cacheSize: 1, expiryHours: 1 };
    const first = new LeafStore(ca, options);
    const client = { ca: caPem, servername: "a.example" };
    const opened = await handshake(await first.contextFor(name("a.example")), client);
    const ticket = once(opened.client, "session") as Promise<[Buffer]>;
    opened.server.write("x");
    const [session] = await ticket;
    opened.close();
    const resumes = async (store: LeafStore) => {
      const pair = await handshake(await store.contextFor(name("a.example")), { ...client, session });
      pair.close();
      return pair.client.isSessionReused();
    };
    assert.equal(await resumes(new LeafStore(ca, { ...options, ticketKeys: first.ticketKeys })), true);
    assert.equal(await resumes(new LeafStore(ca, options)), false);
  });

  test("speaks TLS 1.2 and 1.3 and nothing older", async () => {
    const store = new LeafStore(ca, { cacheSize: 1, expiryHours: 1 });
    const context = await store.contextFor(name("a.example"));
    for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
      const options = { ca: caPem, servername: "a.example", minVersion: version, maxVersion: version };
      const { client, close } = await handshake(context, options);
      assert.equal(client.getProtocol(), version);
      close();
    }
    const old = {
      rejectUnauthorized: false,
      minVersion: "TLSv1.1",
      maxVersion: "TLSv1.1",
      ciphers: "DEFAULT@SECLEVEL=0",
    };
    await assert.rejects(handshake(context, old as tls.ConnectionOptions));
  });
});
