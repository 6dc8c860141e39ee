import { createPrivateKey, type KeyObject } from "node:crypto";
import { MintError } from "./mint-error.ts";

/** A private key and the algorithm it signs with (RFC 7518 section 3.1, RFC 8037 section 3.1). */
export interface SigningKey {
  readonly key: KeyObject;
  readonly algorithm: "RS256" | "ES256" | "EdDSA";
}

/** How long an assertion is valid, and how far back it is dated for issuers whose clock is behind. In seconds. */
const lifetime = 3600;
const backdated = 10;

const smallestRsaBits = 2048;

/**
 * Reads an unencrypted private key in PEM (PKCS#8, PKCS#1 or SEC 1). Line breaks may be written `\n`, as environment
 * variables and JSON that was copied twice have them.
 * @param what names the key in errors
 * @throws {MintError} with no text of the decoder's: it may quote the key (I14)
 */
export function signingKey(pem: string, what: string): SigningKey {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem.includes("\\n") ? pem.replaceAll("\\n", "\n") : pem);
  } catch {
    throw new MintError("mint_failed", `${what} is not an unencrypted private key in PEM`);
  }
  const { modulusLength = 0, namedCurve } = key.asymmetricKeyDetails ?? {};
  const type = key.asymmetricKeyType;
  if (type === "rsa" && modulusLength >= smallestRsaBits) return { key, algorithm: "RS256" };
  if (type === "ec" && namedCurve === "prime256v1") return { key, algorithm: "ES256" };
  if (type === "ed25519") return { key, algorithm: "EdDSA" };
  throw new MintError(
    "mint_failed",
    `${what} must be RSA with at least ${smallestRsaBits} bits, EC P-256 or Ed25519`,
  );
}

export interface Assertion {
  readonly key: SigningKey;
  /** `kid` of the header. */
  readonly keyId?: string | undefined;
  readonly issuer: string;
  readonly audience: string;
  readonly subject?: string | undefined;
  /** Scopes, separated by spaces. */
  readonly scope?: string | undefined;
  /** Claims of the mechanism's own, such as `target_audience`. */
  readonly claims?: Readonly<Record<string, string>>;
}

/**
 * A signed assertion (RFC 7523 section 3), valid for an hour. The subject stands in `prn` too, which the drafts of that
 * RFC called it and old issuers read.
 * @param now milliseconds since 1970
 * @throws {MintError} when the key cannot sign
 */
export async function signAssertion(assertion: Assertion, now: number): Promise<string> {
  const { key, keyId, issuer, audience, subject, scope, claims } = assertion;
  const iat = Math.floor(now / 1000) - backdated;
  const payload = {
    iss: issuer,
    ...(scope === undefined || scope === "" ? {} : { scope }),
    aud: audience,
    exp: iat + lifetime,
    iat,
    ...(subject === undefined ? {} : { sub: subject, prn: subject }),
    ...claims,
  };
  const header = { alg: key.algorithm, typ: "JWT", ...(keyId === undefined ? {} : { kid: keyId }) };
  try {
    // Loaded when it is needed, which for most proxies is never.
    const { SignJWT } = await import("jose");
    return await new SignJWT(payload).setProtectedHeader(header).sign(key.key);
  } catch {
    throw new MintError("mint_failed", "the assertion could not be signed with the private key");
  }
}
