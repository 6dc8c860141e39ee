import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { ask, type HttpAnswer, networkProblem } from "../../sources/http.ts";
import { at, parseJson, textAt } from "../../sources/json.ts";
import { Secret } from "../../sources/types.ts";
import { MintError } from "../minting/mint-error.ts";
import { formText, lifetimeOf, requestToken, tokenField } from "../minting/token-endpoint.ts";
import { mintExternal } from "./external-account.ts";
import { googleTokenUri, required, serviceAccountOf } from "./keyfile.ts";
import { type GoogleToken, type MintContext, mintAccessToken } from "./mint.ts";
import type { CheckTokenUrl } from "./token-hosts.ts";

/** Environment variables that say where the proxy's own Google identity is. */
export const googleVariables = [
  "GOOGLE_APPLICATION_CREDENTIALS",
  "CLOUDSDK_CONFIG",
  "GCE_METADATA_HOST",
  "GCE_METADATA_IP",
] as const;

/** How the proxy's own identity gets tokens. */
export interface DefaultCredentials {
  readonly scopes: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly checkUrl: CheckTokenUrl;
}

const cloudPlatform = "https://www.googleapis.com/auth/cloud-platform";

/**
 * An access token of the proxy's own Google identity, found where Google's SDKs look (Application Default Credentials):
 * the file named by GOOGLE_APPLICATION_CREDENTIALS, gcloud's own file, the metadata server. The file is read with
 * every mint, so one that was replaced is noticed when the token is next renewed.
 * @throws {MintError}
 */
export async function mintWithDefaultCredentials(
  settings: DefaultCredentials,
  context: MintContext,
): Promise<GoogleToken> {
  const { env } = settings;
  const named = env["GOOGLE_APPLICATION_CREDENTIALS"] ?? "";
  const path = named === "" ? gcloudFile(env) : named;
  const content = path === undefined ? undefined : await readCredentials(path, named !== "");
  if (content === undefined) return fromMetadataServer(settings, context);
  const json = parseJson(content);
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new MintError("mint_failed", "the credentials file is not a JSON object");
  }
  return mintFromJson(json, settings, context);
}

async function mintFromJson(
  json: object,
  { scopes, checkUrl }: Omit<DefaultCredentials, "env">,
  context: MintContext,
): Promise<GoogleToken> {
  switch (textAt(json, "type")) {
    case "service_account":
      return mintAccessToken(serviceAccountOf(json, checkUrl), { scopes, subject: undefined }, context);
    case "authorized_user":
      return refreshUser(json, context);
    case "external_account_authorized_user":
      return refreshExternalUser(json, checkUrl, context);
    case "external_account":
      return mintExternal(json, scopes, checkUrl, context);
    case "impersonated_service_account":
      return impersonate(json, scopes, checkUrl, context);
    default: {
      const known =
        "service_account, authorized_user, external_account, external_account_authorized_user, impersonated_service_account";
      throw new MintError("mint_failed", `the credentials file's "type" is none of ${known}`);
    }
  }
}

async function refreshUser(json: object, { dispatcher, signal }: MintContext): Promise<GoogleToken> {
  const form = {
    grant_type: "refresh_token",
    refresh_token: required(json, "refresh_token"),
    client_id: required(json, "client_id"),
    client_secret: required(json, "client_secret"),
  };
  const answer = await requestToken({ endpoint: googleTokenUri, form, dispatcher, signal });
  const token = new Secret(tokenField(answer, "access_token"));
  return { token, lifetimeMs: lifetimeOf(answer), principal: undefined };
}

/** A person of a workforce pool, logged in with gcloud. */
async function refreshExternalUser(
  json: object,
  checkUrl: CheckTokenUrl,
  { dispatcher, signal }: MintContext,
): Promise<GoogleToken> {
  const endpoint = textAt(json, "token_url") || "https://sts.googleapis.com/v1/oauthtoken";
  checkUrl(endpoint, "token_url of the credentials file");
  const client = `${formText(required(json, "client_id"))}:${formText(required(json, "client_secret"))}`;
  const headers = new Map([["Authorization", `Basic ${Buffer.from(client, "latin1").toString("base64")}`]]);
  const form = { grant_type: "refresh_token", refresh_token: required(json, "refresh_token") };
  const answer = await requestToken({ endpoint, form, headers, dispatcher, signal });
  const token = new Secret(tokenField(answer, "access_token"));
  return { token, lifetimeMs: lifetimeOf(answer), principal: undefined };
}

/** One identity acts as a service account, by a call of the IAM Credentials API. */
async function impersonate(
  json: object,
  scopes: readonly string[],
  checkUrl: CheckTokenUrl,
  context: MintContext,
): Promise<GoogleToken> {
  const url = required(json, "service_account_impersonation_url");
  checkUrl(url, "service_account_impersonation_url of the credentials file");
  const source = at(json, "source_credentials");
  if (typeof source !== "object" || source === null || textAt(source, "type") === textAt(json, "type")) {
    throw new MintError("mint_failed", "the credentials file has no source_credentials that can be used");
  }
  const { token } = await mintFromJson(source, { scopes: [cloudPlatform], checkUrl }, context);
  const delegates = at(json, "delegates") ?? [];
  const answer = await answerOf("the IAM Credentials API", {
    method: "POST",
    url,
    headers: { Authorization: `Bearer ${token.reveal()}`, "Content-Type": "application/json" },
    body: JSON.stringify({ delegates, scope: scopes, lifetime: "3600s" }),
    signal: context.signal,
    dispatcher: context.dispatcher,
  });
  const fields = parseJson(answer.body);
  const expiry = Date.parse(textAt(fields, "expireTime") ?? "");
  const minted = tokenField({ fields: { access_token: at(fields, "accessToken") } }, "access_token");
  const lifetimeMs = Number.isNaN(expiry) ? undefined : expiry - context.now;
  return { token: new Secret(minted), lifetimeMs, principal: url };
}

/**
 * The metadata server of this machine, or of this pod. It is the one address that the proxy itself asks and workloads may
 * not, and it belongs to this machine: neither the deny list nor a forward proxy is between.
 */
async function fromMetadataServer(
  { env, scopes }: DefaultCredentials,
  { signal }: MintContext,
): Promise<GoogleToken> {
  const host = env["GCE_METADATA_HOST"] || env["GCE_METADATA_IP"] || "169.254.169.254";
  const path = "/computeMetadata/v1/instance/service-accounts/default/token";
  const answer = await answerOf("no credentials file, and the metadata server", {
    method: "GET",
    url: `http://${host}${path}?scopes=${encodeURIComponent(scopes.join(","))}`,
    headers: { "Metadata-Flavor": "Google" },
    signal,
    dispatcher: undefined,
  });
  if (answer.headers["metadata-flavor"] !== "Google") {
    throw new MintError("mint_failed", "what answered is not Google's metadata server (no Metadata-Flavor)");
  }
  const fields = parseJson(answer.body);
  const given = {
    fields: { access_token: at(fields, "access_token"), expires_in: at(fields, "expires_in") },
  };
  const token = new Secret(tokenField(given, "access_token"));
  return { token, lifetimeMs: lifetimeOf(given), principal: undefined };
}

/** @param what names who is asked, in errors */
async function answerOf(what: string, question: Parameters<typeof ask>[0]): Promise<HttpAnswer> {
  let answer: HttpAnswer;
  try {
    answer = await ask(question);
  } catch (error) {
    throw new MintError("token_endpoint_error", `${what}: ${networkProblem(error) ?? "no usable answer"}`);
  }
  if (answer.status === 200) return answer;
  const detail = `${what} answered with status ${answer.status}`;
  throw new MintError(`token_endpoint_http_${answer.status}`, detail);
}

/** Where `gcloud auth application-default login` leaves its file. */
function gcloudFile(env: NodeJS.ProcessEnv): string | undefined {
  const home = env["HOME"] ?? "";
  const directory = env["CLOUDSDK_CONFIG"] || (home === "" ? "" : join(home, ".config", "gcloud"));
  return directory === "" ? undefined : join(directory, "application_default_credentials.json");
}

/** Largest file that is read, in bytes (I12). */
const maxBytes = 65_536;

/** @returns `undefined` when there is no file and there need not be one */
async function readCredentials(path: string, isNeeded: boolean): Promise<string | undefined> {
  try {
    // O_NONBLOCK: opening a named pipe that nobody writes to would hold a thread of the pool for ever.
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const status = await file.stat();
      if (status.isFile() && status.size <= maxBytes) return await file.readFile("utf8");
      throw unreadable(
        path,
        status.isFile() ? `it is larger than ${maxBytes} bytes` : "it is not a regular file",
      );
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof MintError) throw error;
    const code: unknown = error instanceof Error ? Reflect.get(error, "code") : undefined;
    if (!isNeeded && (code === "ENOENT" || code === "ENOTDIR")) return undefined;
    throw unreadable(path, typeof code === "string" ? code : "unexpected error");
  }
}

function unreadable(path: string, why: string): MintError {
  return new MintError("mint_failed", `reading credentials file "${path}": ${why}`);
}
