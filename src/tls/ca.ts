// The CA that signs leaves: reads it from PEM and refuses, by name, what would fail later in every handshake.
import { createPrivateKey, X509Certificate, type KeyObject } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import * as asn1js from "asn1js";
import * as pkijs from "pkijs";
import { isOpenToOthers, modeText } from "../process/file-access.ts";
import { keyIdentifier, keyUsageBit, oid, signerFor, toPem, type Signer } from "./x509.ts";

const day = 86_400_000;
const supportedKeys = "RSA (2048 bits or more), P-256, P-384, P-521 and Ed25519 work";

/** A CA that cannot be used or made. The message names the file and what to do. */
export class CaError extends Error {
  override readonly name = "CaError";
}

export interface CertificateAuthority {
  /** The certificate whose key signs. */
  readonly certificate: X509Certificate;
  readonly signer: Signer;
  /** Its subject, encoded as in the certificate: the issuer of every leaf. */
  readonly subject: asn1js.Sequence;
  /** Its key identifier: the leaves' AuthorityKeyIdentifier. */
  readonly keyId: Uint8Array;
  /** PEM of the signing CA and the CAs above it that its file holds: sent after every leaf. */
  readonly chainPem: string;
  /** Milliseconds since the epoch. */
  readonly notBefore: number;
  /** Milliseconds since the epoch. */
  readonly notAfter: number;
  /** Sentences for the operator: key file open to others, certificate about to expire. */
  readonly warnings: readonly string[];
}

export interface CaFiles {
  /** The signing CA first; the rest of its chain may follow. */
  readonly certPath: string;
  /** PKCS#8, PKCS#1 or SEC1, not encrypted. */
  readonly keyPath: string;
}

export interface ParseOptions {
  /** What error messages call the certificate. */
  readonly certName?: string;
  /** What error messages call the key. */
  readonly keyName?: string;
  /** Milliseconds since the epoch. */
  readonly now?: number;
}

/** Reads and checks the CA. Throws CaError, with its own text for each thing that can be wrong. */
export async function loadCa(files: CaFiles): Promise<CertificateAuthority> {
  const certName = `CA certificate ${files.certPath}`;
  const keyName = `CA key ${files.keyPath}`;
  const certPem = await readPem(files.certPath, certName, "tls.ca_cert");
  const keyPem = await readPem(files.keyPath, keyName, "tls.ca_key");
  const ca = parseCa(certPem, keyPem, { certName, keyName });
  const access = await stat(files.keyPath);
  if (!isOpenToOthers(access)) return ca;
  const warning = `other users of this machine can reach ${keyName} (mode ${modeText(access.mode)}): run chmod 600 on it`;
  return { ...ca, warnings: [...ca.warnings, warning] };
}

async function readPem(path: string, name: string, key: string): Promise<string> {
  try {
    return await readFile(path, "latin1");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT") {
      throw new CaError(`${name} does not exist: make a CA with "sallyport ca init", or correct ${key}`);
    }
    if (code === "EISDIR") throw new CaError(`${name} is a directory: ${key} must name a PEM file`);
    throw new CaError(`${name} cannot be read (${code}): this user needs read permission`);
  }
}

/** As `loadCa`, from PEM text. */
export function parseCa(certPem: string, keyPem: string, options: ParseOptions = {}): CertificateAuthority {
  const { certName = "CA certificate", keyName = "CA key", now = Date.now() } = options;
  const chain = parseChain(certPem, certName);
  const [certificate] = chain;
  const fields = decode(certificate, certName);
  checkMaySign(fields, certName);
  checkDates(certificate, now, certName);
  const signer = signerFor(parseKey(keyPem, keyName));
  if (signer === undefined) {
    throw new CaError(`${keyName} is of an unsupported kind: ${supportedKeys}`);
  }
  if (!certificate.checkPrivateKey(signer.key)) {
    throw new CaError(`${keyName} does not belong to ${certName}: they are halves of different pairs`);
  }
  const notAfter = certificate.validToDate.getTime();
  const daysLeft = Math.floor((notAfter - now) / day);
  return {
    certificate,
    signer,
    subject: fields.subject.toSchema(),
    keyId: subjectKeyId(fields),
    chainPem: chain.map((link) => toPem("CERTIFICATE", link.raw)).join(""),
    notBefore: certificate.validFromDate.getTime(),
    notAfter,
    warnings: daysLeft < 30 ? [`${certName} expires ${inDays(daysLeft)}, and every leaf with it`] : [],
  };
}

function inDays(days: number): string {
  return days === 0 ? "within a day" : days === 1 ? "in a day" : `in ${days} days`;
}

const pemBlock = /-----BEGIN ([A-Z0-9 ]{1,40})-----[\s\S]*?-----END \1-----/g;

/** PEM blocks in order; text between them is ignored, as openssl prints some. */
export function pemBlocks(pem: string): { readonly label: string; readonly text: string }[] {
  return Array.from(pem.matchAll(pemBlock), ([text, label = ""]) => ({ label, text }));
}

function parseChain(pem: string, name: string): [X509Certificate, ...X509Certificate[]] {
  const blocks = pemBlocks(pem);
  if (blocks.length === 0) throw new CaError(`${name} holds no PEM block`);
  const [first, ...rest] = blocks
    .filter(({ label }) => label === "CERTIFICATE")
    .map(({ text }, index) => {
      try {
        return new X509Certificate(text);
      } catch {
        throw new CaError(
          `${name} holds a CERTIFICATE block that is not a certificate (number ${index + 1})`,
        );
      }
    });
  if (first === undefined) {
    throw new CaError(`${name} holds no CERTIFICATE, only ${blocks.map(({ label }) => label).join(", ")}`);
  }
  return [first, ...rest];
}

function decode(certificate: X509Certificate, name: string): pkijs.Certificate {
  try {
    return pkijs.Certificate.fromBER(certificate.raw);
  } catch {
    throw new CaError(`${name} is a certificate with fields that cannot be decoded`);
  }
}

/** RFC 5280 4.2.1.9 and 4.2.1.3. A CA without KeyUsage is refused too: strict clients refuse its leaves. */
function checkMaySign(fields: pkijs.Certificate, name: string): void {
  const constraints = extensionValue(fields, oid.basicConstraints, pkijs.BasicConstraints);
  if (constraints?.cA !== true) {
    throw new CaError(`${name} is not a CA (BasicConstraints CA is false or missing)`);
  }
  const usage = extensionValue(fields, oid.keyUsage, asn1js.BitString);
  if (((usage?.valueBlock.valueHexView[0] ?? 0) & keyUsageBit.keyCertSign) === 0) {
    throw new CaError(`${name} may not sign certificates (KeyUsage keyCertSign is missing)`);
  }
}

function subjectKeyId(fields: pkijs.Certificate): Uint8Array {
  return (
    extensionValue(fields, oid.subjectKeyIdentifier, asn1js.OctetString)?.valueBlock.valueHexView ??
    keyIdentifier(new Uint8Array(fields.subjectPublicKeyInfo.toSchema().toBER(false)))
  );
}

function extensionValue<T>(
  fields: pkijs.Certificate,
  extnID: string,
  type: new (...args: never[]) => T,
): T | undefined {
  const value: unknown = fields.extensions?.find((extension) => extension.extnID === extnID)?.parsedValue;
  return value instanceof type ? value : undefined;
}

function checkDates(certificate: X509Certificate, now: number, name: string): void {
  const { validFromDate, validToDate } = certificate;
  if (now >= validToDate.getTime()) {
    throw new CaError(
      `${name} expired on ${validToDate.toISOString()}: replace it, for instance with "sallyport ca init"`,
    );
  }
  if (now < validFromDate.getTime()) {
    throw new CaError(
      `${name} is not valid before ${validFromDate.toISOString()}: check this machine's clock`,
    );
  }
}

/** The decoder's own error text is not passed on: it could quote the key (I14). */
function parseKey(pem: string, name: string): KeyObject {
  const blocks = pemBlocks(pem);
  if (blocks.length === 0) throw new CaError(`${name} holds no PEM block`);
  // A SEC1 key often has an EC PARAMETERS block in front of it.
  const block = blocks.find(({ label }) => label.endsWith("PRIVATE KEY"));
  if (block === undefined) {
    throw new CaError(`${name} holds no private key, only ${blocks.map(({ label }) => label).join(", ")}`);
  }
  if (block.label === "ENCRYPTED PRIVATE KEY" || block.text.includes("ENCRYPTED")) {
    throw new CaError(`${name} is encrypted: decrypt it with "openssl pkey -in FILE -out FILE"`);
  }
  try {
    return createPrivateKey(block.text);
  } catch {
    throw new CaError(`${name} cannot be decoded as a PKCS#8, PKCS#1 or SEC1 private key`);
  }
}
