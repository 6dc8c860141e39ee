import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import { caAlgorithms, type CaAlgorithm, createCa } from "../tls/ca-create.ts";
import { caFilesIn, makeDirectory, writeCa } from "../tls/ca-files.ts";
import { modeText } from "../process/file-access.ts";
import { CaError, type CaFiles, loadCa, pemBlocks } from "../tls/ca.ts";
import { defaultCaFiles, defaultValidityDays } from "../tls/default-ca.ts";
import { clusterAround, serviceAccountFolder } from "./ca/cluster.ts";
import { type CaSecretNames, ensureCaSecrets } from "./ca/secrets.ts";
import { CliError, type Io } from "./io.ts";

export function register(program: Command, io: Io): void {
  const ca = program
    .command("ca")
    .description("make or look at the certificate authority that workloads trust")
    .addHelpText(
      "after",
      `
Examples:
  sallyport ca init --dir /etc/sallyport
  sallyport ca show --cert /etc/sallyport/ca.crt`,
    );
  ca.command("init")
    .description("write a new CA: ca.crt for the workloads to trust, ca.key for the proxy alone")
    .option("--dir <directory>", "where to write; default: where the proxy looks without a configuration")
    .option("--name <name>", "common name", "Sallyport CA")
    .option("--days <number>", "days it is valid", parseDays, defaultValidityDays)
    .addOption(new Option("--alg <algorithm>", "kind of key").choices(caAlgorithms).default("p256"))
    .option("--force", "replace a CA that is there; workloads that trust the old one have to be told")
    .addHelpText(
      "after",
      `
Examples:
  sallyport ca init
  sallyport ca init --dir /etc/sallyport --name "Example Corp egress CA" --days 365`,
    )
    .action(async (options: InitOptions) => init(options, io));
  ca.command("show")
    .description("print what a CA is, to compare fingerprints, and whether the proxy can use it")
    .option("--cert <file>", "certificate; default: the one used without a configuration")
    .option("--key <file>", "key; default: the file beside the certificate that ends in .key")
    .option("--json", "print JSON, for programs")
    .addHelpText(
      "after",
      `
Exit codes: 0 usable, 1 not usable.

Examples:
  sallyport ca show
  sallyport ca show --cert /etc/sallyport/ca.crt --json`,
    )
    .action(async (options: ShowOptions) => show(options, io));
  ca.command("secrets")
    .description("in a pod: make a CA and keep it in two Kubernetes Secrets, unless it is there")
    .requiredOption("--cert-secret <name>", "Secret for the workloads: the certificate alone")
    .requiredOption("--key-secret <name>", "Secret for the proxy: key and certificate")
    .option("--cert-key <key>", "key of the certificate inside both", "ca-cert.pem")
    .option("--key-key <key>", "key of the private key", "ca-key.pem")
    .option("--name <name>", "common name", "Sallyport CA")
    .option("--days <number>", "days it is valid", parseDays, defaultValidityDays)
    .addOption(new Option("--alg <algorithm>", "kind of key").choices(caAlgorithms).default("p256"))
    .option("--service-account <directory>", "where token, ca.crt and namespace are", serviceAccountFolder)
    .addHelpText(
      "after",
      `
What is there is never changed. The pod's service account needs get on the two Secrets, and create.

Example:
  sallyport ca secrets --cert-secret centaur-firewall-ca --key-secret centaur-firewall-ca-key`,
    )
    .action(async (options: SecretsOptions) => secrets(options, io));
}

interface SecretsOptions extends CaSecretNames, Omit<InitOptions, "dir" | "force"> {
  readonly serviceAccount: string;
}

async function secrets(options: SecretsOptions, io: Io): Promise<void> {
  const cluster = await clusterAround(io.env, options.serviceAccount);
  const { name, days: validityDays, alg: algorithm } = options;
  const { made, fingerprint } = await ensureCaSecrets(cluster, options, { name, validityDays, algorithm });
  for (const secret of [options.keySecret, options.certSecret]) {
    io.stdout(`Secret ${cluster.namespace}/${secret} ${made.includes(secret) ? "made" : "was there"}\n`);
  }
  io.stdout(`SHA-256 fingerprint ${fingerprint}\n`);
}

interface InitOptions {
  readonly dir?: string;
  readonly name: string;
  readonly days: number;
  readonly alg: CaAlgorithm;
  readonly force?: true;
}

interface ShowOptions {
  readonly cert?: string;
  readonly key?: string;
  readonly json?: true;
}

function parseDays(text: string): number {
  const days = Number(text);
  if (text.trim() === "" || !Number.isFinite(days)) throw new InvalidArgumentError("Give a number of days.");
  return days;
}

async function init(options: InitOptions, io: Io): Promise<void> {
  const pem = await createCa({ name: options.name, validityDays: options.days, algorithm: options.alg });
  const dir = options.dir ?? dirname(defaultCaFiles(io.env).certPath);
  if (options.dir === undefined) await makeDirectory(dir, 0o700);
  const files = await writeCa(dir, pem, { force: options.force === true });
  io.stdout(`wrote ${files.certPath}\nwrote ${files.keyPath}\n`);
  io.stdout(`SHA-256 fingerprint ${new X509Certificate(pem.certPem).fingerprint256}\n`);
}

/** A CA as `ca show` tells it; the same in JSON. */
interface CaReport {
  readonly certificate: string;
  readonly subject: string;
  readonly fingerprint_sha256: string;
  readonly not_before: string;
  readonly not_after: string;
  readonly key: {
    readonly path: string;
    /** Permission bits as chmod takes them; null when there is no such file. */
    readonly mode: string | null;
    /** Whether it is the certificate's; null when it cannot be read. */
    readonly fits: boolean | null;
  };
  readonly usable: boolean;
  /** Why it is not usable, else what to mind. */
  readonly remarks: readonly string[];
}

async function show(options: ShowOptions, io: Io): Promise<void> {
  const files = filesOf(options, io.env);
  const report = await reportOn(files);
  io.stdout(options.json === true ? `${JSON.stringify(report, undefined, 2)}\n` : textOf(report));
  if (!report.usable) io.exit(1);
}

function filesOf(options: ShowOptions, env: NodeJS.ProcessEnv): CaFiles {
  const byDefault = defaultCaFiles(env);
  const certPath = options.cert ?? byDefault.certPath;
  const beside = certPath.endsWith(".crt")
    ? certPath.replace(/\.crt$/, ".key")
    : caFilesIn(dirname(certPath)).keyPath;
  return { certPath, keyPath: options.key ?? beside };
}

async function reportOn(files: CaFiles): Promise<CaReport> {
  const certificate = await readCertificate(files.certPath);
  const usability = await tryLoading(files);
  return {
    certificate: files.certPath,
    subject: certificate.subject.replaceAll("\n", ", "),
    fingerprint_sha256: certificate.fingerprint256,
    not_before: certificate.validFromDate.toISOString(),
    not_after: certificate.validToDate.toISOString(),
    key: {
      path: files.keyPath,
      mode: await stat(files.keyPath).then(
        ({ mode }) => modeText(mode),
        () => null,
      ),
      fits: await readFile(files.keyPath)
        .then((pem) => certificate.checkPrivateKey(createPrivateKey(pem)))
        .catch(() => null),
    },
    ...usability,
  };
}

async function readCertificate(path: string): Promise<X509Certificate> {
  let pem: string;
  try {
    pem = await readFile(path, "latin1");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new CliError(
      `CA certificate ${path} cannot be read (${code}): make a CA with "sallyport ca init", or name one with --cert`,
    );
  }
  const block = pemBlocks(pem).find(({ label }) => label === "CERTIFICATE");
  if (block === undefined) throw new CliError(`${path} holds no CERTIFICATE in PEM`);
  try {
    return new X509Certificate(block.text);
  } catch {
    throw new CliError(`${path} holds a CERTIFICATE block that is not a certificate`);
  }
}

async function tryLoading(files: CaFiles): Promise<{ usable: boolean; remarks: readonly string[] }> {
  try {
    const { warnings } = await loadCa(files);
    return { usable: true, remarks: warnings };
  } catch (error) {
    if (error instanceof CaError) return { usable: false, remarks: [error.message] };
    throw error;
  }
}

function textOf(report: CaReport): string {
  const { key } = report;
  const fits =
    key.fits === null ? "not readable" : key.fits ? "fits the certificate" : "does not fit the certificate";
  const lines = [
    ["certificate", report.certificate],
    ["subject", report.subject],
    ["SHA-256", report.fingerprint_sha256],
    ["valid", `${report.not_before} to ${report.not_after}`],
    ["key", key.mode === null ? `${key.path} (missing)` : `${key.path} (mode ${key.mode}, ${fits})`],
    ["usable", report.usable ? "yes" : "no"],
    ...report.remarks.map((remark) => ["", remark]),
  ];
  return lines.map(([label = "", value = ""]) => `${label.padEnd(13)}${value}\n`).join("");
}
