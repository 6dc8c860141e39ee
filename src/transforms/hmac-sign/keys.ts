import {
  createHmac,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  type KeyObject,
  sign as signWith,
} from "node:crypto";

/** Signs a message given as a byte string. A promise only where the work would hold up every other request. */
export type Signer = (message: string) => Buffer | Promise<Buffer>;

/** Why a key cannot be used. The text holds nothing of the key, nor of a decoder's complaint about it (I14). */
export class KeyError extends Error {
  override readonly name = "KeyError";
}

export type KeyEncoding = "raw" | "base64" | "hex";
export type EcdsaFormat = "raw" | "der";

/** A way to sign; makes a signer of the text of a key. */
export interface Algorithm {
  /** As `explain` calls it. */
  readonly title: string;
  readonly family: "hmac" | "ecdsa" | "other";
  /** @throws {KeyError} */
  signer(key: string, encoding: KeyEncoding, format: EcdsaFormat): Signer;
}

/** By their name in the configuration. */
export const algorithms: ReadonlyMap<string, Algorithm> = new Map([
  ["sha256", hmac("sha256", "HMAC-SHA256")],
  ["sha512", hmac("sha512", "HMAC-SHA512")],
  ["sha1", hmac("sha1", "HMAC-SHA1")],
  ["ed25519", ed25519()],
  ["ecdsa_p256_sha256", ecdsa()],
  ["rsa_sha256", rsa()],
]);

function hmac(hash: string, title: string): Algorithm {
  return {
    title,
    family: "hmac",
    signer(text, encoding) {
      const bytes = encoding === "raw" ? Buffer.from(text, "utf8") : decode(text, encoding);
      const key = createSecretKey(bytes);
      return (message) => createHmac(hash, key).update(message, "latin1").digest();
    },
  };
}

function ed25519(): Algorithm {
  return {
    title: "Ed25519",
    family: "other",
    signer(text, encoding) {
      const key = privateKey(text, encoding, "an Ed25519 key", [], ed25519Seed);
      if (key.asymmetricKeyType !== "ed25519") throw new KeyError("the key is not an Ed25519 key");
      return (message) => signWith(null, Buffer.from(message, "latin1"), key);
    },
  };
}

function ecdsa(): Algorithm {
  return {
    title: "ECDSA P-256 with SHA-256",
    family: "ecdsa",
    signer(text, encoding, format) {
      const key = privateKey(text, encoding, "an ECDSA key", ["sec1"]);
      if (key.asymmetricKeyType !== "ec" || key.asymmetricKeyDetails?.namedCurve !== "prime256v1") {
        throw new KeyError("the key is not an ECDSA key on the curve P-256");
      }
      const options = { key, dsaEncoding: format === "raw" ? "ieee-p1363" : "der" } as const;
      return (message) => signWith("sha256", Buffer.from(message, "latin1"), options);
    },
  };
}

function rsa(): Algorithm {
  return {
    title: "RSA (PKCS #1 v1.5) with SHA-256",
    family: "other",
    signer(text, encoding) {
      const key = privateKey(text, encoding, "an RSA key", ["pkcs1"]);
      if (key.asymmetricKeyType !== "rsa") throw new KeyError("the key is not an RSA key");
      // Milliseconds for the longer keys: a thread of the pool does it.
      return (message) =>
        new Promise((resolve, reject) => {
          signWith("sha256", Buffer.from(message, "latin1"), key, (error, signature) => {
            if (error) reject(new KeyError("the key is too short for a signature with SHA-256"));
            else resolve(signature);
          });
        });
    },
  };
}

/** PEM in whatever encoding the entry has, else base64 (or hex) of a DER structure or of what `other` knows. */
function privateKey(
  text: string,
  encoding: KeyEncoding,
  what: string,
  structures: readonly ("sec1" | "pkcs1")[],
  other?: (bytes: Buffer) => KeyObject | undefined,
): KeyObject {
  const problem = `the key is not ${what} (PEM without a passphrase, or base64)`;
  if (text.includes("-----BEGIN ")) {
    // Variables and JSON files often hold a PEM on one line, its line breaks written as \n.
    const pem = text.replaceAll("\\n", "\n").trim();
    const key = attempt(() => createPrivateKey(pem));
    if (key === undefined) throw new KeyError(problem);
    return key;
  }
  const bytes = decode(text.trim(), encoding === "raw" ? "base64" : encoding);
  const special = other?.(bytes);
  if (special !== undefined) return special;
  for (const type of ["pkcs8", ...structures] as const) {
    const key = attempt(() => createPrivateKey({ key: bytes, format: "der", type }));
    if (key !== undefined) return key;
  }
  throw new KeyError(problem);
}

/** What stands before the 32 bytes of a seed in PKCS #8 (RFC 8410 section 7). */
const seedPrefix = Buffer.from("302e020100300506032b657004220420", "hex");

/** A seed of 32 bytes, or a seed with its public key behind it, as libsodium and Coinbase write it. */
function ed25519Seed(bytes: Buffer): KeyObject | undefined {
  if (bytes.length !== 32 && bytes.length !== 64) return undefined;
  const der = Buffer.concat([seedPrefix, bytes.subarray(0, 32)]);
  const key = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  if (bytes.length === 64) {
    const derived = createPublicKey(key).export({ format: "der", type: "spki" }).subarray(-32);
    if (!derived.equals(bytes.subarray(32)))
      throw new KeyError("the key's two halves do not belong together");
  }
  return key;
}

function attempt(read: () => KeyObject): KeyObject | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** Padded base64 in the standard alphabet (line breaks do no harm), or hexadecimal digits. */
function decode(text: string, encoding: "base64" | "hex"): Buffer {
  if (encoding === "hex") {
    if (text === "" || text.length % 2 !== 0 || !/^[0-9a-f]+$/i.test(text)) {
      throw new KeyError("the key is not an even number of hexadecimal digits");
    }
    return Buffer.from(text, "hex");
  }
  const joined = text.replace(/[\r\n]/g, "");
  if (joined === "" || joined.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(joined)) {
    throw new KeyError("the key is not padded base64 in the standard alphabet");
  }
  return Buffer.from(joined, "base64");
}
