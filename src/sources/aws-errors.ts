import { networkProblem, retryAfter } from "./http.ts";
import { SourceError } from "./types.ts";

/** Errors by the names AWS gives them; the rest of an error may quote the request or the answer (I14). */
const meanings: Readonly<Record<string, string>> = {
  ResourceNotFoundException: "secret not found; check its name and the region",
  ParameterNotFound: "parameter not found; check its name and the region",
  ParameterVersionNotFound: "this version of the parameter does not exist",
  AccessDeniedException:
    "access denied; the proxy's AWS identity needs permission to read it, and kms:Decrypt for its key",
  AccessDenied: "access denied; the proxy's AWS identity may not assume its role",
  DecryptionFailure: "KMS could not decrypt it; check the key",
  InvalidKeyId: "KMS could not decrypt it; check the key",
  InvalidRequestException: "it cannot be read now; it may be marked for deletion",
  InvalidParameterException: "AWS does not accept its name, version or stage",
  ValidationException: "AWS does not accept its name",
  UnrecognizedClientException: "the proxy's AWS credentials were rejected",
  InvalidClientTokenId: "the proxy's AWS credentials were rejected",
  InvalidSignatureException: "the proxy's AWS credentials were rejected; check the secret key and the clock",
  SignatureDoesNotMatch: "the proxy's AWS credentials were rejected; check the secret key and the clock",
  IncompleteSignature: "the proxy's AWS credentials were rejected",
  ExpiredTokenException: "the proxy's AWS session has expired",
  ExpiredToken: "the proxy's AWS session has expired",
  CredentialsProviderError:
    "no AWS credentials found for the proxy (environment, profile, SSO, container or instance role)",
  InternalServiceError: "AWS failed",
  InternalServerError: "AWS failed",
};

const rateLimitPauseMs = 60_000;

/** An error of the SDK in our own words. */
export function awsError(secret: string, error: unknown): SourceError {
  const told = (text: string, options: { retryAfterMs?: number } = {}) =>
    new SourceError(`${secret}: ${text}`, options);
  if (error instanceof SourceError) return told(error.message);
  if (!(error instanceof Error)) return told("unexpected error");
  if (error.message === "Region is missing") {
    return told('no AWS region: set "region" on the source, or AWS_REGION in the environment of the proxy');
  }
  const name = /^[A-Za-z]{1,60}$/.test(error.name) ? error.name : "unnamed error";
  const response: unknown = Reflect.get(error, "$response");
  if (isThrottling(error)) {
    const asked = retryAfter(headerOf(response, "retry-after"));
    return told(`rate limited by AWS (${name}); a longer ttl means fewer reads`, {
      retryAfterMs: Math.max(asked ?? 0, rateLimitPauseMs),
    });
  }
  const meaning = meanings[name];
  if (meaning !== undefined) return told(`${meaning} (${name})`);
  const network = networkProblem(error);
  if (network !== undefined) return told(`cannot reach AWS: ${network}`);
  const status: unknown = Reflect.get(Object(Reflect.get(error, "$metadata")), "httpStatusCode");
  return told(`AWS refused (${name}${typeof status === "number" ? `, status ${status}` : ""})`);
}

function isThrottling(error: Error): boolean {
  const status: unknown = Reflect.get(Object(Reflect.get(error, "$metadata")), "httpStatusCode");
  return status === 429 || /Throttl|TooManyRequests|RequestLimitExceeded|SlowDown/.test(error.name);
}

function headerOf(response: unknown, name: string): string | undefined {
  const value: unknown = Reflect.get(Object(Reflect.get(Object(response), "headers")), name);
  return typeof value === "string" ? value : undefined;
}
