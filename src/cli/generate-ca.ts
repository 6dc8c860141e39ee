import { type Command } from "commander";
import { caAlgorithms, type CaAlgorithm, createCa } from "../tls/ca-create.ts";
import { writeCa } from "../tls/ca-files.ts";
import { CliError, type Io } from "./io.ts";

/** `ca init` as iron-proxy spells it, for scripts that were written for it. */
export function register(program: Command, io: Io): void {
  program
    .command("generate-ca")
    .description("write a new CA with iron-proxy's flags; new scripts use: sallyport ca init")
    .option("--outdir <directory>", "where to write ca.crt and ca.key", ".")
    .option("--name <name>", "common name", "Sallyport CA")
    .option("--expiry-hours <number>", "hours it is valid", "8760")
    .option("--alg <algorithm>", "p256, rsa4096 or ed25519; iron-proxy's default is rsa4096", "p256")
    .addHelpText(
      "after",
      `
Flags may have one dash. Nothing that exists is overwritten.

Example:
  sallyport generate-ca -outdir certs -name "My CA" -expiry-hours 8760`,
    )
    .action(async (options: { outdir: string; name: string; expiryHours: string; alg: string }) => {
      if (!/^-?\d+$/.test(options.expiryHours)) {
        throw new CliError(
          `invalid value "${options.expiryHours}" for flag -expiry-hours: a whole number is needed`,
          2,
        );
      }
      if (!isAlgorithm(options.alg)) {
        throw new CliError(`unsupported algorithm "${options.alg}" (use ${caAlgorithms.join(", ")})`);
      }
      const validityDays = Number(options.expiryHours) / 24;
      const pem = await createCa({ name: options.name, validityDays, algorithm: options.alg });
      const files = await writeCa(options.outdir, pem);
      io.stdout(`wrote ${files.certPath}\nwrote ${files.keyPath}\n`);
    });
}

function isAlgorithm(text: string): text is CaAlgorithm {
  return (caAlgorithms as readonly string[]).includes(text);
}
