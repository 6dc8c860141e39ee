import type { z } from "zod";
import type { BuildContext } from "../../pipeline/types.ts";
import { awsRequestHandler } from "../../sources/aws.ts";
import type { Clock } from "../../sources/clock.ts";
import type { SecretHandle } from "../../sources/types.ts";
import { compileActions, isKnownService, parseAction } from "./actions.ts";
import type { Settings } from "./check.ts";
import { type CredentialSource, type KeyName, staticCredentials } from "./credentials.ts";
import { exposedKeys } from "./resign.ts";
import type { awsAuthSchema } from "./schema.ts";
import type { AwsKeys } from "./sigv4.ts";
import { type KeyProvider, workloadIdentity } from "./workload-identity.ts";

type Config = z.output<typeof awsAuthSchema>;
type Handles = ReadonlyMap<KeyName, SecretHandle>;

/** What a test puts in place of the machine's own. */
export interface AwsAuthOptions {
  /** Loads the keys of `workload_identity`. */
  readonly provider?: (region: string | undefined) => KeyProvider;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** What keys are kept by. */
  readonly clock?: Clock;
}

export interface Compiled {
  readonly settings: Settings;
  readonly secrets: readonly SecretHandle[];
}

/** Checks and compiles the configuration; every mistake goes to the context. No keys are loaded. */
export function compile(config: Config, context: BuildContext, options: AwsAuthOptions): Compiled {
  const handles = handlesOf(config, context);
  checkCredentials(config, context);
  const rules = context.rules(["rules"], config.rules);
  if ((config.rules ?? []).length === 0) {
    context.error(["rules"], 'aws_auth: at least one entry in "rules" is required');
  }
  const settings: Settings = {
    rules,
    regions: nonEmpty(config.allowed_regions),
    services: nonEmpty(config.allowed_services),
    actions: compileActions(checkedActions(config.allowed_actions ?? [], context)),
    matchScopeToHost: config.match_scope_to_host !== false,
    unsignedPayload: config.unsigned_payload === true,
    allowChunkedBody: config.allow_chunked_body === true,
    credentials: credentialsOf(config, handles, context, options),
    scrub: config.scrub,
    exposedKeys: exposedKeys(config.scrub),
    now: options.now ?? Date.now,
  };
  return { settings, secrets: [...handles.values()] };
}

function checkCredentials(config: Config, context: BuildContext): void {
  const { access_key_id: id, secret_access_key: key, session_token: token } = config;
  const provider = config.credentials_provider;
  const hasKeys = id !== undefined || key !== undefined;
  if (provider !== undefined && (hasKeys || token !== undefined)) {
    context.error(
      [],
      "aws_auth: set either access_key_id/secret_access_key or credentials_provider, not both",
    );
  } else if (provider !== undefined) {
    checkProvider(provider, context);
  } else if (!hasKeys) {
    context.error([], "aws_auth: requires either access_key_id+secret_access_key or credentials_provider");
  } else if (id === undefined) context.error([], "aws_auth: access_key_id is required");
  else if (key === undefined) context.error([], "aws_auth: secret_access_key is required");
}

function checkProvider(
  { type = "" }: NonNullable<Config["credentials_provider"]>,
  context: BuildContext,
): void {
  const prefix = "aws_auth: building credentials_provider:";
  const path = ["credentials_provider", "type"];
  if (type === "") context.error(path, `${prefix} credentials_provider.type is required`);
  else if (type !== "workload_identity") {
    const problem = `unsupported credentials_provider type ${JSON.stringify(type)}`;
    context.error(path, `${prefix} ${problem}; the only one is "workload_identity"`);
  }
}

function handlesOf(config: Config, context: BuildContext): Handles {
  const handles = new Map<KeyName, SecretHandle>();
  for (const key of ["access_key_id", "secret_access_key", "session_token"] as const) {
    const source = config[key];
    if (source !== undefined) handles.set(key, context.secret([key], source));
  }
  return handles;
}

function credentialsOf(
  config: Config,
  handles: Handles,
  context: BuildContext,
  { provider = sdkProvider(context), now = Date.now, clock }: AwsAuthOptions,
): CredentialSource {
  if (handles.size > 0) return staticCredentials(handles);
  const provide = provider(config.credentials_provider?.region);
  const log: BuildContext["log"] = (...line) => context.log(...line);
  const minted = (mechanism: string, ok: boolean) => context.minted?.(mechanism, ok);
  return workloadIdentity({ provide, log, minted, now, clock, custody: context.custody });
}

/** An empty string is no name; the reference takes a list of only those for none. */
function nonEmpty(names: readonly string[] = []): ReadonlySet<string> {
  return new Set(names.filter((name) => name !== ""));
}

function checkedActions(entries: readonly string[], context: BuildContext): readonly string[] {
  for (const [index, entry] of entries.entries()) {
    const path = ["allowed_actions", index];
    const action = parseAction(entry);
    if (action === undefined) {
      const form = "service:Operation, service:Prefix* or service:*, such as dynamodb:GetItem";
      context.error(path, `aws_auth: ${JSON.stringify(entry)} is not ${form}`);
    } else if (action.operation !== "*" && !isKnownService(action.service)) {
      const { service } = action;
      const advice = `write ${service}:* and narrow it by methods and paths in the rules`;
      context.error(path, `aws_auth: the operations of ${service} cannot be told apart; ${advice}`);
    }
  }
  return entries;
}

/** The SDK's default chain, loaded on first use: 70 ms and 30 MB that most configurations never need. */
function sdkProvider(context: BuildContext): (region: string | undefined) => KeyProvider {
  return (region) => async (): Promise<AwsKeys> => {
    const { fromNodeProviderChain } = await import("@aws-sdk/credential-providers");
    const requestHandler = awsRequestHandler(context.dispatcher());
    const clientConfig = region === undefined ? { requestHandler } : { requestHandler, region };
    // A new chain each time: one that remembers would give expiring keys back when they are to be renewed.
    return fromNodeProviderChain({ clientConfig })();
  };
}
