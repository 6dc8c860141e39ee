// Builds X.509 certificates (RFC 5280): pkijs writes the ASN.1, node:crypto makes keys and signatures.
import { createHash, randomBytes, sign, type KeyObject } from "node:crypto";
import * as asn1js from "asn1js";
import * as pkijs from "pkijs";

export const oid = {
  commonName: "2.5.4.3",
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  authorityKeyIdentifier: "2.5.29.35",
  extKeyUsage: "2.5.29.37",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  rsaWithSha256: "1.2.840.113549.1.1.11",
  ed25519: "1.3.101.112",
} as const;

/** KeyUsage bits as they stand in the first byte of the bit string (RFC 5280 4.2.1.3). */
export const keyUsageBit = { digitalSignature: 0x80, keyCertSign: 0x04, cRLSign: 0x02 } as const;

/** A key that signs certificates, with the algorithm identifier its signatures carry. */
export interface Signer {
  readonly key: KeyObject;
  /** OpenSSL's digest name; `null` where the algorithm has its own. */
  readonly digest: "sha256" | "sha384" | "sha512" | null;
  readonly algorithm: asn1js.Sequence;
}

/** What varies from certificate to certificate. Encoded parts may be shared between certificates. */
export interface CertificateFields {
  readonly subject: asn1js.Sequence;
  readonly issuer: asn1js.Sequence;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  readonly extensions: readonly asn1js.Sequence[];
}

/** A Name of one common name, or empty. */
export function commonName(name: string | undefined): asn1js.Sequence {
  if (name === undefined) return new asn1js.Sequence();
  const value = new asn1js.Utf8String({ value: name });
  const attribute = new pkijs.AttributeTypeAndValue({ type: oid.commonName, value });
  return new asn1js.Sequence({ value: [new asn1js.Set({ value: [attribute.toSchema()] })] });
}

function extension(extnID: string, critical: boolean, value: asn1js.BaseBlock): asn1js.Sequence {
  return new pkijs.Extension({ extnID, critical, extnValue: value.toBER(false) }).toSchema();
}

/** `pathLength` is how many CAs may stand below; `undefined` sets no bound. */
export function basicConstraints(cA: boolean, pathLength?: number): asn1js.Sequence {
  const fields = { cA, ...(pathLength === undefined ? {} : { pathLenConstraint: pathLength }) };
  return extension(oid.basicConstraints, true, new pkijs.BasicConstraints(fields).toSchema());
}

/** Critical KeyUsage of the given bits (`keyUsageBit`). */
export function keyUsage(bits: number): asn1js.Sequence {
  const unusedBits = Math.min(7, 31 - Math.clz32(bits & -bits));
  return extension(
    oid.keyUsage,
    true,
    new asn1js.BitString({ valueHex: Uint8Array.of(bits).buffer, unusedBits }),
  );
}

export function serverAuth(): asn1js.Sequence {
  return extension(
    oid.extKeyUsage,
    false,
    new pkijs.ExtKeyUsage({ keyPurposes: [oid.serverAuth] }).toSchema(),
  );
}

export function subjectKeyIdentifier(id: Uint8Array): asn1js.Sequence {
  return extension(oid.subjectKeyIdentifier, false, new asn1js.OctetString({ valueHex: exactBytes(id) }));
}

export function authorityKeyIdentifier(id: Uint8Array): asn1js.Sequence {
  const keyIdentifier = new asn1js.OctetString({ valueHex: exactBytes(id) });
  return extension(
    oid.authorityKeyIdentifier,
    false,
    new pkijs.AuthorityKeyIdentifier({ keyIdentifier }).toSchema(),
  );
}

/** Names of a subject: text for a DNS name (ASCII), bytes for an IP address (4 or 16, network order). */
export function subjectAltName(names: readonly (string | Uint8Array)[], critical = false): asn1js.Sequence {
  const altNames = names.map((name) =>
    typeof name === "string"
      ? new pkijs.GeneralName({ type: 2, value: name })
      : new pkijs.GeneralName({ type: 7, value: new asn1js.OctetString({ valueHex: exactBytes(name) }) }),
  );
  return extension(oid.subjectAltName, critical, new pkijs.AltName({ altNames }).toSchema());
}

/** Key identifier of a SubjectPublicKeyInfo (DER): 160 bits of its SHA-256, as RFC 7093 section 2 allows. */
export function keyIdentifier(publicKey: Uint8Array): Buffer {
  return createHash("sha256").update(publicKey).digest().subarray(0, 20);
}

/** Gives the DER of a signed version 3 certificate with a random positive serial of 127 bits. */
export function issueCertificate(fields: CertificateFields, signer: Signer): Buffer {
  const tbs = tbsCertificate(fields, signer);
  return signedCertificate(tbs, signer, sign(signer.digest, encoded(tbs), signer.key));
}

/** As `issueCertificate`, with the signature made off the main thread: RSA takes milliseconds. */
export async function issueCertificateAsync(fields: CertificateFields, signer: Signer): Promise<Buffer> {
  const tbs = tbsCertificate(fields, signer);
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  sign(signer.digest, encoded(tbs), signer.key, (error, signature) =>
    error === null ? resolve(signature) : reject(error),
  );
  return signedCertificate(tbs, signer, await promise);
}

/** RFC 5280 4.1, field by field: pkijs' own Certificate class takes three times as long, per new host. */
function tbsCertificate(fields: CertificateFields, signer: Signer): asn1js.Sequence {
  return new asn1js.Sequence({
    value: [
      explicit(0, new asn1js.Integer({ value: 2 })), // version 3
      new asn1js.Integer({ valueHex: randomSerial() }),
      signer.algorithm,
      fields.issuer,
      new asn1js.Sequence({ value: [time(fields.notBefore), time(fields.notAfter)] }),
      fields.subject,
      asn1js.fromBER(fields.publicKey).result,
      explicit(3, new asn1js.Sequence({ value: [...fields.extensions] })),
    ],
  });
}

function signedCertificate(tbs: asn1js.Sequence, signer: Signer, signature: Uint8Array): Buffer {
  const signatureValue = new asn1js.BitString({ valueHex: exactBytes(signature) });
  return encoded(new asn1js.Sequence({ value: [tbs, signer.algorithm, signatureValue] }));
}

function encoded(block: asn1js.BaseBlock): Buffer {
  return Buffer.from(block.toBER(false));
}

function explicit(tagNumber: number, value: asn1js.BaseBlock): asn1js.Constructed {
  return new asn1js.Constructed({ idBlock: { tagClass: 3, tagNumber }, value: [value] });
}

/** 16 bytes between 2^126 and 2^127: positive, and never shortened by a leading zero. */
function randomSerial(): ArrayBuffer {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return exactBytes(bytes);
}

/** RFC 5280 4.1.2.5: UTCTime through the year 2049, GeneralizedTime from 2050; whole seconds. */
function time(value: Date): asn1js.UTCTime | asn1js.GeneralizedTime {
  const valueDate = new Date(Math.floor(value.getTime() / 1000) * 1000);
  return valueDate.getUTCFullYear() < 2050
    ? new asn1js.UTCTime({ valueDate })
    : new asn1js.GeneralizedTime({ valueDate });
}

/** A buffer of just these bytes: node's small Buffers are windows on a shared one. */
function exactBytes(bytes: Uint8Array): ArrayBuffer {
  return Uint8Array.from(bytes).buffer;
}

/** PEM text of one DER block, lines of 64 characters (RFC 7468). */
export function toPem(label: string, der: Uint8Array): string {
  const text = Buffer.from(der.buffer, der.byteOffset, der.byteLength).toString("base64");
  return `-----BEGIN ${label}-----\n${text.replace(/.{1,64}/g, "$&\n")}-----END ${label}-----\n`;
}

const digestOfCurve: Readonly<Record<string, { readonly digest: Signer["digest"]; readonly oid: string }>> = {
  prime256v1: { digest: "sha256", oid: "1.2.840.10045.4.3.2" },
  secp384r1: { digest: "sha384", oid: "1.2.840.10045.4.3.3" },
  secp521r1: { digest: "sha512", oid: "1.2.840.10045.4.3.4" },
};

/**
 * The usual signature algorithm of a key: ECDSA with the hash of the curve's strength, RSA PKCS#1 v1.5 with
 * SHA-256, Ed25519. `undefined` for a key that clients could not verify (other curves, RSA below 2048 bits,
 * RSA-PSS, DSA).
 */
export function signerFor(key: KeyObject): Signer | undefined {
  const type = key.asymmetricKeyType;
  const { namedCurve = "", modulusLength = 0 } = key.asymmetricKeyDetails ?? {};
  if (type === "ed25519") return { key, digest: null, algorithm: algorithmIdentifier(oid.ed25519) };
  if (type === "rsa" && modulusLength >= 2048) {
    // RFC 4055 section 5 wants the parameters present and NULL.
    return { key, digest: "sha256", algorithm: algorithmIdentifier(oid.rsaWithSha256, new asn1js.Null()) };
  }
  const curve = type === "ec" ? digestOfCurve[namedCurve] : undefined;
  return curve && { key, digest: curve.digest, algorithm: algorithmIdentifier(curve.oid) };
}

function algorithmIdentifier(algorithm: string, ...parameters: asn1js.Null[]): asn1js.Sequence {
  return new asn1js.Sequence({ value: [new asn1js.ObjectIdentifier({ value: algorithm }), ...parameters] });
}
