import type { Command } from "commander";
import { formatIssue, placeText } from "../config/issues.ts";
import { type LoadResult, loadConfig } from "../config/load.ts";
import type { Config } from "../config/types.ts";
import { createLogger, type Logger, resolveFormat } from "../log/logger.ts";
import { ConfigurationError, Proxy } from "../proxy/proxy.ts";
import { type CertificateAuthority, loadCa } from "../tls/ca.ts";
import { ensureDefaultCa } from "../tls/default-ca.ts";
import { packageVersion } from "../version.ts";
import type { Io } from "./io.ts";

export function register(program: Command, io: Io): void {
  program
    .command("start")
    .description("run the proxy until it is stopped by a signal")
    .option(
      "-c, --config <file>",
      "configuration file; without one the embedded default: tunnel on 127.0.0.1:8080, deny everything",
    )
    .addHelpText(
      "after",
      `
Signals: TERM and INT drain and stop (a second one stops at once), HUP reads the configuration again and opens
the audit file anew, USR1 and USR2 only open the audit file anew.

Examples:
  sallyport start --config /etc/sallyport/proxy.yaml
  SALLYPORT_PROXY_TUNNEL_LISTEN=127.0.0.1:0 sallyport start --config proxy.yaml`,
    )
    .action(async (options: { config?: string }) => {
      io.exit(await start(options.config, io));
    });
}

/** Runs the proxy until a signal or a fatal error; gives the exit code. */
async function start(file: string | undefined, io: Io): Promise<number> {
  const loaded = loadConfig({ ...(file === undefined ? {} : { file }), env: io.env });
  const config = usable(loaded, io);
  if (config === undefined) return 1;
  const logger = createLogger({
    level: config.log.level,
    format: resolveFormat(config.log.format, process.stderr.isTTY),
  });
  for (const issue of loaded.issues) {
    if (issue.severity === "warning") logger.warn(issue.message, { at: placeText(issue) });
  }
  let proxy: Proxy;
  try {
    logger.info("sallyport starting", { version: packageVersion(), config: file ?? "embedded default" });
    const ca = await caOf(config, logger, io.env);
    proxy = await Proxy.start(config, { env: io.env, logger, locate: loaded.locate, ca });
  } catch (error) {
    reportFatal(error, io);
    return 1;
  }
  return untilStopped(proxy, config, file, logger, io);
}

/** The CA of the configuration; the embedded default makes one in the user's state directory. */
export async function caOf(
  config: Config,
  logger: Logger,
  env: NodeJS.ProcessEnv,
): Promise<CertificateAuthority> {
  const { caCert, caKey } = config.tls;
  const ca =
    caCert === undefined || caKey === undefined
      ? await ensureDefaultCa(env)
      : await loadCa({ certPath: caCert, keyPath: caKey });
  for (const warning of ca.warnings) logger.warn(warning);
  return ca;
}

function usable({ config, issues }: LoadResult, io: Io): Config | undefined {
  const errors = issues.filter((issue) => issue.severity === "error");
  for (const issue of errors) io.stderr(`${formatIssue(issue)}\n`);
  return errors.length > 0 ? undefined : config;
}

/** Says why the process ends; one line for each thing to mend. */
export function reportFatal(error: unknown, io: Io): void {
  if (error instanceof ConfigurationError) {
    for (const issue of error.issues) {
      if (issue.severity === "error") io.stderr(`${formatIssue(issue)}\n`);
    }
  } else io.stderr(`error: ${error instanceof Error ? error.message : String(error)}\n`);
}

function untilStopped(
  proxy: Proxy,
  config: Config,
  file: string | undefined,
  logger: Logger,
  io: Io,
): Promise<number> {
  return new Promise((resolve) => {
    let stopping = false;
    const finish = async (signal: string, code: number) => {
      if (stopping) {
        logger.warn("stopped at once by a second signal");
        proxy.flushSync();
        process.exit(1);
      }
      stopping = true;
      logger.info("received signal, shutting down", { signal });
      await proxy.stop(config.proxy.shutdownTimeoutMs);
      logger.info("sallyport stopped");
      resolve(code);
    };
    const crash = (error: unknown) => {
      // Name and place, not the text: a message may quote the data it choked on (I14).
      const { name, stack } = error instanceof Error ? error : new Error("unknown");
      const at = stack?.split("\n").find((line) => line.trimStart().startsWith("at ")) ?? "";
      logger.error("fatal error", { error: `${name} ${at.trim()}` });
      proxy.flushSync();
      // Nothing is served in a state that nobody knows.
      process.exit(1);
    };
    process.on("uncaughtException", crash);
    process.on("unhandledRejection", crash);
    const stop = (signal: string) => void finish(signal, 0);
    process.on("SIGTERM", () => stop("terminated"));
    process.on("SIGINT", () => stop("interrupt"));
    process.on("SIGHUP", () => {
      proxy.reopenAudit();
      reload(proxy, file, logger, io);
    });
    // A handler for USR1 also keeps node from opening its inspector, which would show every credential (I14).
    process.on("SIGUSR1", () => proxy.reopenAudit());
    process.on("SIGUSR2", () => proxy.reopenAudit());
  });
}

/** Reads the configuration again; a bad one changes nothing. */
function reload(proxy: Proxy, file: string | undefined, logger: Logger, io: Io): void {
  const loaded = loadConfig({ ...(file === undefined ? {} : { file }), env: io.env });
  const errors = loaded.issues.filter((issue) => issue.severity === "error");
  try {
    if (loaded.config === undefined || errors.length > 0) throw new ConfigurationError(errors);
    proxy.reload(loaded.config, loaded.locate);
  } catch (error) {
    const issues = error instanceof ConfigurationError ? error.issues : [];
    const text = issues.length > 0 ? issues.map(formatIssue).join("; ") : String(error);
    logger.warn("reload rejected, the configuration in force stays", { error: text });
  }
}
