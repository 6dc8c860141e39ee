import type { Command } from "commander";
import { packageVersion } from "../version.ts";
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
