import { formatDuration } from "../../config/duration.ts";
import { lowerCaseName } from "../../http/headers.ts";
import type { BuildContext, ConfigPath } from "../../pipeline/types.ts";
import type { Clock } from "../../sources/clock.ts";
import type { SecretHandle } from "../../sources/types.ts";
import { canonicalName } from "../annotate.ts";
import { hasControl, toByteString } from "../byte-string.ts";
import { exposedSecret } from "../exposure.ts";
import { isForbiddenForCredentials, isHeaderName } from "../header-matcher.ts";
import { credentialSet } from "../minting/credential-set.ts";
import { mintWith } from "../minting/minter.ts";
import { stubToken } from "../minting/stub.ts";
import { parseTokenEndpoint, type TokenEndpoint } from "./endpoint.ts";
import type { Entry } from "./entry.ts";
import { grantKeys } from "./grants.ts";
import { headerField, type MintSettings, mintToken } from "./mint.ts";
import { rotationFile } from "./rotation-file.ts";
import { type EntryConfig, type Grant, grants } from "./schema.ts";

/** What a test puts in place of the machine's own. */
export interface OauthTokenOptions {
  /** For lifetimes and pauses. */
  readonly clock?: Clock;
  /** Milliseconds since 1970, for assertions. */
  readonly now?: () => number;
}

/** One entry while it is built: where it stands, and where its mistakes go. */
interface Site {
  readonly index: number;
  readonly path: ConfigPath;
  readonly context: BuildContext;
  error(key: string, message: string): void;
  warn(key: string, message: string): void;
}

/** Checks and compiles the entries; every mistake goes to the context. Nothing is read and nothing is asked. */
export function buildEntries(
  configs: readonly EntryConfig[],
  context: BuildContext,
  options: OauthTokenOptions,
): Entry[] {
  if (configs.length === 0) {
    context.error(["tokens"], 'oauth_token: at least one entry in "tokens" is required');
  }
  const entries = configs.flatMap((config, index) => {
    const prefix = `oauth_token: tokens[${index}]:`;
    const path = ["tokens", index];
    const site: Site = {
      index,
      path,
      context,
      error: (key, message) => context.error(key === "" ? path : [...path, key], `${prefix} ${message}`),
      warn: (key, message) => context.warn([...path, key], `${prefix} ${message}`),
    };
    return buildEntry(config, site, options) ?? [];
  });
  checkRotationFiles(configs, context);
  return entries;
}

function buildEntry(config: EntryConfig, site: Site, options: OauthTokenOptions): Entry | undefined {
  const { index, path, context } = site;
  const grant = grantOf(config, site);
  const endpoint = endpointOf(config, grant ?? "every", site);
  const rules = context.rules([...path, "rules"], config.rules);
  if ((config.rules ?? []).length === 0) site.error("rules", 'at least one entry in "rules" is required');
  const target = targetOf(config, site);
  if (grant === undefined) return undefined;
  const fields = fieldsOf(config, grant, site);
  const headers = endpointHeaders(config, site);
  const sources = new Map([
    ...fields,
    ...headers.map(({ name, handle }) => [headerField(name), handle] as const),
  ]);
  const settings = settingsOf(config, grant, endpoint, headers, site);
  if (endpoint === undefined) return undefined;
  const credentials = credentialSet(sources);
  const minter = mintWith(context.custody, {
    credentials: () => credentials.get(),
    mint: (values, signal) => mintToken(settings, values, signal, options.now ?? Date.now),
    onFailure({ reason, message }, retryInMs) {
      const retry_in = formatDuration(retryInMs);
      const level = reason === "invalid_grant" ? "error" : "warn";
      const entry = `tokens[${index}]`;
      context.log(level, "oauth_token mint failed", { entry, grant, reason, error: message, retry_in });
    },
    onOutcome: (ok) => context.minted?.("oauth_token", ok),
    ...(options.clock === undefined ? {} : { clock: options.clock }),
  });
  const { handles } = credentials;
  const exposed = exposedSecret({
    mode: config.scrub,
    name: `oauth_token[${index}]`,
    replacement: stubToken,
  });
  const require = config.require !== false;
  return {
    index,
    grant,
    rules,
    endpoint,
    handles,
    minter,
    ...target,
    require,
    captures: config.scrub !== "off",
    exposed,
  };
}

function grantOf({ grant }: EntryConfig, site: Site): Grant | undefined {
  const known = grants.find((name) => name === grant);
  if (known === undefined) {
    const got = JSON.stringify((grant ?? "").slice(0, 60));
    site.error(
      grant === undefined ? "" : "grant",
      `"grant" must be one of ${grants.join(", ")} (got ${got})`,
    );
  }
  return known;
}

function endpointOf(
  { token_endpoint: text = "" }: EntryConfig,
  grant: string,
  site: Site,
): TokenEndpoint | undefined {
  if (text === "") {
    site.error("", `${grant} grant requires "token_endpoint"`);
    return undefined;
  }
  const endpoint = parseTokenEndpoint(text);
  if (typeof endpoint !== "string") return endpoint;
  site.error("token_endpoint", `invalid token_endpoint: ${endpoint}`);
  return undefined;
}

/** Handles of the sources that the grant uses, in alphabetical order. */
function fieldsOf(config: EntryConfig, grant: Grant, site: Site): (readonly [string, SecretHandle])[] {
  const { required, optional } = grantKeys[grant];
  const missing = required.filter(([field]) => config[field] === undefined).map(([, message]) => message);
  for (const message of new Set(missing)) site.error("", message);
  const meaningful = keysOf(grant);
  for (const key of new Set(grants.flatMap(keysOf))) {
    if (config[key] === undefined || meaningful.includes(key)) continue;
    site.warn(key, `${key} is not used by the ${grant} grant`);
  }
  const used = [...required.map(([field]) => field), ...optional];
  return used.toSorted().flatMap((field) => {
    const source = config[field];
    return source === undefined ? [] : [[field, site.context.secret([...site.path, field], source)] as const];
  });
}

/** Keys that mean something for a grant, out of those that not every grant has. */
function keysOf(grant: Grant): (keyof EntryConfig)[] {
  const { required, optional, settings } = grantKeys[grant];
  return [...required.map(([field]) => field), ...optional, ...settings];
}

interface EndpointHeader {
  readonly name: string;
  readonly handle: SecretHandle;
}

function endpointHeaders(config: EntryConfig, site: Site): EndpointHeader[] {
  const key = "token_endpoint_headers";
  const seen = new Set<string>();
  return Object.entries(config[key] ?? {})
    .toSorted(([one], [other]) => (one < other ? -1 : 1))
    .map(([name, source]) => {
      const at = [...site.path, key, name];
      const problem = headerProblem(name, seen, config);
      if (problem !== undefined) {
        site.context.error(at, `oauth_token: tokens[${site.index}]: ${key}${problem}`);
      }
      seen.add(lowerCaseName(name));
      return { name, handle: site.context.secret(at, source) };
    });
}

function headerProblem(name: string, seen: ReadonlySet<string>, config: EntryConfig): string | undefined {
  if (name === "") return ": header name must not be empty";
  const subject = `[${JSON.stringify(name)}]:`;
  const lower = lowerCaseName(name);
  if (!isHeaderName(name)) return `${subject} not a header name`;
  if (isForbiddenForCredentials(lower)) return `${subject} belongs to the connection and cannot be set`;
  if (seen.has(lower)) return `${subject} the header is named twice`;
  if (lower === "authorization" && config.client_auth === "basic") {
    return `${subject} client_auth: basic sets this header`;
  }
  return undefined;
}

function settingsOf(
  config: EntryConfig,
  grant: Grant,
  endpoint: TokenEndpoint | undefined,
  headers: readonly EndpointHeader[],
  site: Site,
): MintSettings {
  const { audience = "", client_auth: clientAuth = "body", rotation_file: file = "" } = config;
  if (grant === "jwt_bearer" && audience === "") site.error("", 'jwt_bearer grant requires "audience"');
  if (clientAuth === "basic" && grant !== "jwt_bearer" && config.client_secret === undefined) {
    site.error("client_auth", 'client_auth: basic requires "client_secret"');
  }
  const { context, index } = site;
  return {
    grant,
    clientAuth,
    audience,
    scope: (config.scopes ?? []).join(" "),
    endpoint: endpoint?.url ?? "",
    headerNames: headers.map(({ name }) => name),
    rotationFile: file === "" ? undefined : rotationFile(file),
    dispatcher: () => context.dispatcher(),
    onFileError: ({ message }) =>
      context.log("error", "oauth_token rotation file failed", { entry: `tokens[${index}]`, error: message }),
  };
}

function targetOf(config: EntryConfig, site: Site): Pick<Entry, "header" | "place" | "location" | "prefix"> {
  const header = config.header === undefined || config.header === "" ? "Authorization" : config.header;
  if (!isHeaderName(header)) site.error("header", `${JSON.stringify(header)} is not a header name`);
  else if (isForbiddenForCredentials(lowerCaseName(header))) {
    site.error("header", `${header} belongs to the connection; a credential cannot be put there`);
  }
  if (config.value_prefix === "") site.warn("value_prefix", 'an empty value_prefix means "Bearer "');
  const prefix = toByteString(config.value_prefix || "Bearer ");
  if (hasControl(prefix)) site.error("value_prefix", "value_prefix must not have a control character in it");
  return { header, place: lowerCaseName(header), location: `header:${canonicalName(header)}`, prefix };
}

/** A file keeps one refresh token: two entries that share it without sharing the token would undo each other's work. */
function checkRotationFiles(configs: readonly EntryConfig[], context: BuildContext): void {
  const owners = new Map<string, { readonly index: number; readonly token: string }>();
  for (const [index, { rotation_file: file = "", refresh_token, token_endpoint }] of configs.entries()) {
    if (file === "") continue;
    const token = JSON.stringify([token_endpoint, refresh_token]);
    const owner = owners.get(file) ?? { index, token };
    owners.set(file, owner);
    if (owner.token === token) continue;
    const message = `rotation_file is that of tokens[${owner.index}], which has another refresh token; give each its own`;
    context.error(["tokens", index, "rotation_file"], `oauth_token: tokens[${index}]: ${message}`);
  }
}
