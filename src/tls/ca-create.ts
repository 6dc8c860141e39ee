// Makes certificate authorities.
import { generateKeyPair, type KeyObject } from "node:crypto";
import { promisify } from "node:util";
import { CaError, parseCa, type CertificateAuthority } from "./ca.ts";
import * as x509 from "./x509.ts";

const minute = 60_000;
const day = 86_400_000;
const longestDays = 36_500;

export const caAlgorithms = ["p256", "rsa4096", "ed25519"] as const;

/** P-256 signs a leaf in a tenth of a millisecond; RSA-4096 takes six, and few clients accept Ed25519. */
export type CaAlgorithm = (typeof caAlgorithms)[number];

export interface CreateCaOptions {
  /** Common name, 1 to 64 characters. */
  readonly name: string;
  /** From now; fractions are fine. At most 36500. */
  readonly validityDays: number;
  /** Default: p256. */
  readonly algorithm?: CaAlgorithm;
  /** Milliseconds since the epoch. */
  readonly now?: number;
}

export interface CaPem {
  readonly certPem: string;
  /** PKCS#8. */
  readonly keyPem: string;
}

/**
 * A self-signed CA that may sign leaves and revocation lists but no further CA (RFC 5280 4.2.1.9, path length 0).
 * Valid from a minute ago, for clients whose clock is behind. Throws CaError for a name or lifetime out of range.
 */
export async function createCa(options: CreateCaOptions): Promise<CaPem> {
  const { name, validityDays, algorithm = "p256", now = Date.now() } = options;
  if (name === "" || name.length > 64 || /[\p{Cc}]/u.test(name)) {
    throw new CaError("the CA's name must have 1 to 64 characters and no control characters");
  }
  if (!(validityDays > 0 && validityDays <= longestDays)) {
    throw new CaError(`the CA's lifetime must be more than 0 and at most ${longestDays} days`);
  }
  const { publicKey, privateKey } = await newKey(algorithm);
  const signer = x509.signerFor(privateKey);
  if (signer === undefined) throw new CaError(`unsupported algorithm ${algorithm}`);
  const spki = publicKey.export({ type: "spki", format: "der" });
  const subject = x509.commonName(name);
  const certificate = x509.issueCertificate(
    {
      subject,
      issuer: subject,
      notBefore: new Date(now - minute),
      notAfter: new Date(now + validityDays * day),
      publicKey: spki,
      extensions: [
        x509.basicConstraints(true, 0),
        x509.keyUsage(x509.keyUsageBit.keyCertSign | x509.keyUsageBit.cRLSign),
        x509.subjectKeyIdentifier(x509.keyIdentifier(spki)),
      ],
    },
    signer,
  );
  return {
    certPem: x509.toPem("CERTIFICATE", certificate),
    keyPem: privateKey.export({ type: "pkcs8", format: "pem" }),
  };
}

/** A CA that lives in this process only: its key is never written, its certificate is for `bundle`. */
export async function ephemeralCa(): Promise<{
  readonly ca: CertificateAuthority;
  readonly certPem: string;
}> {
  const { certPem, keyPem } = await createCa({ name: "Sallyport ephemeral CA", validityDays: 30 });
  return { ca: parseCa(certPem, keyPem), certPem };
}

function newKey(algorithm: CaAlgorithm): Promise<{ publicKey: KeyObject; privateKey: KeyObject }> {
  const generate = promisify(generateKeyPair);
  switch (algorithm) {
    case "p256":
      return generate("ec", { namedCurve: "P-256" });
    case "rsa4096":
      return generate("rsa", { modulusLength: 4096 });
    case "ed25519":
      return generate("ed25519", {});
  }
}
