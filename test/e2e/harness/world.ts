// One proxy with everything around it: upstreams, names, certificates, clients, and the canary over all of it.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { makeCa, makeLeaf, type TestCa } from "../../helpers/pki.ts";
import { Canary } from "./canary.ts";
import {
  type Client,
  type ClientContext,
  openAbsolute,
  openRaw,
  openTunnel,
  startTls,
  type TlsChoices,
  type Way,
} from "./client.ts";
import { type DnsResponder, startDns } from "./dns.ts";
import { type Address, type Sallyport, startSallyport } from "./sallyport.ts";
import { startUpstream, type Upstream } from "./upstream.ts";

/** Names that the certificate of {@link World.secure} is for, and that resolve to it. */
export const secureHosts = ["api.e2e.test", "other.e2e.test", "deep.api.e2e.test"] as const;

/** What the workload holds in place of the credential. */
export const placeholder = "placeholder-of-the-api-key";

export interface World {
  readonly folder: string;
  readonly canary: Canary;
  /** The credential, which only the proxy and the upstreams may ever see. */
  readonly credential: string;
  readonly dns: DnsResponder;
  /** The CA of upstreams, which the proxy trusts. */
  readonly upstreamCa: TestCa;
  /** The CA of the proxy, which workloads trust. */
  readonly proxyCa: TestCa;
  /** Path of the proxy CA's certificate, for clients that want a file. */
  readonly proxyCaFile: string;
  /** TLS, as {@link secureHosts}. */
  readonly secure: Upstream;
  /** Plain HTTP, as plain.localhost. */
  readonly plain: Upstream;
  readonly proxy: Sallyport;
  /** `api.e2e.test:port` */
  readonly secureAuthority: string;
  /** `plain.localhost:port` */
  readonly plainAuthority: string;
  readonly context: ClientContext;
  /** A client ready to send requests; by `absolute` to {@link plain}, otherwise to {@link secure}. */
  open(way: Way): Promise<Client>;
  /** The upstream that {@link open} leads to. */
  upstream(way: Way): Upstream;
  /** A plain connection to a port of the proxy. */
  raw(port?: "tunnel" | "http" | "https"): Promise<Client>;
  /** A tunnel, nothing inside it yet. */
  tunnel(authority: string): Promise<Client>;
  /** A tunnel with TLS inside. */
  connect(authority?: string, choices?: TlsChoices): Promise<Client>;
  /** TLS straight to the HTTPS port. */
  redirected(authority?: string, choices?: TlsChoices): Promise<Client>;
  /** Requests in absolute form for an authority. */
  absolute(authority?: string): Promise<Client>;
  /** Starts another proxy with the same surroundings; the caller stops it. */
  another(name: string, options: WorldOptions): Promise<Sallyport>;
  /** Stops everything; throws when a credential got out or the audit is not as expected. */
  close(): Promise<void>;
}

/** Facts a configuration may be built from. */
export interface Facts {
  readonly securePort: number;
  readonly plainPort: number;
  readonly folder: string;
}

export interface WorldOptions {
  /** Sections or keys that differ from {@link standardConfig}; two levels deep, a key set to `undefined` is left out. */
  readonly config?: (facts: Facts) => Record<string, unknown>;
  /** Variables of the proxy besides `E2E_KEY`, which holds the credential. */
  readonly env?: Record<string, string>;
  /** A file that is there already, in place of one made of {@link config}. */
  readonly file?: string;
  /** Arguments of `start` besides `--config`. */
  readonly args?: readonly string[];
  /** A program and its arguments that become the proxy, whose command follows them. */
  readonly under?: readonly string[];
  /** False where the upstreams are to forget their requests. */
  readonly remember?: boolean;
  /** The TLS upstream may go on talking after its client has ended. */
  readonly halfOpen?: boolean;
}

/** Opens a world that is closed, and checked, after the last test of the file. */
export async function openWorld(options: WorldOptions = {}): Promise<World> {
  const world = await createWorld(options);
  after(() => world.close());
  return world;
}

/** A world outside of a test file. */
export async function createWorld(options: WorldOptions = {}): Promise<World> {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-e2e-"));
  const canary = new Canary();
  const credential = canary.secret("key");
  const upstreamCa = makeCa();
  const proxyCa = makeCa();
  const proxyCaFile = join(folder, "proxy-ca.crt");
  writeFileSync(proxyCaFile, proxyCa.certPem);
  writeFileSync(join(folder, "proxy-ca.key"), proxyCa.keyPem, { mode: 0o600 });
  writeFileSync(join(folder, "upstream-ca.crt"), upstreamCa.certPem);
  const leaf = makeLeaf(upstreamCa, [...secureHosts, "127.0.0.1"]);
  const dns = await startDns((name) => (name.endsWith(".e2e.test") ? ["127.0.0.1"] : "nxdomain"));
  const { remember = true, halfOpen = false } = options;
  const tls = { cert: leaf.certPem, key: leaf.keyPem, allowHalfOpen: halfOpen };
  const secure = await startUpstream({ tls, remember });
  const plain = await startUpstream({ remember });
  const facts: Facts = { securePort: secure.port, plainPort: plain.port, folder };
  const others: Sallyport[] = [];
  const start = (name: string, { config, env = {}, file, args, under }: WorldOptions) =>
    startSallyport({
      ...(file === undefined ? {} : { file }),
      ...(args === undefined ? {} : { args }),
      ...(under === undefined ? {} : { under }),
      folder: join(folder, name),
      config: merge(standardConfig(facts, name, dns.address), config?.(facts) ?? {}),
      env: { E2E_KEY: credential, ...env },
      canary,
      remember,
    });
  const proxy = await start("proxy", options);
  const context: ClientContext = { canary, ca: proxyCa.certPem, clients: new Set() };
  const secureAuthority = `api.e2e.test:${secure.port}`;
  const plainAuthority = `plain.localhost:${plain.port}`;
  const { tunnel, http, https } = proxy.addresses;

  const world: World = {
    folder,
    canary,
    credential,
    dns,
    upstreamCa,
    proxyCa,
    proxyCaFile,
    secure,
    plain,
    proxy,
    secureAuthority,
    plainAuthority,
    context,
    open(way) {
      if (way === "absolute") return world.absolute();
      return way === "connect" ? world.connect() : world.redirected();
    },
    upstream: (way) => (way === "absolute" ? plain : secure),
    raw: (port = "tunnel") => openRaw(context, proxy.addresses[port] as Address),
    tunnel: (authority) => openTunnel(context, tunnel as Address, authority),
    async connect(authority = secureAuthority, choices) {
      return startTls(context, await world.tunnel(authority), choices);
    },
    async redirected(authority = secureAuthority, choices) {
      return startTls(context, await openRaw(context, https as Address, authority), choices);
    },
    absolute: (authority = plainAuthority) => openAbsolute(context, http as Address, authority),
    async another(name, more) {
      const other = await start(name, more);
      others.push(other);
      return other;
    },
    async close() {
      for (const client of context.clients) client.close();
      try {
        await proxy.stop();
        canary.check();
      } finally {
        // Those of tests that failed; a process left behind would keep this one alive.
        await Promise.all([proxy, ...others].map((one) => one.kill()));
        await Promise.all([secure.close(), plain.close(), dns.close()]);
        rmSync(folder, { recursive: true, force: true });
      }
    },
  };
  return world;
}

/** Everything of `*.e2e.test` may be reached; the credential is for the two upstreams and nothing else. */
export function standardConfig(
  { securePort, plainPort, folder }: Facts,
  name: string,
  dns: string,
): Record<string, unknown> {
  return {
    dns: { enabled: false, upstream_resolver: dns },
    proxy: {
      http_listen: "127.0.0.1:0",
      https_listen: "127.0.0.1:0",
      tunnel_listen: "127.0.0.1:0",
      upstream_deny_cidrs: ["127.0.0.66/32"],
      shutdown_timeout: "2s",
    },
    tls: {
      ca_cert: join(folder, "proxy-ca.crt"),
      ca_key: join(folder, "proxy-ca.key"),
      upstream_ca: join(folder, "upstream-ca.crt"),
    },
    metrics: { listen: "off" },
    audit: { file: join(folder, `${name}.audit.log`) },
    transforms: [
      allowlist(["*.e2e.test:*", "plain.localhost"]),
      secrets([swap("E2E_KEY", placeholder, [`api.e2e.test:${securePort}`, `plain.localhost:${plainPort}`])]),
    ],
  };
}

/** An `allowlist` of hosts and rules. */
export function allowlist(rules: readonly (string | object)[]): object {
  const all = rules.map((rule) => (typeof rule === "string" ? { host: rule } : rule));
  return { name: "allowlist", config: { rules: all } };
}

export function secrets(entries: readonly object[]): object {
  return { name: "secrets", config: { secrets: entries } };
}

/** An entry that swaps a placeholder in Authorization and X-Api-Key for a variable of the proxy. */
export function swap(
  variable: string,
  proxyValue: string,
  hosts: readonly string[],
  more: object = {},
): object {
  return {
    source: { type: "env", var: variable },
    replace: { proxy_value: proxyValue, match_headers: ["Authorization", "X-Api-Key"], ...more },
    rules: hosts.map((host) => ({ host })),
  };
}

/** An `oauth_token` that mints at an endpoint, as the client that two variables of the proxy name. */
export function clientCredentials(
  endpoint: string,
  [id, secret]: readonly [id: string, secret: string],
  rules: readonly object[],
  more: object = {},
): object {
  const entry = {
    grant: "client_credentials",
    token_endpoint: endpoint,
    client_id: { type: "env", var: id },
    client_secret: { type: "env", var: secret },
    rules,
    ...more,
  };
  return { name: "oauth_token", config: { tokens: [entry] } };
}

function merge(base: Record<string, unknown>, over: Record<string, unknown>): Record<string, unknown> {
  const merged = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const below = merged[key];
    const both = isSection(below) && isSection(value);
    merged[key] = both ? { ...below, ...value } : value;
  }
  return merged;
}

function isSection(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
