import type { Command } from "commander";
import { Reloader } from "../admin/reloader.ts";
import { RequestCounts } from "../admin/request-counts.ts";
import { watchConfiguration } from "../admin/watch.ts";
import { type AuditExport, openAuditExport } from "../audit/otlp.ts";
import { formatIssue, placeText } from "../config/issues.ts";
import { type LoadResult, loadConfig } from "../config/load.ts";
import type { Config } from "../config/types.ts";
import { createLogger, type Logger, resolveFormat } from "../log/logger.ts";
import { ConfigurationError, type ProxyOptions } from "../proxy/proxy.ts";
import type { Served } from "../proxy/served.ts";
import { type CertificateAuthority, loadCa } from "../tls/ca.ts";
import { ensureDefaultCa } from "../tls/default-ca.ts";
import { packageVersion } from "../version.ts";
import { isWorker, startServing } from "../workers/serve.ts";
import { forgettableVariables } from "./credential-variables.ts";
import { CliError, type Io } from "./io.ts";
import { type Admin, type ProcessState, startAdmin } from "./start/admin.ts";
import { untilStopped } from "./start/until-stopped.ts";

interface StartOptions {
  readonly config?: string;
  readonly watch?: boolean;
}

export function register(program: Command, io: Io, exposures: readonly string[]): void {
  program
    .command("start")
    .description("run the proxy until it is stopped by a signal")
    .option(
      "-c, --config <file>",
      "configuration file; without one the embedded default: tunnel on 127.0.0.1:8080, deny everything",
    )
    .option("--watch", "reload when the configuration changes on disk")
    .addHelpText(
      "after",
      `
Signals: TERM and INT drain and stop (a second one stops at once), HUP reads the configuration again and opens
the audit file anew, USR1 and USR2 only open the audit file anew.

Examples:
  sallyport start --config /etc/sallyport/proxy.yaml
  sallyport start --config /etc/sallyport/proxy.yaml --watch
  SALLYPORT_PROXY_TUNNEL_LISTEN=127.0.0.1:0 sallyport start --config proxy.yaml`,
    )
    .action(async (options: StartOptions) => {
      if (options.watch === true && options.config === undefined) {
        throw new CliError("--watch needs --config: without a file nothing can change", 2);
      }
      if (!isWorker()) {
        io.exit(await start(options, io, exposures));
        return;
      }
      const { runWorker } = await import("../workers/worker.ts");
      io.exit(await runWorker(io.env));
    });
}

/** Runs the proxy until a signal or a fatal error; gives the exit code. */
async function start(
  { config: file, watch = false }: StartOptions,
  io: Io,
  exposures: readonly string[],
): Promise<number> {
  const { env } = io;
  const load = () => loadConfig({ ...(file === undefined ? {} : { file }), env });
  const loaded = load();
  const config = usable(loaded, io);
  if (config === undefined) return 1;
  const logger = createLogger({
    level: config.log.level,
    format: resolveFormat(config.log.format, process.stderr.isTTY),
  });
  for (const issue of loaded.issues) {
    if (issue.severity === "warning") logger.warn(issue.message, { at: placeText(issue) });
  }
  for (const exposure of exposures) logger.warn(exposure);
  const state: ProcessState = { running: undefined, stopping: false, exporting: undefined };
  const counts = config.metrics.listen === "off" ? undefined : new RequestCounts();
  let admin: Admin | undefined;
  let proxy: Served;
  const forget = (config: Config, { transforms, identitySecrets }: Served) =>
    io.forget?.(forgettableVariables(config, transforms, identitySecrets));
  try {
    logger.info("sallyport starting", { version: packageVersion(), config: file ?? "embedded default" });
    state.exporting = await auditExport(env, logger);
    const ca = await caOf(config, logger, env);
    admin = await startAdmin({ config, state, env, logger, counts });
    const own = admin.listeners.map(({ ip, port }) => ({ address: ip, port }));
    proxy = await startServing(config, {
      env,
      logger,
      locate: loaded.locate,
      ca,
      ownAddresses: () => own,
      counts,
      beforeWorkers: (primary) => forget(config, primary),
      onHopeless(message) {
        logger.error(message);
        proxy.flushSync();
        process.exit(1);
      },
      ...observers(counts, state.exporting),
    });
  } catch (error) {
    admin?.close();
    await state.exporting?.close(0);
    reportFatal(error, io);
    return 1;
  }
  forget(config, proxy);
  const reloader = new Reloader({
    load,
    async apply({ config, locate }) {
      const reloaded = await proxy.reload(config, locate);
      forget(config, proxy);
      return reloaded;
    },
    logger,
    started: config,
  });
  state.running = { proxy, reloader };
  const unwatch = watch && file !== undefined ? watched(file, reloader, logger) : () => {};
  const shutdownTimeoutMs = () => reloader.config.proxy.shutdownTimeoutMs;
  return untilStopped({ proxy, reloader, admin, state, logger, shutdownTimeoutMs, unwatch });
}

/** The CA of the configuration, if TLS is opened at all; the embedded default makes one in the user's state directory. */
export async function caOf(
  config: Config,
  logger: Logger,
  env: NodeJS.ProcessEnv,
): Promise<CertificateAuthority | undefined> {
  const { mode, caCert, caKey } = config.tls;
  if (mode === "sni-only") {
    if (caCert !== undefined || caKey !== undefined) {
      logger.warn("tls.ca_cert and tls.ca_key are ignored when tls.mode=sni-only");
    }
    return undefined;
  }
  const ca =
    caCert === undefined || caKey === undefined
      ? await ensureDefaultCa(env)
      : await loadCa({ certPath: caCert, keyPath: caKey });
  for (const warning of ca.warnings) logger.warn(warning);
  return ca;
}

/** Says why the process ends; one line for each thing to mend. */
export function reportFatal(error: unknown, io: Io): void {
  if (error instanceof ConfigurationError) {
    for (const issue of error.issues) {
      if (issue.severity === "error") io.stderr(`${formatIssue(issue)}\n`);
    }
  } else io.stderr(`error: ${error instanceof Error ? error.message : String(error)}\n`);
}

function usable({ config, issues }: LoadResult, io: Io): Config | undefined {
  const errors = issues.filter((issue) => issue.severity === "error");
  for (const issue of errors) io.stderr(`${formatIssue(issue)}\n`);
  return errors.length > 0 ? undefined : config;
}

async function auditExport(env: NodeJS.ProcessEnv, logger: Logger): Promise<AuditExport | undefined> {
  const exporting = await openAuditExport({
    env,
    version: packageVersion(),
    onProblem: (message) => logger.error(message),
    onRecovery: (message) => logger.info(message),
  });
  if (exporting !== undefined) logger.info("OTEL audit export enabled", { protocol: exporting.protocol });
  return exporting;
}

/** Who is told of what passes: nobody unless there are metrics or a collector. */
function observers(
  counts: RequestCounts | undefined,
  exporting: AuditExport | undefined,
): Pick<ProxyOptions, "onOutcome" | "onRecord" | "onFinding" | "onConnection" | "onHosts"> {
  return {
    ...(exporting === undefined
      ? {}
      : {
          onRecord: (record) => exporting.write(record),
          onFinding: (record) => exporting.writeFinding(record),
        }),
    ...(counts === undefined
      ? {}
      : {
          onOutcome: (exchange, outcome) => counts.onOutcome(exchange, outcome),
          onConnection: (record) => counts.onConnection(record),
          onHosts: (hosts) => counts.setHosts(hosts),
        }),
  };
}

function watched(file: string, reloader: Reloader, logger: Logger): () => void {
  return watchConfiguration({
    file,
    folders: () => reloader.config.tools?.directories ?? [],
    onChange: () => reloader.reloadIfChanged("watch"),
    onTrouble: (folder, error) => logger.warn("a folder cannot be watched", { folder, error }),
  });
}
