import { createHmac, hash } from "node:crypto";
import { inspect } from "node:util";
import { canonicalPath, type SignedHeader } from "./canonical.ts";

/** What a provider of credentials gives. */
export interface AwsKeys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
  /** When they stop working; absent for long-lived keys. */
  readonly expiration?: Date | undefined;
}

/** The moment of a signature, in the two forms that Signature Version 4 uses. */
export interface SigningTime {
  /** `20250102` */
  readonly date: string;
  /** `20250102T030405Z` */
  readonly dateTime: string;
}

/** Region and service that a signature is for. */
export interface Scope {
  readonly region: string;
  /** Signing name: `s3`, `dynamodb`, `bedrock`. */
  readonly service: string;
}

/** One request in the parts that are signed. */
export interface RequestToSign {
  readonly method: string;
  /** As it goes upstream. */
  readonly path: string;
  /** Canonical query string, without a signature. */
  readonly query: string;
  /** In canonical order. */
  readonly headers: readonly SignedHeader[];
  /** Hexadecimal SHA-256 of the body, or one of the words that stand for it. */
  readonly payloadHash: string;
  readonly time: SigningTime;
  readonly scope: Scope;
}

export const algorithm = "AWS4-HMAC-SHA256";

/** SHA-256 of nothing. */
export const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/** Derived keys held for one pair of keys; the workload chooses region and service (I12). */
const maxKeys = 64;

/**
 * A pair of AWS keys as a signer. The keys print nowhere (I14); the derived key of a day, region and service is
 * kept, because deriving it costs four of the five HMACs of a signature.
 */
export class Signer {
  readonly #keys: AwsKeys;
  readonly #derived = new Map<string, Buffer>();

  constructor(keys: AwsKeys) {
    this.#keys = keys;
  }

  /** Goes out in the clear with every request: the first part of `Credential=`. */
  get accessKeyId(): string {
    return this.#keys.accessKeyId;
  }

  /** A credential: only for `X-Amz-Security-Token`. */
  get sessionToken(): string | undefined {
    return this.#keys.sessionToken;
  }

  /** Key that signs requests of one day to one service in one region. */
  signingKey(date: string, { region, service }: Scope): Buffer {
    const name = `${date}/${region}/${service}`;
    let key = this.#derived.get(name);
    if (key === undefined) {
      const dateKey = hmac(`AWS4${this.#keys.secretAccessKey}`, date);
      key = hmac(hmac(hmac(dateKey, region), service), "aws4_request");
      if (this.#derived.size >= maxKeys) this.#derived.clear();
      this.#derived.set(name, key);
    }
    return key;
  }

  /** Signature of a request, in lower-case hexadecimal. */
  sign(request: RequestToSign): string {
    const { time, scope } = request;
    const canonicalHash = hash("sha256", latin1(canonicalRequest(request)), "hex");
    const text = `${algorithm}\n${time.dateTime}\n${scopeText(time, scope)}\n${canonicalHash}`;
    return hmacHex(this.signingKey(time.date, scope), text);
  }

  [inspect.custom](): string {
    return "[redacted]";
  }

  toJSON(): string {
    return "[redacted]";
  }
}

/** What the hash in the string to sign is of. */
export function canonicalRequest(request: RequestToSign): string {
  const { method, path, query, headers, payloadHash, scope } = request;
  let lines = "";
  for (const [name, value] of headers) lines += `${name}:${value}\n`;
  const uri = canonicalPath(path, scope.service);
  return `${method}\n${uri}\n${query}\n${lines}\n${signedHeaders(headers)}\n${payloadHash}`;
}

/** Names of the signed headers, as `SignedHeaders` lists them. */
export function signedHeaders(headers: readonly SignedHeader[]): string {
  return headers.map(([name]) => name).join(";");
}

/** `20250102/us-east-1/s3/aws4_request` */
export function scopeText(time: SigningTime, { region, service }: Scope): string {
  return `${time.date}/${region}/${service}/aws4_request`;
}

/** The last moment that was written out: requests of one second share it. */
let latest: { readonly second: number; readonly time: SigningTime } | undefined;

/** @param ms milliseconds since 1970 */
export function signingTime(ms: number): SigningTime {
  const second = Math.floor(ms / 1000);
  if (latest?.second !== second) {
    const dateTime = new Date(second * 1000).toISOString().replace(/[:-]|\.000/g, "");
    latest = { second, time: { date: dateTime.slice(0, 8), dateTime } };
  }
  return latest.time;
}

/** HMAC-SHA256 in lower-case hexadecimal; the text is one byte for each character. */
export function hmacHex(key: Buffer, text: string): string {
  return createHmac("sha256", key).update(text, "latin1").digest("hex");
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text, "latin1").digest();
}

/** Header values may hold any byte; the hash is of bytes, not of UTF-8. */
function latin1(text: string): Buffer {
  return Buffer.from(text, "latin1");
}
