import { type Command, InvalidArgumentError } from "commander";
import { listenAdmin } from "../admin/server.ts";
import { type Catalog, openCatalog } from "../api/catalog.ts";
import { DeclarationError } from "../api/declared.ts";
import { serviceRoutes } from "../api/operations.ts";
import { defaultCaPath } from "../api/sandbox.ts";
import {
  namesSigningKey,
  readSigningKeys,
  type SigningKeys,
  signingKeyVariable,
  signingVariables,
} from "../callers/keys.ts";
import type { Config } from "../config/types.ts";
import { createLogger, type Logger, resolveFormat } from "../log/logger.ts";
import { readCaCertificate } from "../tls/ca-certificate.ts";
import { defaultCaFiles } from "../tls/default-ca.ts";
import { bundle } from "../tls/roots.ts";
import { packageVersion } from "../version.ts";
import { CliError, type Io } from "./io.ts";
import { addressFor } from "./sandbox/address.ts";

const keyVariable = "IRON_MANAGEMENT_API_KEY";

interface ApiOptions {
  readonly listen: { readonly host: string | undefined; readonly port: number };
  readonly config?: string;
  readonly toolsDir?: readonly string[];
  readonly harness?: readonly string[];
  readonly proxy?: string;
  readonly ca: string;
  readonly caCert?: string;
  readonly direct?: readonly string[];
}

export function register(program: Command, io: Io, exposures: readonly string[]): void {
  program
    .command("api")
    .description("serve an HTTP API that gives sandboxes their tokens and environments")
    .option("--listen <address>", "HOST:PORT, or :PORT for every address", parseListen, {
      host: "127.0.0.1",
      port: 8000,
    })
    .option("-c, --config <file>", "the proxy's configuration, whose tools, CA and tunnel listener count")
    .option(
      "--tools-dir <directory>",
      "directory of tools, over the configuration's; may be repeated",
      several,
    )
    .option(
      "--harness <names>",
      "agents or credentials to serve: codex,GITHUB_TOKEN; may be repeated",
      several,
    )
    .option("--proxy <url>", "where sandboxes find the proxy; default: the configuration's tunnel listener")
    .option("--ca <path>", "where sandboxes find the bundle of certificates", defaultCaPath)
    .option("--ca-cert <file>", "certificate of the proxy's CA; default: the configuration's")
    .option("--direct <host>", "host that sandboxes reach without the proxy; may be repeated", several)
    .addHelpText(
      "after",
      `
Needs ${keyVariable}, which clients send as Authorization: Bearer, and ${signingKeyVariable}, which the proxy has too. It
reads no credential and needs none. GET /openapi.json describes it. TERM and INT let requests finish, then stop it.

Examples:
  sallyport api --config /etc/sallyport/proxy.yaml --listen :8000 --proxy http://proxy:8080
  curl -H "Authorization: Bearer $${keyVariable}" -H 'Content-Type: application/json' \\
    -d '{"name":"sandbox-41","tools":["search"],"ttl":"2h"}' http://127.0.0.1:8000/v1/sandboxes`,
    )
    .action(async (options: ApiOptions) => {
      io.exit(await serve(options, io, exposures));
    });
}

/** Serves until a signal; gives the exit code. */
async function serve(options: ApiOptions, io: Io, exposures: readonly string[]): Promise<number> {
  const { env } = io;
  const key = env[keyVariable] ?? "";
  if (key === "")
    throw new CliError(`${keyVariable} is not set; clients have to send it, so put a long key there`);
  if (!namesSigningKey(env)) {
    throw new CliError(`${signingKeyVariable} is not set; it has to be the key that the proxy has`);
  }
  readSigningKeys(env); // wrong ones are to be heard of now
  const logger = createLogger({ level: "info", format: resolveFormat("auto", process.stderr.isTTY) });
  for (const exposure of exposures) logger.warn(exposure);
  io.forget?.([keyVariable, ...signingVariables]);
  let catalog: Catalog;
  try {
    catalog = openCatalog(declaredOptions(options, env), (problem) => {
      logger.warn("declarations cannot be read, the earlier ones stay", { error: problem });
    });
  } catch (error) {
    if (!(error instanceof DeclarationError)) throw error;
    for (const line of error.lines) io.stderr(`${line}\n`);
    return 1;
  }
  const { config, remarks, tools } = catalog.current();
  for (const remark of remarks) logger.warn(remark);
  const certificate = caCertificateOf(options, config, env);
  certificate("none"); // one that cannot be read is to be heard of now
  const settings = {
    proxy: addressFor(options, config),
    caPath: options.ca,
    direct: options.direct ?? [],
    extra: new Map<string, string>(),
  };
  const routes = serviceRoutes({
    key,
    version: packageVersion(),
    catalog,
    settings,
    ca: certificate,
    keys: () => readSigningKeys(env) as SigningKeys,
    env,
  });
  const onCrash = (path: string, error: string): void => logger.error("request failed", { path, error });
  const listener = await listenAdmin("--listen", options.listen, routes, onCrash, {
    maxConnections: maxApiConnections,
    onReply(method, path, status, durationMs) {
      const known = routes.some((route) => route.path === path);
      const shown = { method: method.slice(0, 10), path: known ? path : "(unknown)" };
      logger.info("request", { ...shown, status, duration_ms: Math.round(durationMs * 10) / 10 });
    },
  });
  logger.info("api starting", { addr: listener.address, tools: tools.length });
  await stopSignal(logger);
  await listener.drain(drainMs);
  logger.info("api stopped");
  return 0;
}

/** Clients of the control service at a time. */
const maxApiConnections = 512;
/** Requests take milliseconds. */
const drainMs = 5_000;

function declaredOptions({ config, toolsDir = [], harness = [] }: ApiOptions, env: NodeJS.ProcessEnv) {
  return { file: config, directories: toolsDir, harnesses: harness, shaped: false, env };
}

function caCertificateOf({ caCert }: ApiOptions, { tls }: Config, env: NodeJS.ProcessEnv) {
  const path = caCert ?? tls.caCert ?? defaultCaFiles(env).certPath;
  return (roots: "none" | "system"): string => {
    const ca = readCaCertificate(path);
    return roots === "none" ? ca : bundle(ca, { upstreamCa: tls.upstreamCa, env });
  };
}

function stopSignal(logger: Logger): Promise<void> {
  return new Promise((resolve) => {
    const stop = (signal: string) => {
      logger.info("received signal, shutting down", { signal });
      resolve();
    };
    // Handlers keep HUP from ending it, and USR1 from opening node's inspector, which would show the signing key (I14).
    for (const signal of ["SIGHUP", "SIGUSR1", "SIGUSR2"] as const) process.on(signal, () => {});
    process.once("SIGTERM", () => stop("terminated"));
    process.once("SIGINT", () => stop("interrupt"));
  });
}

function parseListen(text: string): ApiOptions["listen"] {
  const [, host = "", port = ""] = /^(\[[0-9a-f:.]+\]|[^:]*):(\d{1,5})$/i.exec(text) ?? [];
  if (port === "" || Number(port) > 65_535) throw new InvalidArgumentError("Write HOST:PORT or :PORT.");
  return { host: host.replace(/^\[(.*)\]$/, "$1") || undefined, port: Number(port) };
}

function several(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}
