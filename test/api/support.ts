// A folder of tools, and the control service over it in this process.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { listenAdmin } from "../../src/admin/server.ts";
import { openCatalog } from "../../src/api/catalog.ts";
import { serviceRoutes } from "../../src/api/operations.ts";
import { proxyAddress } from "../../src/api/proxy-address.ts";
import { readSigningKeys, type SigningKeys } from "../../src/callers/keys.ts";
import { newKey } from "../callers/support.ts";

export const managementKey = newKey();
export const signingKey = newKey();

/** Declares tools: the lines of `secrets` by name of the tool. */
export function toolsFolder(tools: Readonly<Record<string, string>>): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), "sallyport-tools-"));
  for (const [name, secrets] of Object.entries(tools)) declareTool(path, name, secrets);
  return { path, remove: () => rmSync(path, { recursive: true }) };
}

export function declareTool(folder: string, name: string, secrets: string): void {
  mkdirSync(join(folder, name), { recursive: true });
  const text = `[project]\ndescription = "the tool ${name}"\n[tool.centaur]\nsecrets = [${secrets}]\n`;
  writeFileSync(join(folder, name, "pyproject.toml"), text);
}

export interface Service {
  readonly url: string;
  readonly log: readonly string[];
  /** Moves the clock that declarations are read again by, in milliseconds. */
  advance(ms: number): void;
  close(): void;
}

/** Starts the service for a folder of tools and the harness of codex. */
export async function startService(folder: string, env: NodeJS.ProcessEnv = {}): Promise<Service> {
  let clock = 0;
  const log: string[] = [];
  const own = { SANDBOX_SIGNING_KEY: signingKey, ...env };
  const catalog = openCatalog(
    { file: undefined, directories: [folder], harnesses: ["codex"], shaped: false, env: own },
    (problem) => log.push(problem),
    () => clock,
  );
  const routes = serviceRoutes({
    key: managementKey,
    version: "1.2.3",
    catalog,
    settings: {
      proxy: proxyAddress("http://proxy:8080"),
      caPath: "/ca.pem",
      direct: ["api"],
      extra: new Map(),
    },
    ca: (roots) => `certificate${roots === "system" ? " and roots" : ""}`,
    keys: () => readSigningKeys(own) as SigningKeys,
    env: own,
  });
  const listener = await listenAdmin("test", { host: "127.0.0.1", port: 0 }, routes, (path, error) => {
    log.push(`${path}: ${error}`);
  });
  return {
    url: `http://${listener.address}`,
    log,
    advance: (ms) => {
      clock += ms;
    },
    close: () => listener.close(),
  };
}
