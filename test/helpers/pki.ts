// Certificates for tests: P-256, made in memory, verifiable by any client that trusts the CA.
import { generateKeyPairSync, X509Certificate, type KeyObject } from "node:crypto";
import { isIP } from "node:net";
import ipaddr from "ipaddr.js";
import * as x509 from "../../src/tls/x509.ts";

const hour = 3_600_000;

export interface Validity {
  /** Default: an hour ago. */
  readonly notBefore?: Date;
  /** Default: in a day. */
  readonly notAfter?: Date;
}

export interface TestCa {
  /** PEM of this CA's certificate. */
  readonly certPem: string;
  /** PKCS#8 PEM. */
  readonly keyPem: string;
  /** PEM of this CA and the CAs above it up to, not including, the root: what a server sends after its leaf. */
  readonly chainPem: string;
  readonly certificate: X509Certificate;
  readonly key: KeyObject;
}

export interface TestLeaf {
  /** PEM of the leaf and the intermediates it needs: `cert` of tls.createServer. */
  readonly certPem: string;
  /** PKCS#8 PEM: `key` of tls.createServer. */
  readonly keyPem: string;
  readonly certificate: X509Certificate;
}

export interface CaOptions extends Validity {
  /** Common name; a different one each time by default. */
  readonly name?: string;
  /** Makes an intermediate below this CA. */
  readonly issuer?: TestCa;
  /** Replaces BasicConstraints CA, KeyUsage certSign+cRLSign: for CAs that must be refused. */
  readonly extensions?: ReturnType<typeof x509.keyUsage>[];
}

export interface LeafOptions extends Validity {
  /** `null` leaves the subject empty. Default: the first name. */
  readonly commonName?: string | null;
}

let serial = 0;

/** A root CA, or with `issuer` an intermediate. */
export function makeCa(options: CaOptions = {}): TestCa {
  const { name = `Sallyport test CA ${++serial}`, issuer, extensions } = options;
  const key = newKey();
  const der = issue(
    issuer ?? { ...key, certificate: undefined },
    name,
    key.spki,
    extensions ?? [
      x509.basicConstraints(true),
      x509.keyUsage(x509.keyUsageBit.keyCertSign | x509.keyUsageBit.cRLSign),
    ],
    options,
  );
  const certPem = x509.toPem("CERTIFICATE", der);
  return {
    certPem,
    keyPem: key.pem,
    chainPem: issuer === undefined ? "" : certPem + issuer.chainPem,
    certificate: new X509Certificate(der),
    key: key.key,
  };
}

/** A server certificate for DNS names and IP addresses. */
export function makeLeaf(ca: TestCa, names: string | readonly string[], options: LeafOptions = {}): TestLeaf {
  const list = typeof names === "string" ? [names] : names;
  const key = newKey();
  const subject = options.commonName === undefined ? list[0] : (options.commonName ?? undefined);
  const altNames = list.map((name) =>
    isIP(name) === 0 ? name : Uint8Array.from(ipaddr.parse(name).toByteArray()),
  );
  const der = issue(
    ca,
    subject,
    key.spki,
    [
      x509.basicConstraints(false),
      x509.keyUsage(x509.keyUsageBit.digitalSignature),
      x509.serverAuth(),
      x509.subjectAltName(altNames, subject === undefined),
    ],
    options,
  );
  return {
    certPem: x509.toPem("CERTIFICATE", der) + ca.chainPem,
    keyPem: key.pem,
    certificate: new X509Certificate(der),
  };
}

function newKey(): { key: KeyObject; pem: string; spki: Buffer } {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return {
    key: privateKey,
    pem: privateKey.export({ type: "pkcs8", format: "pem" }),
    spki: publicKey.export({ type: "spki", format: "der" }),
  };
}

/** Signed by `issuer`, or by its own key where that has no certificate. */
function issue(
  issuer: { readonly key: KeyObject; readonly certificate: X509Certificate | undefined },
  subject: string | undefined,
  publicKey: Buffer,
  extensions: ReturnType<typeof x509.keyUsage>[],
  validity: Validity,
): Buffer {
  const signer = x509.signerFor(issuer.key);
  if (signer === undefined) throw new Error("the issuer's key cannot sign certificates");
  const issuerKey = issuer.certificate?.publicKey.export({ type: "spki", format: "der" }) ?? publicKey;
  return x509.issueCertificate(
    {
      subject: x509.commonName(subject),
      issuer: x509.commonName(issuer.certificate?.subject.replace(/^CN=/, "") ?? subject),
      notBefore: validity.notBefore ?? new Date(Date.now() - hour),
      notAfter: validity.notAfter ?? new Date(Date.now() + 24 * hour),
      publicKey,
      extensions: [
        ...extensions,
        x509.subjectKeyIdentifier(x509.keyIdentifier(publicKey)),
        x509.authorityKeyIdentifier(x509.keyIdentifier(issuerKey)),
      ],
    },
    signer,
  );
}
