import { readFileSync } from "node:fs";

let known: string | undefined;

/** Version of this program, from its package manifest: beside the compiled files, or above the sources. */
export function packageVersion(): string {
  known ??= ["./package.json", "../package.json"].map(versionIn).find((version) => version !== undefined);
  return known ?? "unknown";
}

function versionIn(path: string): string | undefined {
  try {
    const text = readFileSync(new URL(path, import.meta.url), "utf8");
    return (JSON.parse(text) as { version?: string }).version;
  } catch {
    return undefined;
  }
}
