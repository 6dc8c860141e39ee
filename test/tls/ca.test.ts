import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { createPrivateKey, generateKeyPairSync, X509Certificate, type KeyObject } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { createCa, ephemeralCa } from "../../src/tls/ca-create.ts";
import { caFilesIn, writeCa } from "../../src/tls/ca-files.ts";
import { CaError, loadCa, parseCa, pemBlocks } from "../../src/tls/ca.ts";
import { defaultCaFiles, ensureDefaultCa } from "../../src/tls/default-ca.ts";
import * as x509 from "../../src/tls/x509.ts";
import { makeCa } from "../helpers/pki.ts";

const day = 86_400_000;

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "sallyport-ca-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** A self-signed CA certificate for any key. */
function certificateFor(key: { publicKey: KeyObject; privateKey: KeyObject }): string {
  const signer = x509.signerFor(key.privateKey);
  assert.ok(signer);
  const publicKey = key.publicKey.export({ type: "spki", format: "der" });
  const name = x509.commonName("Any CA");
  const der = x509.issueCertificate(
    {
      subject: name,
      issuer: name,
      notBefore: new Date(Date.now() - day),
      notAfter: new Date(Date.now() + 60 * day),
      publicKey,
      extensions: [x509.basicConstraints(true), x509.keyUsage(x509.keyUsageBit.keyCertSign)],
    },
    signer,
  );
  return x509.toPem("CERTIFICATE", der);
}

const ec = (namedCurve: string) => generateKeyPairSync("ec", { namedCurve });
const rsa = (modulusLength: number) => generateKeyPairSync("rsa", { modulusLength });

describe("a CA key", () => {
  const pair = ec("P-256");
  const cert = certificateFor(pair);
  const rsaPair = rsa(2048);
  const rsaCert = certificateFor(rsaPair);
  const ed = generateKeyPairSync("ed25519");
  const sec1 = pair.privateKey.export({ type: "sec1", format: "pem" });
  const parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
  const accepted: [title: string, certPem: string, keyPem: string][] = [
    ["PKCS#8, P-256", cert, pair.privateKey.export({ type: "pkcs8", format: "pem" })],
    ["SEC1", cert, sec1],
    ["SEC1 behind EC PARAMETERS", cert, parameters + sec1],
    ["PKCS#8, RSA", rsaCert, rsaPair.privateKey.export({ type: "pkcs8", format: "pem" })],
    ["PKCS#1", rsaCert, rsaPair.privateKey.export({ type: "pkcs1", format: "pem" })],
    ["Ed25519", certificateFor(ed), ed.privateKey.export({ type: "pkcs8", format: "pem" })],
    ["behind the certificate in one file", cert, cert + sec1],
    ["with CRLF line ends and text around", cert, `Bag Attributes\r\n${sec1.replaceAll("\n", "\r\n")}bye`],
    ...["P-384", "P-521"].map((curve): [string, string, string] => {
      const key = ec(curve);
      return [curve, certificateFor(key), key.privateKey.export({ type: "pkcs8", format: "pem" })];
    }),
  ];
  for (const [title, certPem, keyPem] of accepted) {
    test(`is accepted: ${title}`, () => {
      const ca = parseCa(certPem, keyPem);
      assert.equal(ca.certificate.checkPrivateKey(ca.signer.key), true);
      assert.deepEqual(ca.warnings, []);
    });
  }

  const cipher = { cipher: "aes-256-cbc", passphrase: "hunter2" };
  const other = ec("P-256").privateKey.export({ type: "pkcs8", format: "pem" });
  const broken = sec1.replace(/[A-Za-z]{10}/, "AAAAAAAAAA");
  const refused: [title: string, certPem: string, keyPem: string, message: string][] = [
    [
      "of another certificate",
      cert,
      other,
      "CA key does not belong to CA certificate: they are halves of different pairs",
    ],
    [
      "that is encrypted (PKCS#8)",
      cert,
      pair.privateKey.export({ type: "pkcs8", format: "pem", ...cipher }),
      'CA key is encrypted: decrypt it with "openssl pkey -in FILE -out FILE"',
    ],
    [
      "that is encrypted (PKCS#1)",
      rsaCert,
      rsaPair.privateKey.export({ type: "pkcs1", format: "pem", ...cipher }),
      'CA key is encrypted: decrypt it with "openssl pkey -in FILE -out FILE"',
    ],
    ["that is a certificate", cert, cert, "CA key holds no private key, only CERTIFICATE"],
    ["without PEM", cert, "not a key", "CA key holds no PEM block"],
    ["that is broken", cert, broken, "CA key cannot be decoded as a PKCS#8, PKCS#1 or SEC1 private key"],
    [
      "of a curve clients lack",
      cert,
      ec("secp256k1").privateKey.export({ type: "pkcs8", format: "pem" }),
      "CA key is of an unsupported kind: RSA (2048 bits or more), P-256, P-384, P-521 and Ed25519 work",
    ],
    [
      "of short RSA",
      cert,
      rsa(1024).privateKey.export({ type: "pkcs8", format: "pem" }),
      "CA key is of an unsupported kind: RSA (2048 bits or more), P-256, P-384, P-521 and Ed25519 work",
    ],
    [
      "for key exchange",
      cert,
      generateKeyPairSync("x25519").privateKey.export({ type: "pkcs8", format: "pem" }),
      "CA key is of an unsupported kind: RSA (2048 bits or more), P-256, P-384, P-521 and Ed25519 work",
    ],
  ];
  for (const [title, certPem, keyPem, message] of refused) {
    test(`is refused: one ${title}`, () => {
      assert.throws(() => parseCa(certPem, keyPem), { name: "CaError", message });
    });
  }

  test("I14: never shows in the error about it", () => {
    for (const [, certPem, keyPem] of refused) {
      try {
        parseCa(certPem, keyPem);
        assert.fail("accepted");
      } catch (error) {
        const shown =
          String((error as Error).stack) + JSON.stringify(error, Object.getOwnPropertyNames(error));
        for (const line of keyPem.split("\n").filter((text) => text.length > 20 && !text.startsWith("-"))) {
          assert.ok(!shown.includes(line));
        }
        assert.equal((error as Error).cause, undefined);
      }
    }
  });
});

describe("a CA certificate", () => {
  const good = makeCa();
  const { basicConstraints, keyUsage, keyUsageBit } = x509;
  const certSign = keyUsage(keyUsageBit.keyCertSign);
  const now = Date.now();
  const at = (days: number) => new Date(Math.floor(now / 1000) * 1000 + days * day);
  const expired = makeCa({ notBefore: at(-20), notAfter: at(-10) });
  const early = makeCa({ notBefore: at(1), notAfter: at(100) });
  const refused: [title: string, ca: { certPem: string; keyPem: string }, message: RegExp][] = [
    ["without PEM", { ...good, certPem: "DER?" }, /^CA certificate holds no PEM block$/],
    [
      "that is a key",
      { ...good, certPem: good.keyPem },
      /^CA certificate holds no CERTIFICATE, only PRIVATE KEY$/,
    ],
    [
      "that cannot be decoded",
      { ...good, certPem: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" },
      /^CA certificate holds a CERTIFICATE block that is not a certificate \(number 1\)$/,
    ],
    [
      "whose second block is none",
      { ...good, certPem: `${good.certPem}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n` },
      /\(number 2\)$/,
    ],
    [
      "of a server",
      makeCa({ extensions: [basicConstraints(false), certSign] }),
      /^CA certificate is not a CA \(BasicConstraints CA is false or missing\)$/,
    ],
    ["without BasicConstraints", makeCa({ extensions: [certSign] }), /is not a CA/],
    [
      "that may only sign data",
      makeCa({ extensions: [basicConstraints(true), keyUsage(keyUsageBit.digitalSignature)] }),
      /^CA certificate may not sign certificates \(KeyUsage keyCertSign is missing\)$/,
    ],
    ["without KeyUsage", makeCa({ extensions: [basicConstraints(true)] }), /may not sign certificates/],
    [
      "that has expired",
      expired,
      new RegExp(`^CA certificate expired on ${at(-10).toISOString()}: replace it`),
    ],
    [
      "that is not valid yet",
      early,
      new RegExp(`^CA certificate is not valid before ${at(1).toISOString()}: check this machine's clock$`),
    ],
  ];
  for (const [title, ca, message] of refused) {
    test(`is refused: one ${title}`, () => {
      assert.throws(() => parseCa(ca.certPem, ca.keyPem), { name: "CaError", message });
    });
  }

  test("warns when it expires within 30 days", () => {
    const soon = makeCa({ notAfter: new Date(Date.now() + 5.5 * day) });
    assert.deepEqual(parseCa(soon.certPem, soon.keyPem).warnings, [
      "CA certificate expires in 5 days, and every leaf with it",
    ]);
  });

  test("of another tool is used with its own subject and key identifier", async (t) => {
    if (spawnSync("openssl", ["version"]).error !== undefined) return t.skip("openssl is not installed");
    const subject = "/C=DE/O=Beispiel GmbH/OU=Sicherheit/CN=Bücher CA";
    const make = `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -days 90 -keyout ca.key -out ca.crt -utf8 -addext keyUsage=critical,keyCertSign -subj`;
    execFileSync("openssl", [...make.split(" "), subject], { cwd: dir, stdio: "ignore" });
    const ca = await loadCa(caFilesIn(dir));
    const { LeafStore } = await import("../../src/tls/leaf.ts");
    assert.ok(
      await new LeafStore(ca, { cacheSize: 1, expiryHours: 1 }).contextFor({ name: "a.b", kind: "name" }),
    );
    const key = ec("P-256").publicKey.export({ type: "spki", format: "der" });
    const der = x509.issueCertificate(
      {
        subject: x509.commonName("a.b"),
        issuer: ca.subject,
        notBefore: new Date(),
        notAfter: new Date(Date.now() + day),
        publicKey: key,
        extensions: [x509.authorityKeyIdentifier(ca.keyId), x509.subjectAltName(["a.b"])],
      },
      ca.signer,
    );
    writeFileSync(join(dir, "leaf.pem"), x509.toPem("CERTIFICATE", der));
    const verify = ["verify", "-purpose", "sslserver", "-CAfile", "ca.crt", "leaf.pem"];
    assert.match(execFileSync("openssl", verify, { cwd: dir, encoding: "utf8" }), /OK/);
  });
});

describe("loadCa", () => {
  test("names the file and the setting when it is missing, a directory or unreadable", async () => {
    const certPath = join(dir, "ca.crt");
    const keyPath = join(dir, "ca.key");
    await assert.rejects(loadCa({ certPath, keyPath }), {
      message: `CA certificate ${certPath} does not exist: make a CA with "sallyport ca init", or correct tls.ca_cert`,
    });
    const ca = makeCa();
    writeFileSync(certPath, ca.certPem);
    await assert.rejects(loadCa({ certPath, keyPath }), {
      message: `CA key ${keyPath} does not exist: make a CA with "sallyport ca init", or correct tls.ca_key`,
    });
    await assert.rejects(loadCa({ certPath, keyPath: dir }), {
      message: `CA key ${dir} is a directory: tls.ca_key must name a PEM file`,
    });
    writeFileSync(keyPath, makeCa().keyPem, { mode: 0o600 });
    await assert.rejects(loadCa({ certPath, keyPath }), {
      message: `CA key ${keyPath} does not belong to CA certificate ${certPath}: they are halves of different pairs`,
    });
  });

  test("attack 53: warns of a key that others than its owner may read", async () => {
    const files = await writeCa(dir, await createCa({ name: "Test", validityDays: 60 }));
    assert.deepEqual((await loadCa(files)).warnings, []);
    for (const mode of ["0644", "0640"]) {
      chmodSync(files.keyPath, Number.parseInt(mode, 8));
      assert.deepEqual((await loadCa(files)).warnings, [
        `other users of this machine can reach CA key ${files.keyPath} (mode ${mode}): run chmod 600 on it`,
      ]);
    }
  });
});

describe("createCa", () => {
  test("makes a CA that may sign leaves and nothing else, valid from a minute ago", async () => {
    const { certPem, keyPem } = await createCa({ name: "My CA", validityDays: 2 });
    const certificate = new X509Certificate(certPem);
    assert.equal(certificate.subject, "CN=My CA");
    assert.equal(certificate.ca, true);
    assert.ok(certificate.verify(certificate.publicKey));
    assert.match(certificate.serialNumber, /^[4-7][0-9A-F]{31}$/);
    const life = certificate.validToDate.getTime() - certificate.validFromDate.getTime();
    assert.equal(life, 2 * day + 60_000);
    assert.equal(pemBlocks(keyPem)[0]?.label, "PRIVATE KEY");
    assert.equal(createPrivateKey(keyPem).asymmetricKeyDetails?.namedCurve, "prime256v1");
  });

  test("writes the extensions that RFC 5280 asks of a CA", async (t) => {
    if (spawnSync("openssl", ["version"]).error !== undefined) return t.skip("openssl is not installed");
    const { certPem } = await createCa({ name: "My CA", validityDays: 30_000 });
    const text = execFileSync("openssl", ["x509", "-noout", "-text"], { input: certPem, encoding: "utf8" });
    assert.match(text, /Version: 3/);
    assert.match(text, /Basic Constraints: critical\s+CA:TRUE, pathlen:0/);
    assert.match(text, /Key Usage: critical\s+Certificate Sign, CRL Sign\n/);
    assert.match(text, /Subject Key Identifier:\s+[0-9A-F:]{59}\n/);
    assert.match(text, /Not After : .* 2[01]\d\d GMT/);
  });

  const kinds = [
    ["p256", "ec"],
    ["rsa4096", "rsa"],
    ["ed25519", "ed25519"],
  ] as const;
  for (const [algorithm, type] of kinds) {
    test(`makes an ${algorithm} key`, async () => {
      const { certPem, keyPem } = await createCa({ name: "My CA", validityDays: 60, algorithm });
      assert.equal(parseCa(certPem, keyPem).signer.key.asymmetricKeyType, type);
    });
  }

  for (const [title, options] of Object.entries({
    "an empty name": { name: "", validityDays: 1 },
    "a name of 65 characters": { name: "x".repeat(65), validityDays: 1 },
    "a name of two lines": { name: "a\nb", validityDays: 1 },
    "no days": { name: "a", validityDays: 0 },
    "negative days": { name: "a", validityDays: -1 },
    "days that are no number": { name: "a", validityDays: Number.NaN },
    "more than a hundred years": { name: "a", validityDays: 36_501 },
  })) {
    test(`refuses ${title}`, async () => {
      await assert.rejects(createCa(options), CaError);
    });
  }

  test("has an ephemeral form that never touches a disk", async () => {
    const { ca, certPem } = await ephemeralCa();
    assert.equal(new X509Certificate(certPem).fingerprint256, ca.certificate.fingerprint256);
    assert.notEqual((await ephemeralCa()).certPem, certPem);
  });
});

describe("writeCa", () => {
  const pem = { certPem: "CERT\n", keyPem: "KEY\n" };
  const mode = (path: string) => statSync(path).mode & 0o777;

  test("writes the certificate for everyone and the key for its owner, into new directories", async () => {
    const files = await writeCa(join(dir, "a", "b"), pem);
    assert.deepEqual([mode(files.certPath), mode(files.keyPath)], [0o644, 0o600]);
    assert.deepEqual(
      [readFileSync(files.certPath, "utf8"), readFileSync(files.keyPath, "utf8")],
      ["CERT\n", "KEY\n"],
    );
  });

  for (const existing of ["ca.crt", "ca.key"]) {
    test(`overwrites nothing and leaves nothing behind when ${existing} exists`, async () => {
      writeFileSync(join(dir, existing), "mine");
      await assert.rejects(writeCa(dir, pem), {
        name: "CaError",
        message: `${join(dir, existing)} exists already and is left as it is: "sallyport ca init --force" replaces a CA`,
      });
      assert.deepEqual(readdirSync(dir), [existing]);
      assert.equal(readFileSync(join(dir, existing), "utf8"), "mine");
    });
  }

  test("replaces both with force, whatever mode the old key had, and keeps no other file", async () => {
    writeFileSync(join(dir, "ca.key"), "old", { mode: 0o666 });
    writeFileSync(join(dir, "ca.crt"), "old");
    const files = await writeCa(dir, pem, { force: true });
    assert.equal(readFileSync(files.keyPath, "utf8"), "KEY\n");
    assert.equal(mode(files.keyPath), 0o600);
    assert.deepEqual(readdirSync(dir).sort(), ["ca.crt", "ca.key"]);
  });

  test("does not write through somebody's symbolic link", async () => {
    const target = join(dir, "target");
    symlinkSync(target, join(dir, "ca.key"));
    await assert.rejects(writeCa(dir, pem), /exists already/);
    assert.equal(existsSync(target), false);
  });

  test("says which directory cannot be made", async () => {
    writeFileSync(join(dir, "file"), "");
    await assert.rejects(writeCa(join(dir, "file", "sub"), pem), {
      message: `directory ${join(dir, "file", "sub")} cannot be made (ENOTDIR)`,
    });
  });
});

describe("the default CA", () => {
  test("is kept in the user's state directory", () => {
    const cases: [env: NodeJS.ProcessEnv, base: string][] = [
      [{ XDG_STATE_HOME: "/state", HOME: "/home/u" }, "/state"],
      [{ HOME: "/home/u" }, "/home/u/.local/state"],
      [{ XDG_STATE_HOME: "", HOME: "/home/u" }, "/home/u/.local/state"],
      [{ XDG_STATE_HOME: "relative", HOME: "/home/u" }, "/home/u/.local/state"],
    ];
    for (const [env, base] of cases) {
      assert.deepEqual(defaultCaFiles(env), {
        certPath: `${base}/sallyport/ca.crt`,
        keyPath: `${base}/sallyport/ca.key`,
      });
    }
  });

  test("is made on first use in a directory of its owner, and kept", async () => {
    const env = { XDG_STATE_HOME: join(dir, "state") };
    const first = await ensureDefaultCa(env);
    assert.equal(statSync(join(dir, "state", "sallyport")).mode & 0o777, 0o700);
    const again = await ensureDefaultCa(env);
    assert.equal(again.certificate.fingerprint256, first.certificate.fingerprint256);
  });

  test("is one and the same for processes that start together", async () => {
    const env = { XDG_STATE_HOME: dir };
    const all = await Promise.all(Array.from({ length: 8 }, () => ensureDefaultCa(env)));
    assert.equal(new Set(all.map((ca) => ca.certificate.fingerprint256)).size, 1);
  });

  test("is not made anew when half of it is lost", async () => {
    const env = { XDG_STATE_HOME: dir };
    await ensureDefaultCa(env);
    rmSync(defaultCaFiles(env).certPath);
    await assert.rejects(ensureDefaultCa(env), /ca\.crt does not exist/);
  });
});
