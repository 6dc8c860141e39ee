// client ── TLS ──▶ contestant (nginx or Sallyport: puts one credential in) ── TLS ──▶ origin (nginx)
import { mkdirSync, writeFileSync } from "node:fs";
import { lookup } from "node:dns/promises";
import { connect } from "node:net";
import { join } from "node:path";
import type { Keys } from "./keys.ts";
import { freePort, type Running, startProcess } from "./machine.ts";

/** What the client sends in place of the credential. */
export const placeholder = "bench-placeholder-7c41d0";
/** Made up; the origin refuses every request that does not carry it, but for those that only have to be signed. */
const credential = "bench-credential-0f3b9a2e51";

export const downloadBytes = 10 * 1024 * 1024;

export interface Contestant {
  readonly name: "nginx" | "sallyport";
  readonly pid: number;
  /** Port for TLS with the name `localhost`. */
  readonly port: number;
  readonly stop: () => Promise<void>;
}

export interface Origin {
  readonly port: number;
  readonly stop: () => Promise<void>;
}

/** What a Sallyport does with requests, besides the policy. */
export interface Pipeline {
  /** Names its folder. */
  readonly name: string;
  /** Entries of `transforms`, below the policy. */
  readonly transforms: readonly object[];
  readonly env?: Readonly<Record<string, string>>;
  /** Keys of `proxy` besides the ports. */
  readonly proxy?: Readonly<Record<string, unknown>>;
  /** Ports of `localhost` that may be reached. */
  readonly ports: readonly number[];
}

/**
 * The upstream: a small JSON answer, a file of 10 MiB, an upload that is read to its end before the answer, an answer for
 * whoever sends another credential than the placeholder, and a token endpoint.
 */
export async function startOrigin(nginx: string, directory: string, keys: Keys): Promise<Origin> {
  const [port, sink] = [await freePort(), await freePort()];
  const home = nginxHome(directory, "origin");
  writeFileSync(join(home, "big"), Buffer.alloc(downloadBytes, "x"));
  const addresses = await lookup("localhost", { all: true });
  const listens = addresses.map(
    ({ address, family }) => `listen ${family === 6 ? `[${address}]` : address}:${port} ssl;`,
  );
  const needsCredential = `if ($http_authorization != "Bearer ${credential}") { return 401; }`;
  const json =
    '{"id":"item_8d1c","object":"list","data":[{"name":"first"},{"name":"second"}],"has_more":false}';
  const token = `{"access_token":"${credential}","token_type":"Bearer","expires_in":36000,"id_token":"${idToken()}"}`;
  const http = `
    server { listen 127.0.0.1:${sink}; access_log off; location / { return 200 "stored"; } }
    server {
      ${listens.join(" ")}
      ${serverTls(keys)}
      access_log off;
      keepalive_requests 1000000000;
      default_type application/json;
      location = /small { ${needsCredential} return 200 '${json}'; }
      location = /signed {
        if ($http_authorization ~* "^$|placeholder") { return 401; }
        return 200 '${json}';
      }
      location = /token { return 200 '${token}'; }
      location = /big { ${needsCredential} root ${home}; }
      location = /upload {
        ${needsCredential}
        client_max_body_size 0;
        client_body_buffer_size 12m;
        proxy_pass http://127.0.0.1:${sink};
        proxy_pass_request_body off;
        proxy_set_header Content-Length "";
      }
    }`;
  const running = await startNginx(nginx, home, port, http);
  return { port, stop: running.stop };
}

/** nginx as a reverse proxy that does what Sallyport does: verified TLS upstream from a pool, one header set, a log. */
export function startNginxProxy(
  nginx: string,
  directory: string,
  keys: Keys,
  origin: Origin,
): Promise<Contestant> {
  return startNginxContestant(
    nginx,
    directory,
    (port, home) => `
    log_format audit escape=json '{"time":"$time_iso8601","host":"$host","method":"$request_method","path":"$uri",'
      '"remote":"$remote_addr","status":$status,"seconds":$request_time,"upstream":"$upstream_addr"}';
    upstream origin { server 127.0.0.1:${origin.port}; keepalive 300; keepalive_requests 1000000000; }
    server {
      listen 127.0.0.1:${port} ssl http2;
      ${serverTls(keys)}
      keepalive_requests 1000000000;
      access_log ${home}/access.log audit buffer=16k flush=1s;
      location / {
        proxy_pass https://origin;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host localhost:${origin.port};
        proxy_set_header Authorization "Bearer ${credential}";
        proxy_ssl_verify on;
        proxy_ssl_trusted_certificate ${keys.caCert};
        proxy_ssl_server_name on;
        proxy_ssl_name localhost;
        proxy_ssl_protocols TLSv1.2 TLSv1.3;
        proxy_request_buffering off;
        proxy_max_temp_file_size 0;
        client_max_body_size 0;
      }
    }`,
  );
}

/** nginx as a reverse proxy; `http` gives what is in its block of that name, for a port and a folder for logs. */
export async function startNginxContestant(
  nginx: string,
  directory: string,
  http: (port: number, home: string) => string,
): Promise<Contestant> {
  const port = await freePort();
  const home = nginxHome(directory, "proxy");
  const running = await startNginx(nginx, home, port, http(port, home));
  return { name: "nginx", pid: running.pid, port, stop: running.stop };
}

/** An upstream that is a program beside this file, which is given its port and the files of its keys. */
export async function startProgram(program: string, keys: Keys): Promise<Origin> {
  const port = await freePort();
  const path = new URL(program, import.meta.url).pathname;
  const ready = () => accepts(port);
  const args = [path, String(port), keys.cert, keys.key];
  const { stop } = await startProcess(process.execPath, args, { ready });
  return { port, stop };
}

/** An ID token with nothing but a time of expiry, as far as its holder can tell. */
function idToken(): string {
  const part = (content: object): string => Buffer.from(JSON.stringify(content)).toString("base64url");
  return `${part({ alg: "none" })}.${part({ exp: Math.floor(Date.now() / 1000) + 36_000 })}.c2ln`;
}

/** The transform that the other benchmarks measure: one placeholder swapped in one header. */
export function swap(...ports: readonly number[]): Pipeline {
  return scrubbed("on", "sallyport", ...ports);
}

/** The same, with answers searched for the credential or not. */
export function scrubbed(scrub: "on" | "off", name: string, ...ports: readonly number[]): Pipeline {
  const config = {
    scrub,
    source: { type: "env", var: "BENCH_CREDENTIAL" },
    replace: { proxy_value: placeholder, match_headers: ["Authorization"] },
    rules: ports.map((port) => ({ host: `localhost:${port}` })),
  };
  return { name, ports, transforms: [{ name: "secrets", config: { secrets: [config] } }] };
}

/** Sallyport with its listener for redirected TLS, a policy, a placeholder to swap and an audit file. */
export async function startSallyport(
  directory: string,
  keys: Keys,
  nodeFlags: readonly string[],
  pipeline: Pipeline,
): Promise<Contestant> {
  const home = join(directory, pipeline.name);
  mkdirSync(home);
  const file = join(home, "proxy.yaml");
  const methods = ["GET", "PUT", "POST"];
  const rules = pipeline.ports.map((port) => ({ host: `localhost:${port}`, methods }));
  writeFileSync(
    file,
    // JSON is YAML, too.
    JSON.stringify({
      dns: { enabled: false },
      proxy: { http_listen: "off", https_listen: "127.0.0.1:0", upstream_deny_cidrs: [], ...pipeline.proxy },
      tls: { ca_cert: keys.caCert, ca_key: keys.caKey, upstream_ca: keys.caCert },
      metrics: { listen: "off" },
      log: { format: "json" },
      audit: { file: join(home, "audit.log") },
      transforms: [{ name: "allowlist", config: { rules } }, ...pipeline.transforms],
    }),
  );
  const address = /"msg":"https proxy starting","addr":"[^"]*:(\d+)"/;
  const main = new URL("../src/main.ts", import.meta.url).pathname;
  const running = await startProcess(process.execPath, [...nodeFlags, main, "start", "--config", file], {
    env: { BENCH_CREDENTIAL: credential, ...pipeline.env },
    ready: (errors) => address.test(errors),
  });
  const port = Number(address.exec(running.errors())?.[1]);
  return { name: "sallyport", pid: running.pid, port, stop: running.stop };
}

function nginxHome(directory: string, name: string): string {
  const home = join(directory, name);
  mkdirSync(home);
  return home;
}

function startNginx(nginx: string, home: string, port: number, http: string): Promise<Running> {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  const file = join(home, "nginx.conf");
  writeFileSync(
    file,
    `daemon off; worker_processes 1; pid ${home}/pid; error_log stderr error;
    ${process.getuid?.() === 0 ? "user root;" : ""}
    events { worker_connections 4096; }
    http {
      ${temporary.map((kind) => `${kind}_temp_path ${home}/${kind};`).join(" ")}
      sendfile on; tcp_nodelay on; server_tokens off;
      ${http}
    }`,
  );
  return startProcess(nginx, ["-p", home, "-c", file, "-e", "stderr"], { ready: () => accepts(port) });
}

export function serverTls(keys: Keys): string {
  return `ssl_certificate ${keys.cert}; ssl_certificate_key ${keys.key};
      ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:tls:10m;`;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
