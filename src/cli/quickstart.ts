import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { loadConfig } from "../config/load.ts";
import type { Config } from "../config/types.ts";
import { parseHost } from "../http/authority.ts";
import { createLogger } from "../log/logger.ts";
import { Proxy } from "../proxy/proxy.ts";
import type { CaFiles } from "../tls/ca.ts";
import { ephemeralCa } from "../tls/ca-create.ts";
import { defaultCaFiles, ensureDefaultCa } from "../tls/default-ca.ts";
import { LeafStore } from "../tls/leaf.ts";
import type { Io } from "./io.ts";
import { reportFatal } from "./start.ts";

const host = "demo.localhost";
const placeholder = "sk-demo-placeholder";

export function register(program: Command, io: Io): void {
  program
    .command("quickstart")
    .description("start the proxy beside a small TLS service that wants a credential, to see it work")
    .option(
      "--once",
      "send one request through it with a real client, say what each side saw, and exit 0 or 1",
    )
    .addHelpText("after", "\nExamples:\n  sallyport quickstart\n  sallyport quickstart --once")
    .action(async (options: { once?: boolean }) => {
      io.exit(await quickstart(options.once === true, io));
    });
}

/** The credential of this run, and how it may be shown. */
const credential = `sk-real-${randomBytes(18).toString("base64url")}`;
const fingerprint = (text: string) =>
  `sha256:${createHash("sha256").update(text).digest("hex").slice(0, 16)}`;

async function quickstart(once: boolean, io: Io): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-quickstart-"));
  const seen: string[] = [];
  let service: Server | undefined;
  let proxy: Proxy | undefined;
  try {
    const upstreamCa = join(folder, "service-ca.pem");
    service = await demoService(upstreamCa, (authorization) => seen.push(authorization));
    const { port } = service.address() as AddressInfo;
    // The credential is where an operator's would be: in the environment of the proxy alone.
    const env = { ...ownEnvironment(io.env), SALLYPORT_DEMO_KEY: credential };
    proxy = await startProxy(port, upstreamCa, once, env);
    const url = `https://${host}:${port}/v1/hello`;
    const proxyUrl = `http://${proxy.addresses.tunnel}`;
    const { certPath } = defaultCaFiles(io.env);
    if (once) return await sendOnce({ url, proxyUrl, caPath: certPath }, seen, io);
    io.stdout(welcome(proxyUrl, certPath, url));
    await stopped();
    return 0;
  } catch (error) {
    reportFatal(error, io);
    return 1;
  } finally {
    await proxy?.stop(1000);
    service?.close();
    service?.closeAllConnections();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A TLS service on loopback that answers 401 unless it gets the real credential. */
async function demoService(caPath: string, onRequest: (authorization: string) => void): Promise<Server> {
  const { ca, certPem } = await ephemeralCa();
  writeFileSync(caPath, certPem);
  const leaves = new LeafStore(ca, { cacheSize: 4, expiryHours: 24 });
  const context = await leaves.contextFor(parseHost(host));
  const server = createServer({ SNICallback: (_name, done) => done(null, context) }, (request, response) => {
    const authorization = request.headers.authorization ?? "";
    onRequest(authorization);
    const known = authorization === `Bearer ${credential}`;
    response.writeHead(known ? 200 : 401, { "Content-Type": "application/json" });
    response.end(
      `${JSON.stringify(known ? { message: "hello: the real credential arrived" } : { error: "unknown credential" })}\n`,
    );
  });
  server.listen(0, "127.0.0.1");
  await new Promise((resolve, reject) => server.once("listening", resolve).once("error", reject));
  return server;
}

/** The embedded default, plus one rule and one credential for the demo service. */
async function startProxy(
  servicePort: number,
  upstreamCa: string,
  once: boolean,
  env: NodeJS.ProcessEnv,
): Promise<Proxy> {
  const logger = createLogger({ level: "warn", format: "text" });
  const ca = await ensureDefaultCa(env);
  const wanted = once ? 0 : 8080;
  for (const port of wanted === 0 ? [0] : [wanted, 0]) {
    const text = demoConfig(servicePort, upstreamCa, defaultCaFiles(env), port);
    const { config, issues, locate } = loadConfig({ text, env });
    if (config === undefined) throw new Error(issues[0]?.message ?? "the embedded configuration is wrong");
    const quiet: Config = once ? { ...config, audit: { file: "/dev/null", onFailure: "report" } } : config;
    try {
      return await Proxy.start(quiet, { env, logger, locate, ca });
    } catch (error) {
      if (port === 0) throw error;
    }
  }
  throw new Error("no port could be bound");
}

function demoConfig(servicePort: number, upstreamCa: string, ca: CaFiles, tunnelPort: number): string {
  return `
proxy:
  http_listen: off
  https_listen: off
  tunnel_listen: 127.0.0.1:${tunnelPort}
  upstream_deny_cidrs: []        # the demo service is on this machine
tls:
  ca_cert: ${JSON.stringify(ca.certPath)}
  ca_key: ${JSON.stringify(ca.keyPath)}
  upstream_ca: ${JSON.stringify(upstreamCa)}
transforms:
  - name: allowlist
    config:
      rules:
        - host: "${host}:${servicePort}"
  - name: secrets
    config:
      secrets:
        - source: { type: env, var: SALLYPORT_DEMO_KEY }
          replace:
            proxy_value: ${placeholder}
            match_headers: [Authorization]
          rules:
            - host: "${host}:${servicePort}"
`;
}

/** The environment without what an operator set for a proxy of theirs. */
function ownEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const theirs = /^(SALLYPORT|IRON)_|^(https?|no)_proxy$/i;
  return Object.fromEntries(Object.entries(env).filter(([name]) => !theirs.test(name)));
}

interface Way {
  readonly url: string;
  readonly proxyUrl: string;
  readonly caPath: string;
}

function welcome(proxyUrl: string, caPath: string, url: string): string {
  return `
Sallyport listens on ${proxyUrl} (CONNECT and plain HTTP)
Its CA is            ${caPath}
A service wants a credential at ${url}; it answers 401 without it.

Paste this into another terminal. The command has a placeholder; the service gets the real thing:

  curl -x ${proxyUrl} --cacert ${caPath} -H 'Authorization: Bearer ${placeholder}' ${url}

Each request shows here as one line of audit. Stop with Ctrl-C.
`;
}

/** Sends one request with curl, or with node where there is no curl, and tells what each side saw. */
async function sendOnce(way: Way, seen: readonly string[], io: Io): Promise<number> {
  const direct = await runClient(curlCommand(way), io.env);
  const client = direct === undefined ? "node" : "curl";
  const status = direct ?? (await runClient(nodeCommand(way), io.env));
  const received = seen.at(-1) ?? "(nothing)";
  const shown = received.replace(credential, `${fingerprint(credential)} (the real credential)`);
  const ok = status === "200" && received === `Bearer ${credential}`;
  io.stdout(`Client                 ${client}, through ${way.proxyUrl}
The workload sent      Authorization: Bearer ${placeholder}
The service received   Authorization: ${shown}
The service answered   ${status ?? "(nothing)"}
${ok ? "It works: the workload never had the credential." : "It does not work; see the lines above."}
`);
  return ok ? 0 : 1;
}

interface ClientCommand {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Record<string, string>;
}

function curlCommand({ url, proxyUrl, caPath }: Way): ClientCommand {
  const auth = `Authorization: Bearer ${placeholder}`;
  const args = ["-sS", "-m", "20", "-o", "/dev/null", "-w", "%{http_code}", "--noproxy", ""];
  return { command: "curl", args: [...args, "-x", proxyUrl, "--cacert", caPath, "-H", auth, url], env: {} };
}

function nodeCommand({ url, proxyUrl, caPath }: Way): ClientCommand {
  const script = `fetch(${JSON.stringify(url)}, { headers: { authorization: "Bearer ${placeholder}" } })
    .then((answer) => process.stdout.write(String(answer.status)))`;
  const env = { NODE_USE_ENV_PROXY: "1", HTTPS_PROXY: proxyUrl, NODE_EXTRA_CA_CERTS: caPath, NO_PROXY: "" };
  return { command: process.execPath, args: ["-e", script], env };
}

/** What the client printed; nothing when there is no such program. */
function runClient(
  { command, args, env }: ClientCommand,
  base: NodeJS.ProcessEnv,
): Promise<string | undefined> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { env: { ...base, ...env }, stdio: ["ignore", "pipe", "inherit"] });
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (part: string) => {
      text += part;
    });
    child.once("error", () => resolve(undefined));
    child.once("close", () => resolve(text));
  });
}

function stopped(): Promise<void> {
  return new Promise((resolve) => {
    process.once("SIGINT", () => resolve());
    process.once("SIGTERM", () => resolve());
  });
}
