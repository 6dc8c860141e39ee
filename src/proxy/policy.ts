import { type CallerGate, callerGate } from "../callers/gate.ts";
import { readSigningKeys, type SigningKeys, SigningKeyError } from "../callers/keys.ts";
import { hasErrors, type Issue, type Locate, placeText } from "../config/issues.ts";
import type { Config } from "../config/types.ts";
import type { Deadlines } from "../http/h1/deadlines.ts";
import type { ServerOptions } from "../http/h1/server.ts";
import type { Host } from "../http/authority.ts";
import type { Logger } from "../log/logger.ts";
import { Pipeline } from "../pipeline/pipeline.ts";
import type { Custody } from "../sources/custody.ts";
import type { BuildContext } from "../pipeline/types.ts";
import { SourceRegistry } from "../sources/registry.ts";
import type { SecretHandle } from "../sources/types.ts";
import { transformKinds } from "../transforms/registry.ts";
import type { Upstream } from "../upstream/index.ts";
import { buildTransforms } from "./build-transforms.ts";
import { checkDnsPassthrough } from "./dns.ts";
import type { KnownValues } from "../findings/known-values.ts";
import { Watch } from "../findings/watch.ts";
import type { Webhook } from "../findings/webhook.ts";
import { explainBudget } from "./explain-budget.ts";
import { type Unopened, unopenedBy } from "./passthrough.ts";
import { openWebhook, webhookSecret } from "./findings.ts";
import { compileIdentities, type OpenIdentities } from "./upstream-identities.ts";

/** A configuration that cannot be run; every issue is in it. */
export class ConfigurationError extends Error {
  override readonly name = "ConfigurationError";
  readonly issues: readonly Issue[];
  constructor(issues: readonly Issue[]) {
    super("the configuration has errors");
    this.issues = issues;
  }
}

/**
 * Everything that a reload replaces, in one piece: what is decided about requests, with which credentials, and within
 * which limits. An exchange keeps the pipeline it began with, a connection the limits it was accepted under.
 */
export interface Policy {
  readonly config: Config;
  readonly pipeline: Pipeline;
  readonly sources: SourceRegistry;
  /** Hosts and networks of all rules, as they are written, each once. */
  readonly hosts: readonly string[];
  readonly serverOptions: ServerOptions;
  /** Who requests are from. */
  readonly callers: CallerGate;
  /** Whether TLS for this host and port passes as it is, and by which setting. */
  readonly unopened: Unopened;
  /** Roots and client certificates of single hosts, and the sources that those are read from. */
  readonly identities: OpenIdentities;
  readonly identitySecrets: readonly SecretHandle[];
  /** What requests are searched for. */
  readonly watch: Watch;
  /** Posts findings, where somebody wants them. */
  readonly webhook: Webhook | undefined;
  /** True when a leaf may be made for a refused name, only to say why (I8). */
  mayExplain(host: Host): boolean;
}

/** What policies are built with; the same for all of one proxy. */
export interface PolicyOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly logger: Logger;
  readonly upstream: Upstream;
  /** In place of tokens. */
  readonly authenticate: CallerGate["authenticate"] | undefined;
  readonly deadlines: Deadlines;
  /** Asked anew for each policy: who keeps the credentials, where it is not this process. */
  readonly custody?: (() => Custody) | undefined;
  /** What transforms keep over a reload. */
  readonly keep: BuildContext["keep"];
  /** Values that were read or minted, by whichever policy. */
  readonly known: KnownValues;
  /** Told of every attempt to mint a token, for counters. */
  readonly minted?: ((mechanism: string, ok: boolean) => void) | undefined;
}

/**
 * Builds the policy of a configuration. Nothing is read, dialled or started yet.
 * @throws {ConfigurationError} with everything that is wrong; nothing of the attempt is left then
 */
export function buildPolicy(config: Config, locate: Locate, options: PolicyOptions): Policy {
  const { env, logger, upstream, deadlines, minted } = options;
  const callers = callersOf(config, options);
  const custody = options.custody?.();
  const sources = new SourceRegistry({
    env,
    custody,
    onWarning: (source, message) => logger.warn("a secret source failed", { source, error: message }),
    dispatcher: upstream.operatorDispatcher,
  });
  const built = buildTransforms(config, {
    kinds: transformKinds,
    sources,
    locate,
    file: config.file,
    services: {
      dispatcher: () => upstream.dispatcher,
      log: (level, message, fields) => logger[level](message, fields),
      minted,
      custody,
      keep: options.keep,
    },
  });
  const { identities, issues: identityIssues } = compileIdentities(config, {
    sources,
    locate,
    file: config.file,
  });
  const signing = webhookSecret(config, sources, locate);
  const issues = [
    ...checkDnsPassthrough(config, locate, config.file),
    ...identityIssues,
    ...signing.issues,
    ...built.issues,
  ];
  if (hasErrors(issues)) {
    sources.close();
    throw new ConfigurationError(issues);
  }
  for (const issue of issues) logger.warn(issue.message, { at: placeText(issue) });
  const { timeouts, limits } = config.proxy;
  return {
    config,
    pipeline: new Pipeline(built.transforms),
    sources,
    callers,
    hosts: built.hosts,
    unopened: unopenedBy(config, built.passthrough),
    serverOptions: {
      limits,
      deadlines,
      headerMs: timeouts.clientHeaderMs,
      bodyMs: timeouts.clientBodyMs,
      idleMs: timeouts.clientIdleMs,
    },
    identities: identities.open(env, (message, fields) => logger.warn(message, fields)),
    identitySecrets: identities.secrets,
    watch: new Watch(
      built.transforms.flatMap(({ placeholders = [] }) => placeholders),
      options.known,
    ),
    webhook: openWebhook(config, signing.handle, {
      dispatcher: upstream.operatorDispatcher,
      onProblem: (message) => logger.error(message),
      onRecovery: (message) => logger.info(message),
    }),
    mayExplain: explainBudget(config.tls.explainDenials),
  };
}

/** Keys are read anew with every policy, so that a reload puts new ones in force. */
function callersOf(config: Config, { env, authenticate }: PolicyOptions): CallerGate {
  if (authenticate !== undefined) return { authenticate, stands: () => true };
  let keys: SigningKeys | undefined;
  try {
    keys = readSigningKeys(env);
  } catch (error) {
    if (!(error instanceof SigningKeyError)) throw error;
    const { variable, problem: message } = error;
    throw new ConfigurationError([
      { severity: "error", file: variable, line: 0, column: 0, path: [], message },
    ]);
  }
  return callerGate({ keys, required: config.proxy.requireCaller });
}
