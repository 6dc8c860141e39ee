import { existsSync, readFileSync } from "node:fs";
import type { Command } from "commander";
import type { Io } from "./io.ts";

export function register(program: Command, io: Io): void {
  program
    .command("version")
    .description("print the version")
    .addHelpText("after", "\nExample:\n  sallyport version")
    .action(() => {
      io.stdout(`${packageVersion()}\n`);
    });
}

/** Version of this package. Its manifest is one level up in what is published, and two in a checkout. */
export function packageVersion(): string {
  const manifest = ["../package.json", "../../package.json"]
    .map((path) => new URL(path, import.meta.url))
    .find((url) => existsSync(url));
  if (manifest === undefined) return "unknown";
  return (JSON.parse(readFileSync(manifest, "utf8")) as { version: string }).version;
}
