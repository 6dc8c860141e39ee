import { createHash } from "node:crypto";
import { createRequire } from "node:module";
import { requestHeadText } from "../../src/http/h1/write.ts";
import type { Framing } from "../../src/http/message.ts";
import type { Exchange } from "../../src/pipeline/types.ts";

/** A request as it is on the wire. */
export interface WireRequest {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body?: Buffer | undefined;
}

export interface VerifyKeys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export interface Verification {
  /** What is wrong; empty for a request that AWS would take. */
  readonly problems: readonly string[];
  readonly signature: string;
  readonly signedHeaders: readonly string[];
  /** `20250102/us-east-1/s3/aws4_request` */
  readonly scope: string;
  readonly dateTime: string;
}

interface SignOptions {
  method: string;
  path: string;
  service: string;
  region: string;
  headers: Record<string, string>;
  body?: Buffer | undefined;
  signQuery: boolean;
  extraHeadersToIgnore: Record<string, true>;
  extraHeadersToInclude: Record<string, true>;
}
interface Signed {
  path: string;
  headers: Record<string, string>;
}
/** Another implementation of Signature Version 4, which shares nothing with ours. */
const aws4 = createRequire(import.meta.url)("aws4") as {
  sign(options: SignOptions, keys: { accessKeyId: string; secretAccessKey: string }): Signed;
};

/**
 * Checks a request as AWS would: its key, its signature (computed by `aws4`), the hash of its body, and that everything
 * that has to be signed is.
 */
export function verifySigV4(request: WireRequest, keys: VerifyKeys): Verification {
  const problems: string[] = [];
  const query = new URLSearchParams(request.target.split("?")[1] ?? "");
  const headers = joined(request.headers);
  const authorization = headers.get("authorization");
  const isQuery = authorization === undefined;
  const match = /^AWS4-HMAC-SHA256 Credential=([^,]+), SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/.exec(
    authorization ?? queryAuthorization(query),
  );
  if (match === null) throw new Error("the request has no well-formed signature");
  const [, credential, names, signature] = match as unknown as [string, string, string, string];
  const [keyId, date, region = "", service = ""] = credential.split("/");
  const dateTime = (isQuery ? query.get("X-Amz-Date") : headers.get("x-amz-date")) ?? "";
  if (!isQuery && /[?&]X-Amz-(?:Signature|Credential)=/i.test(request.target))
    problems.push("two signatures");
  if (keyId !== keys.accessKeyId) problems.push("another access key");
  if (date !== dateTime.slice(0, 8)) problems.push("date and scope disagree");
  const token = isQuery ? query.get("X-Amz-Security-Token") : headers.get("x-amz-security-token");
  if ((token ?? undefined) !== keys.sessionToken) problems.push("another session token");
  const signedHeaders = names.split(";");
  if (signedHeaders.join() !== signedHeaders.toSorted().join()) problems.push("SignedHeaders is not sorted");
  for (const name of headers.keys()) {
    const mustBeSigned = name === "host" || name === "content-type" || name.startsWith("x-amz-");
    if (mustBeSigned && !signedHeaders.includes(name)) problems.push(`${name} is not signed`);
  }
  for (const name of signedHeaders) if (!headers.has(name)) problems.push(`${name} is signed but not sent`);
  const declared = headers.get("x-amz-content-sha256");
  if (declared !== undefined && /^[0-9a-f]{64}$/.test(declared)) {
    if (declared !== sha256(request.body ?? Buffer.alloc(0))) problems.push("the body has another hash");
  }
  const target = isQuery ? withoutSignature(request.target) : request.target;
  const again = aws4.sign(
    {
      method: request.method,
      path: target,
      service,
      region,
      headers: Object.fromEntries(signedHeaders.map((name) => [name, headers.get(name) ?? ""])),
      body: request.body,
      signQuery: isQuery,
      extraHeadersToIgnore: ignoring(signedHeaders, ["content-type", "content-length"]),
      extraHeadersToInclude: Object.fromEntries(signedHeaders.map((name) => [name, true])),
    },
    { accessKeyId: keys.accessKeyId, secretAccessKey: keys.secretAccessKey },
  );
  const expected = isQuery
    ? new URLSearchParams(again.path.split("?")[1]).get("X-Amz-Signature")
    : /Signature=([0-9a-f]{64})/.exec(again.headers["Authorization"] ?? "")?.[1];
  if (signature !== expected) problems.push("the signature does not match");
  return {
    problems,
    signature,
    signedHeaders,
    scope: credential.slice(keyId?.length ?? 0).slice(1),
    dateTime,
  };
}

/** The request an exchange would send, its head through the real writer, its body read to the end. */
export async function sentRequest(exchange: Exchange): Promise<WireRequest> {
  const { request } = exchange;
  const { length } = request.body;
  const framing: Framing =
    length === undefined ? { kind: "chunked" } : length === 0 ? { kind: "none" } : { kind: "length", length };
  const query = request.query === undefined ? "" : `?${request.query}`;
  const headers = request.headers.clone();
  if (!headers.has("host")) headers.append("Host", hostText(exchange));
  const text = requestHeadText(request.method, request.path + query, headers, framing);
  const [start = "", ...lines] = text.trimEnd().split("\r\n");
  return {
    method: request.method,
    target: start.split(" ")[1] as string,
    headers: lines.map((line) => {
      const at = line.indexOf(": ");
      return [line.slice(0, at), line.slice(at + 2)] as const;
    }),
    body: await readAll(exchange),
  };
}

function hostText({ authority, scheme }: Exchange): string {
  return authority.port === (scheme === "https" ? 443 : 80) ? authority.host.name : authority.text;
}

function readAll({ request }: Exchange): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  return new Promise((resolve, reject) => {
    request.body.pipe({
      write: (bytes) => {
        chunks.push(bytes);
        return true;
      },
      end: () => resolve(Buffer.concat(chunks)),
      abort: reject,
    });
  });
}

function joined(headers: WireRequest["headers"]): Map<string, string> {
  const result = new Map<string, string>();
  for (const [name, value] of headers) {
    const key = name.toLowerCase();
    const before = result.get(key);
    result.set(key, before === undefined ? value : `${before},${value}`);
  }
  return result;
}

function queryAuthorization(query: URLSearchParams): string {
  const [credential, names, signature] = ["Credential", "SignedHeaders", "Signature"].map((name) =>
    query.getAll(`X-Amz-${name}`).join("+"),
  );
  const algorithm = query.get("X-Amz-Algorithm") ?? "";
  return `${algorithm} Credential=${credential}, SignedHeaders=${names}, Signature=${signature}`;
}

function withoutSignature(target: string): string {
  return target.replace(/&X-Amz-Signature=[0-9a-f]+/, "");
}

function ignoring(signed: readonly string[], added: readonly string[]): Record<string, true> {
  return Object.fromEntries(added.filter((name) => !signed.includes(name)).map((name) => [name, true]));
}

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
