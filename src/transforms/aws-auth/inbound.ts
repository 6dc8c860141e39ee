import type { Headers } from "../../http/headers.ts";
import type { Scope } from "./sigv4.ts";

/** What the workload's own signature says. It authenticates nobody: only its region and service are used. */
export interface InboundSignature {
  readonly place: "header" | "query";
  readonly scope: Scope;
}

/** Why a request cannot be re-signed. */
export interface InboundProblem {
  readonly reason: "missing_sigv4" | "sigv4a_not_supported";
  /** For the audit and the operator; holds nothing that was sent. */
  readonly problem: string;
}

const headerAlgorithm = "AWS4-HMAC-SHA256 ";
const sigv4a = "AWS4-ECDSA-P256-SHA256";

/**
 * Region and service of the signature on a request: from `Authorization`, else from the query of a presigned URL.
 * A request with two signatures is refused, because a server may look at the other one.
 */
export function readInbound(headers: Headers, query: string | undefined): InboundSignature | InboundProblem {
  const fields = headers.getAll("authorization").filter((value) => value !== "");
  const presigned = query !== undefined && /x-amz-(?:signature|credential|algorithm)/i.test(query);
  const authorization = fields[0];
  if (authorization === undefined) {
    return presigned ? fromQuery(query) : missing("request has no SigV4 signature");
  }
  if (fields.length > 1) return missing("request has more than one Authorization header");
  if (presigned && presignParameters(query).length > 0) {
    return missing("request has a signature in the Authorization header and one in the query");
  }
  return fromHeader(authorization);
}

export function isProblem(inbound: InboundSignature | InboundProblem): inbound is InboundProblem {
  return "problem" in inbound;
}

/** Parameters of a presigned URL that a new signature replaces. Compared without case, as some servers do. */
const replaced = new Set([
  "x-amz-algorithm",
  "x-amz-credential",
  "x-amz-date",
  "x-amz-security-token",
  "x-amz-signedheaders",
  "x-amz-signature",
]);

/** True for a parameter that carries the signature rather than the request. */
export function isSignatureParameter(name: string): boolean {
  return replaced.has(parameterName(name).toLowerCase());
}

/** Fields of a query that carry a signature, as they were sent. */
function presignParameters(query: string): string[] {
  return query.split("&").filter((field) => isSignatureParameter(nameOf(field)));
}

/** Name of a `name=value` field, as it was sent. */
export function nameOf(field: string): string {
  const at = field.indexOf("=");
  return at < 0 ? field : field.slice(0, at);
}

/** A name or value of a query, decoded; what cannot be decoded stays as it is. */
export function parameterName(text: string): string {
  const spaced = text.includes("+") ? text.replaceAll("+", " ") : text;
  if (!spaced.includes("%")) return spaced;
  try {
    return decodeURIComponent(spaced);
  } catch {
    return spaced;
  }
}

function fromHeader(value: string): InboundSignature | InboundProblem {
  if (value.startsWith(sigv4a)) return asymmetric();
  if (!value.startsWith(headerAlgorithm)) return missing("not a AWS4-HMAC-SHA256 Authorization header");
  const credential = /^(?:[^,]*,){0,15}?[ \t]*Credential=([^,]*)/.exec(
    value.slice(headerAlgorithm.length),
  )?.[1];
  if (credential === undefined) return missing("missing Credential field in Authorization header");
  // A workload signs with one key, and mostly for one service.
  if (credential !== lastCredential) {
    lastCredential = credential;
    lastInbound = fromCredential("header", credential.trimEnd());
  }
  return lastInbound;
}

let lastCredential: string | undefined;
let lastInbound: InboundSignature | InboundProblem = missing("");

function fromQuery(query: string): InboundSignature | InboundProblem {
  const fields = query.split("&");
  const valuesOf = (wanted: string): string[] =>
    fields
      .filter((field) => parameterName(nameOf(field)).toLowerCase() === wanted)
      .map((field) => parameterName(field.slice(nameOf(field).length + 1)));
  const [algorithm = "AWS4-HMAC-SHA256"] = valuesOf("x-amz-algorithm");
  if (algorithm === sigv4a) return asymmetric();
  if (algorithm !== "AWS4-HMAC-SHA256") return missing("X-Amz-Algorithm is not AWS4-HMAC-SHA256");
  const credentials = valuesOf("x-amz-credential");
  const [credential] = credentials;
  if (credential === undefined) return missing("request has no SigV4 signature");
  if (credentials.length > 1) return missing("request has more than one X-Amz-Credential");
  return fromCredential("query", credential);
}

function fromCredential(
  place: InboundSignature["place"],
  credential: string,
): InboundSignature | InboundProblem {
  const parts = credential.split("/");
  const [, , region = "", service = "", terminator] = parts;
  if (parts.length !== 5) return missing(`expected 5 path segments, got ${parts.length}`);
  if (terminator !== "aws4_request") return missing("expected aws4_request terminator");
  if (region === "" || service === "") return missing("empty region or service");
  if (!scopePart.test(region) || !scopePart.test(service)) {
    return missing("region or service has a character that neither may have");
  }
  return { place, scope: { region, service } };
}

/** Both are written into a header and into the string to sign, where a comma or a slash would mean something. */
const scopePart = /^[A-Za-z0-9._-]{1,64}$/;

function missing(problem: string): InboundProblem {
  return { reason: "missing_sigv4", problem };
}

function asymmetric(): InboundProblem {
  return {
    reason: "sigv4a_not_supported",
    problem: "signed with AWS4-ECDSA-P256-SHA256 (SigV4A), which is not re-signed; use a single region",
  };
}
