// Sallyport as a person has it who runs a page's commands: on the PATH of a shell, with a home of one's own.
import { spawn } from "node:child_process";
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort } from "./free-port.ts";
import type { Warehouse } from "./warehouse.ts";

/** The program that this checkout has. */
export const executable = fileURLToPath(new URL("../../bin/sallyport", import.meta.url));

/** For whoever has a home of its own: the code that tests before have compiled, without which a start takes seconds. */
export const compiledCode = {
  XDG_CACHE_HOME: process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"),
} as const;

/** Pages leave the port of the metrics as it is, the same one for all. */
export const ownMetricsPort = { SALLYPORT_METRICS_LISTEN: "127.0.0.1:0" } as const;

/** Makes `bin` in a folder, with `sallyport` being this checkout; gives its path. */
export function linkSallyport(folder: string): string {
  const bin = join(folder, "bin");
  mkdirSync(bin);
  symlinkSync(executable, join(bin, "sallyport"));
  return bin;
}

/**
 * Runs a page's commands in one shell, in order, with a proxy whose network leads to the warehouse; a `sallyport start`
 * in the background is waited for.
 * @param home a folder for the shell's home and for the roots of the warehouse
 * @param bin holds `sallyport`
 * @returns what they printed, after having checked that none failed
 */
export async function runWithWarehouse(
  commands: readonly string[],
  { home, bin, cwd, warehouse }: { home: string; bin: string; cwd: string; warehouse: Warehouse },
): Promise<string> {
  const roots = join(home, "roots.pem");
  writeFileSync(roots, warehouse.rootPem);
  const port = await freePort();
  const waiting = `for _ in $(seq 200); do (: < /dev/tcp/127.0.0.1/${port}) 2>/dev/null && break; sleep 0.1; done`;
  const script = [
    "set -e",
    "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT",
    ...commands.map((text) => text.replaceAll(/^(.*sallyport start .*&)$/gm, `$1\n${waiting}`)),
  ];
  const child = spawn("bash", ["-c", script.join("\n")], {
    cwd,
    env: {
      PATH: `${bin}:${process.env["PATH"]}`,
      HOME: home,
      ...compiledCode,
      ...ownMetricsPort,
      SALLYPORT_PROXY_TUNNEL_LISTEN: `127.0.0.1:${port}`,
      SALLYPORT_TLS_UPSTREAM_CA: roots,
      SALLYPORT_PROXY_UPSTREAM_PROXY_HTTPS_PROXY: warehouse.network,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const [code] = (await once(child, "close")) as [number | null];
  assert.equal(code, 0, output);
  return output;
}
