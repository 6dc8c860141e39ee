// What the tests of the workflow share: tools in a directory, credentials in a Connect server, a proxy and one canary.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { declareTool } from "../api/support.ts";
import { newKey } from "../callers/support.ts";
import { fakeConnect, type FakeItem } from "../fakes/connect.ts";
import { run as runCommand } from "../helpers/cli.ts";
import { makeCa, makeLeaf } from "../helpers/pki.ts";
import { startNetwork, warehouseHost } from "../helpers/warehouse.ts";
import { Canary } from "./harness/canary.ts";
import { type Client, type ClientContext, openTunnel, startTls } from "./harness/client.ts";
import { type Address, type Sallyport, startSallyport } from "./harness/sallyport.ts";
import { startUpstream } from "./harness/upstream.ts";

export const otherHost = "elsewhere.example.com";
export const manyHost = "many.example.com";
const harnessHosts = ["api.openai.com", "api.anthropic.com", "ampcode.com"];
const allHosts = [warehouseHost, otherHost, manyHost, ...harnessHosts];

export const folder = mkdtempSync(join(tmpdir(), "sallyport-workflow-"));
export const canary = new Canary();
export const at = (name: string) => join(folder, name);

/** Credentials by name of their item. */
export const credentials: Record<string, string> = {};
export function stored(title: string): FakeItem {
  const value = canary.secret(title.toLowerCase().replaceAll("_", "-"));
  credentials[title] = value;
  const id = title.toLowerCase().replaceAll("_", "").padEnd(26, "0").slice(0, 26);
  return {
    id,
    title,
    fields: [
      { id: "username", label: "username", value: "nobody" },
      { id: "credential", label: "credential", value },
    ],
  };
}

export const names = [
  "WAREHOUSE_API_KEY",
  "KEY",
  "KEY_2",
  "IN_HEADER",
  "IN_QUERY",
  "IN_PATH",
  "QUERY_ONLY",
  "BY_PATTERN",
];
export const harnessNames = ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "AMP_API_KEY"];
export const vault = {
  id: "vaultvaultvaultvaultvault1",
  name: "agents",
  items: [...names, ...harnessNames].map(stored),
};
export const connect = await fakeConnect([vault], canary.secret("connect-token"));

export const [signingKey, managementKey] = [newKey(), newKey()];
canary.watch("the signing key", signingKey);
canary.watch("the management key", managementKey);

const upstreamCa = makeCa();
const leaf = makeLeaf(upstreamCa, allHosts);
export const upstream = await startUpstream({ tls: { cert: leaf.certPem, key: leaf.keyPem } });
const network = await startNetwork(upstream.port);
const proxyCa = makeCa({ notAfter: new Date(Date.now() + 365 * 86_400_000) });
writeFileSync(at("ca.crt"), proxyCa.certPem);
writeFileSync(at("ca.key"), proxyCa.keyPem, { mode: 0o600 });
writeFileSync(at("upstream.crt"), upstreamCa.certPem);

// The line of the page, as it stands there.
declareTool(
  at("tools"),
  "warehouse",
  `{type = "http", name = "WAREHOUSE_API_KEY", match_headers = ["Authorization"], hosts = ["${warehouseHost}"]}`,
);
const hosts = `hosts = ["${manyHost}"]`;
declareTool(
  at("tools"),
  "many",
  [
    `{ name = "KEY", ${hosts}, match_headers = ["X-Keys"] }`,
    `{ name = "KEY_2", ${hosts}, match_headers = ["x-keys"] }`,
    `{ name = "BY_PATTERN", ${hosts}, match_headers = ["/^x-app-.*$/"] }`,
    `{ name = "IN_HEADER", ${hosts}, mode = "inject", inject_header = "X-Token", inject_formatter = "Token {{ .Value }}" }`,
    `{ name = "IN_QUERY", ${hosts}, mode = "inject", inject_query_param = "apikey" }`,
    `{ name = "IN_PATH", ${hosts}, match_path = true }`,
    `{ name = "QUERY_ONLY", ${hosts}, match_query = true }`,
  ].join(", "),
);
declareTool(
  at("tools"),
  "forgotten",
  `{ name = "FORGOTTEN", hosts = ["${warehouseHost}"], match_headers = ["X-Other-Key"] }`,
);

export const config = {
  dns: { enabled: false },
  proxy: {
    http_listen: "off",
    https_listen: "off",
    tunnel_listen: "127.0.0.1:0",
    upstream_proxy: { https_proxy: network.url },
    shutdown_timeout: "2s",
  },
  tls: { ca_cert: at("ca.crt"), ca_key: at("ca.key"), upstream_ca: at("upstream.crt") },
  metrics: { listen: "127.0.0.1:0" },
  management: { listen: "127.0.0.1:0" },
  audit: { file: at("audit.log") },
  tools: { directories: [at("tools")], harnesses: ["codex", "claude-code", "amp"] },
  transforms: [{ name: "allowlist", config: { domains: allHosts } }],
};
export const env = {
  FIREWALL_MANAGER_SECRET_SOURCE: "onepassword-connect",
  FIREWALL_MANAGER_SECRET_TTL: "1s",
  OP_VAULT: "agents",
  OP_CONNECT_HOST: `${connect.url}/`,
  OP_CONNECT_TOKEN: connect.token,
  SANDBOX_SIGNING_KEY: signingKey,
  IRON_MANAGEMENT_API_KEY: managementKey,
};
export const proxy = await startSallyport({ folder: at("proxy"), config, env, canary });
export const others: Sallyport[] = [];
const context: ClientContext = { canary, ca: proxyCa.certPem, clients: new Set() };

after(async () => {
  for (const client of context.clients) client.close();
  try {
    await proxy.stop();
    canary.check();
  } finally {
    await Promise.all([proxy, ...others].map((one) => one.kill()));
    await Promise.all([upstream.close(), connect.close()]);
    network.close();
    rmSync(folder, { recursive: true, force: true });
  }
});

export async function open(host: string): Promise<Client> {
  return startTls(context, await openTunnel(context, proxy.addresses.tunnel as Address, `${host}:443`));
}

/** One command of the product, with the proxy's environment; what it says is searched. */
export async function sallyport(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runCommand(args, { env });
  canary.search(`sallyport ${args.slice(0, 2).join(" ")}`, Buffer.from(stdout + stderr));
  canary.search("a command line", Buffer.from(args.join(" ")));
  assert.equal(code, args[0] === "verify" ? 1 : 0, stdout + stderr);
  return stdout;
}
