import type { Dispatcher } from "undici";
import { ask, type HttpAnswer, networkProblem, retryAfter } from "../../sources/http.ts";
import { at, parseJson } from "../../sources/json.ts";
import { SourceError } from "../../sources/types.ts";
import { hasControl, toByteString } from "../byte-string.ts";
import { escapeForm } from "../secrets/encodings.ts";
import { MintError } from "./mint-error.ts";
import { stubToken } from "./stub.ts";

/** A request for a token. */
export interface TokenRequest {
  /** URL of the token endpoint. */
  readonly endpoint: string;
  /** Parameters of the form. */
  readonly form: Readonly<Record<string, string>>;
  /** Further header fields; names keep their casing. */
  readonly headers?: ReadonlyMap<string, string>;
  readonly dispatcher: Dispatcher;
  readonly signal: AbortSignal;
}

/** A token endpoint's answer to a request that it granted; field values have not been checked. */
export interface TokenAnswer {
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Longest token, in bytes; a header with a longer one is refused wherever it goes (I12). */
const maxTokenBytes = 32_768;

/**
 * Sends one request to a token endpoint (RFC 6749 section 3.2). Redirects are not followed, because credentials go with
 * it, and the answer is bounded to 1 MiB.
 * @returns the answer where the status is 2xx and it has no `error`
 * @throws {MintError} otherwise
 */
export async function requestToken(request: TokenRequest): Promise<TokenAnswer> {
  const answer = await post(request);
  const fields = fieldsOf(answer);
  const code = errorCode(fields, request);
  if (code !== undefined || answer.status < 200 || answer.status > 299) {
    const reason = code ?? `token_endpoint_http_${answer.status}`;
    const skew = clockSkew(answer.headers["date"]);
    const detail = `the token endpoint answered with status ${answer.status}${skew}`;
    throw new MintError(reason, detail, { retryAfterMs: retryAfter(answer.headers["retry-after"]) });
  }
  if (fields === undefined) {
    throw new MintError("mint_failed", "the token endpoint's answer is neither a JSON object nor a form");
  }
  return { fields };
}

/**
 * A token out of an answer, as the bytes that go into a header.
 * @throws {MintError} when it is missing or cannot be put in a header
 */
export function tokenField({ fields }: TokenAnswer, name: "access_token" | "id_token"): string {
  const value = fields[name];
  if (typeof value !== "string" || value === "") {
    throw new MintError("mint_failed", `the token endpoint's answer has no ${name}`);
  }
  if (value === stubToken) {
    // The proxy's own traffic came back to it, or goes through another one that has this endpoint.
    throw new MintError("mint_failed", "the answer is the stub of a proxy, not the token endpoint's");
  }
  const bytes = toByteString(value);
  if (bytes.length > maxTokenBytes) {
    throw new MintError("mint_failed", `the ${name} is longer than ${maxTokenBytes} bytes`);
  }
  if (hasControl(bytes)) {
    const problem = "has a line break or another control character and cannot be put in a header";
    throw new MintError("mint_failed", `the ${name} ${problem}`);
  }
  return bytes;
}

/**
 * Lifetime in milliseconds from `expires_in`, which is a number of seconds or its text.
 * @returns `undefined` when the issuer did not say
 * @throws {MintError} when it said something else
 */
export function lifetimeOf({ fields }: TokenAnswer): number | undefined {
  const value = fields["expires_in"];
  if (value === undefined || value === null || value === "") return undefined;
  const seconds = typeof value === "string" && /^-?\d{1,15}(?:\.\d*)?$/.test(value) ? Number(value) : value;
  if (typeof seconds !== "number" || !Number.isFinite(seconds)) {
    throw new MintError("mint_failed", "expires_in in the token endpoint's answer is not a number");
  }
  return seconds * 1000;
}

/** The body of a form: parameters in the order of their names, as the reference sends them. */
export function encodeForm(form: Readonly<Record<string, string>>): string {
  return Object.entries(form)
    .toSorted(([one], [other]) => (one < other ? -1 : 1))
    .map(([name, value]) => `${formText(name)}=${formText(value)}`)
    .join("&");
}

/** Text in the encoding of forms (application/x-www-form-urlencoded). */
export function formText(text: string): string {
  return escapeForm(toByteString(text)).replaceAll("%20", "+");
}

async function post({ endpoint, form, headers, dispatcher, signal }: TokenRequest): Promise<HttpAnswer> {
  const own = { "Content-Type": "application/x-www-form-urlencoded", Accept: "application/json" };
  const given = new Set([...(headers?.keys() ?? [])].map((name) => name.toLowerCase()));
  const fields = Object.entries({ ...own, "User-Agent": "sallyport" });
  try {
    return await ask({
      method: "POST",
      url: endpoint,
      headers: Object.fromEntries([
        ...fields.filter(([name]) => !given.has(name.toLowerCase())),
        ...(headers ?? []),
      ]),
      body: encodeForm(form),
      signal,
      dispatcher,
    });
  } catch (error) {
    throw new MintError("token_endpoint_error", `no answer of the token endpoint: ${whyNot(error)}`);
  }
}

/** Why there was no answer: the words of those whose words are safe, else a code (I14). */
function whyNot(error: unknown): string {
  if (error instanceof SourceError) return error.message;
  const reason = error instanceof Error ? Reflect.get(error, "reason") : undefined;
  if (typeof reason === "string" && /^[a-z_]{1,40}$/.test(reason)) return reason;
  return networkProblem(error) ?? "unexpected error";
}

/** The fields of a JSON or form answer (the reference reads text/plain as a form as well). */
function fieldsOf({ headers, body }: HttpAnswer): Readonly<Record<string, unknown>> | undefined {
  const type = (headers["content-type"] ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";
  const isText = type === "text/plain" && !body.toString("latin1", 0, 64).trimStart().startsWith("{");
  if (type === "application/x-www-form-urlencoded" || isText) {
    return Object.fromEntries(new URLSearchParams(body.toString("utf8")));
  }
  const parsed = parseJson(body);
  return typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)
    ? (parsed as Readonly<Record<string, unknown>>)
    : undefined;
}

/** Parameters that are no secret; an error code may have the same words in it. */
const publicParameters = new Set(["grant_type", "scope", "audience"]);

/**
 * The error code of RFC 6749 section 5.2. It is the one thing of an issuer's answer that is shown, so it has to look
 * like a code and must not repeat what was sent.
 */
function errorCode(
  fields: Readonly<Record<string, unknown>> | undefined,
  { form, headers }: TokenRequest,
): string | undefined {
  const code = at(fields, "error");
  if (code === undefined || code === null || code === "") return undefined;
  if (typeof code !== "string" || !/^[A-Za-z][A-Za-z0-9_.-]{0,63}$/.test(code)) return "token_endpoint_error";
  const sent = Object.entries(form).filter(([name]) => !publicParameters.has(name));
  const secrets = [...sent.map(([, value]) => value), ...(headers?.values() ?? [])];
  return secrets.some((value) => value.length >= 4 && code.includes(value)) ? "token_endpoint_error" : code;
}

/** Clock differences below this are not worth a word. */
const tolerableSkewMs = 60_000;

/** An assertion from a machine whose clock is wrong is refused as if its key were; the issuer's `Date` tells. */
function clockSkew(date: string | undefined): string {
  const ahead = date === undefined ? Number.NaN : Date.now() - Date.parse(date);
  if (!(Math.abs(ahead) > tolerableSkewMs)) return "";
  const seconds = Math.round(Math.abs(ahead) / 1000);
  return `; this machine's clock is ${seconds} s ${ahead > 0 ? "ahead of" : "behind"} the issuer's`;
}
