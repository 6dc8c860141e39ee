import { requestFacts } from "../../pipeline/rules.ts";
import type {
  BuildContext,
  ConfigPath,
  Exchange,
  Rejection,
  TransformKind,
  Verdict,
} from "../../pipeline/types.ts";
import type { SecretHandle } from "../../sources/types.ts";
import { exposedSecret } from "../exposure.ts";
import { stubToken, tokenStub } from "../minting/stub.ts";
import { type Attacher, attach, skips } from "./attach.ts";
import { googleVariables, mintWithDefaultCredentials } from "./default-credentials.ts";
import { isMetadataHost, type MetadataFacts, metadataVerdict } from "./metadata-stub.ts";
import { mintAccessToken } from "./mint.ts";
import { type CredentialOperation, credentialOperation, credentialOperations } from "./operations.ts";
import { type GcpAuthConfig, gcpAuthSchema } from "./schema.ts";
import { type GcpOptions, keyfileHandle, keyfileMinter, providerMinter, type Site } from "./token-source.ts";
import { isTokenEndpoint, tokenAskOf, type TokenAsk } from "./token-request.ts";
import { tokenHosts } from "./token-hosts.ts";

interface Settings extends Attacher {
  readonly metadata: MetadataFacts;
  /** Operations that hand out credentials and are allowed all the same. */
  readonly allowed: ReadonlySet<string>;
}

/**
 * `gcp_auth`: sets access tokens of Google's on requests, and answers the workload's own SDK where it asks for one. It
 * has no part in opening a tunnel (I2), and gives a plain value while a token is held.
 */
export function makeGcpAuth(options: GcpOptions = {}): TransformKind<typeof gcpAuthSchema> {
  return {
    name: "gcp_auth",
    credential: true,
    schema: gcpAuthSchema,
    build(config, context) {
      checkConfig(config, context);
      const checkUrl = tokenHosts(config.allow_token_uri ?? [], "gcp_auth", context);
      const rules = context.rules(["rules"], config.rules);
      if ((config.rules ?? []).length === 0) {
        context.error(["rules"], 'gcp_auth: at least one entry in "rules" is required');
      }
      const handle = keyfileHandle(config, context);
      const minter = minterOf(config, handle, { name: "gcp_auth", context, options, checkUrl });
      const settings: Settings = {
        rules,
        get: () => minter.get(),
        header: "Authorization",
        place: "authorization",
        exposed: exposedSecret({ mode: config.scrub, name: "gcp_auth", replacement: stubToken }),
        allowed: new Set(config.allowed_operations),
        metadata: {
          tokens: "access",
          scopes: config.scopes ?? [],
          projectId: config.project_id || undefined,
          now: options.now ?? Date.now,
        },
      };
      return {
        name: "gcp_auth",
        credentialRules: [rules],
        secrets: handle === undefined ? [] : [handle],
        ...(config.credentials_provider === undefined ? {} : { variables: googleVariables }),
        onRequest: (exchange) => onRequest(exchange, settings),
        explain: (exchange) => explain(exchange, settings).map((line) => `gcp_auth: ${line}`),
        close: () => minter.close(),
      };
    },
  };
}

export const gcpAuth = makeGcpAuth();

function checkConfig(config: GcpAuthConfig, context: BuildContext): void {
  const error = (path: ConfigPath, message: string) => context.error(path, `gcp_auth: ${message}`);
  const { keyfile_path, keyfile, credentials_provider: provider, scopes = [] } = config;
  const given = [keyfile_path || undefined, keyfile, provider].filter((one) => one !== undefined);
  if (given.length !== 1) {
    error([], 'requires exactly one of "keyfile_path", "keyfile", or "credentials_provider"');
  }
  if (scopes.length === 0) error(["scopes"], 'at least one entry in "scopes" is required');
  for (const [index, scope] of scopes.entries()) {
    if (!/^[\x21-\x7e]+$/.test(scope)) error(["scopes", index], "a scope is one word; list each by itself");
  }
  if (config.subject && provider !== undefined) {
    const message = '"subject" cannot be combined with "credentials_provider": delegation needs a key file';
    error(["subject"], message);
  }
  const type = provider?.type ?? "";
  if (provider !== undefined && type === "") {
    error(["credentials_provider"], "credentials_provider.type is required");
  } else if (provider !== undefined && type !== "workload_identity") {
    const problem = `unsupported credentials_provider type ${JSON.stringify(type)}`;
    error(["credentials_provider", "type"], `${problem}; the only one is "workload_identity"`);
  }
  for (const [index, operation] of (config.allowed_operations ?? []).entries()) {
    if (credentialOperations.includes(operation as CredentialOperation)) continue;
    const message = `${JSON.stringify(operation)} is none of ${credentialOperations.join(", ")}`;
    error(["allowed_operations", index], message);
  }
}

function minterOf(config: GcpAuthConfig, handle: SecretHandle | undefined, site: Site) {
  const scopes = config.scopes ?? [];
  const subject = config.subject || undefined;
  if (handle !== undefined) {
    return keyfileMinter(handle, site, (account, context) =>
      mintAccessToken(account, { scopes, subject }, context),
    );
  }
  const { checkUrl, options } = site;
  const settings = { scopes, env: options.env ?? process.env, checkUrl };
  return providerMinter(site, (context) => mintWithDefaultCredentials(settings, context));
}

function onRequest(exchange: Exchange, settings: Settings): Verdict | Promise<Verdict> {
  if (!settings.rules.serves(exchange.client.caller)) return undefined;
  if (isMetadataHost(exchange))
    return metadataVerdict(exchange, settings.metadata) ?? authorize(exchange, settings);
  if (!isTokenEndpoint(exchange)) return authorize(exchange, settings);
  const decide = (ask: TokenAsk): Verdict | Promise<Verdict> => {
    if (ask.kind !== "access_token") return authorize(exchange, settings);
    exchange.annotate("stubbed", "oauth2_token_endpoint");
    return tokenStub;
  };
  const ask = tokenAskOf(exchange);
  return ask instanceof Promise ? ask.then(decide) : decide(ask);
}

function authorize(exchange: Exchange, settings: Settings): Verdict | Promise<Verdict> {
  if (!settings.rules.match(requestFacts(exchange)) || skips(exchange, settings.place)) return undefined;
  return refusedOperation(exchange, settings) ?? attach(exchange, settings);
}

function refusedOperation(exchange: Exchange, { allowed }: Settings): Rejection | undefined {
  const operation = credentialOperation(exchange);
  if (operation === undefined || allowed.has(operation)) return undefined;
  exchange.annotate("operation", operation);
  exchange.annotate("rejected", "action_not_allowed");
  const detail = `${operation} can hand out a credential that works without this proxy.`;
  return { kind: "reject", status: 403, reason: "action_not_allowed", detail };
}

/** What would happen to a request; asks no source and no issuer, and reads no body. */
function explain(exchange: Exchange, { rules, place, allowed }: Settings): string[] {
  const lines: string[] = [];
  if (isTokenEndpoint(exchange)) {
    lines.push("this is a token endpoint of Google's: a request for an access token gets a stub");
  } else if (isMetadataHost(exchange)) {
    lines.push("this is Google's metadata server: requests on the way to an access token get a stub");
  }
  const { matched, text } = rules.describe(requestFacts(exchange));
  const operation = credentialOperation(exchange);
  if (!matched) return [...lines, `rules do not match: ${text}`];
  if (exchange.claimed(place)) {
    return [...lines, "rules match; would skip header Authorization: an earlier transform has it"];
  }
  if (operation !== undefined && !allowed.has(operation)) {
    return [...lines, `rules match; would be refused (action_not_allowed): ${operation}`];
  }
  return [...lines, "rules match; would set header Authorization"];
}
