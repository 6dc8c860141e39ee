import type { Command } from "commander";
import { stringify } from "yaml";
import { createCa } from "../tls/ca-create.ts";
import { defaultValidityDays } from "../tls/default-ca.ts";
import {
  type KubectlOptions,
  kubectlCluster,
  namespaceManifest,
  secretManifest,
} from "./bootstrap/kubectl.ts";
import type { WritableCluster } from "./bootstrap/kubectl.ts";
import { type BootstrapPlan, chartNames, newKey, planBootstrap } from "./bootstrap/plan.ts";
import type { SecretData } from "./ca/cluster.ts";
import { ensureCaSecrets } from "./ca/secrets.ts";
import { CliError, type Io } from "./io.ts";

interface Options {
  readonly namespace: string;
  readonly context?: string;
  readonly mode?: string;
  readonly infra: string;
  readonly prefix: string;
  readonly add: readonly string[];
  readonly kubectl: string;
  readonly force?: true;
  readonly dryRun?: true;
  readonly yes?: true;
}

export function register(program: Command, io: Io): void {
  program
    .command("bootstrap")
    .description("make the Secrets that the chart needs: keys, vault token, Connect credentials and the CA")
    .option("-n, --namespace <name>", "namespace; made unless it is there", "centaur")
    .option("--context <name>", "context of the kubeconfig; default: the current one")
    .option(
      "--mode <mode>",
      "env, onepassword or onepassword-connect; default: FIREWALL_MANAGER_SECRET_SOURCE",
    )
    .option("--infra <name>", "name of the Secret with keys and token", chartNames.infra)
    .option("--prefix <text>", "stands before each of its keys, as secretManager.envPrefix says", "")
    .option("--add <variable>", "put this variable of yours into it as well; repeatable", collect, [])
    .option("--kubectl <program>", "the kubectl to use", "kubectl")
    .option("--force", "delete the Secrets and make them anew; running proxies need a restart then")
    .option("--dry-run", "print manifests with the Secrets' values; nothing is asked of the cluster")
    .option("--yes", "print them on a terminal too")
    .addHelpText(
      "after",
      `
Values come from the environment and go to kubectl through its standard input, never on a command line:
  onepassword           OP_VAULT, OP_SERVICE_ACCOUNT_TOKEN
  onepassword-connect   OP_VAULT, OP_CONNECT_TOKEN, and OP_CONNECT_CREDENTIALS_FILE where Connect runs in the cluster
  env                   none; --add NAME for each credential
What is there stays: only a token or vault that has changed is put in, and keys that are missing are made.

Examples:
  OP_VAULT=agents OP_SERVICE_ACCOUNT_TOKEN=... sallyport bootstrap -n centaur-system
  sallyport bootstrap --mode env --add WAREHOUSE_API_KEY --dry-run | kubectl apply -f -`,
    )
    .action(async (options: Options) => bootstrap(options, io));
}

function collect(name: string, names: readonly string[]): string[] {
  return [...names, name];
}

async function bootstrap(options: Options, io: Io): Promise<void> {
  const plan = planBootstrap(io.env, options);
  if (options.dryRun === true) {
    await printManifests(plan, options, io);
    return;
  }
  const { namespace, context, kubectl } = options;
  const cluster = kubectlCluster({ namespace, context, kubectl, env: io.env } satisfies KubectlOptions);
  const say = (name: string, what: string) => io.stdout(`${name}: ${what}\n`);
  say(`namespace ${namespace}`, (await cluster.ensureNamespace()) ? "made" : "was there");
  if (options.force === true) await removeAll(cluster, plan, options);
  await ensureInfra(cluster, plan, options, say);
  await ensureConnect(cluster, plan, say);
  const { made, fingerprint } = await ensureCaSecrets(cluster, chartNames.ca, caOptions);
  for (const name of [chartNames.ca.keySecret, chartNames.ca.certSecret]) {
    say(`Secret ${name}`, made.includes(name) ? "made" : "was there");
  }
  io.stdout(`SHA-256 fingerprint of the CA: ${fingerprint}\n`);
}

const caOptions = { name: "Sallyport CA", validityDays: defaultValidityDays } as const;

type Say = (name: string, what: string) => void;

/** Keys that are made up are made once: a new signing key would end every sandbox's token. */
async function ensureInfra(
  cluster: WritableCluster,
  { given, generated }: BootstrapPlan,
  { infra }: Options,
  say: Say,
): Promise<void> {
  const old = await cluster.read(infra);
  const wanted = { ...given };
  for (const key of generated) if ((old?.[key] ?? "") === "") wanted[key] = newKey();
  const name = `Secret ${infra}`;
  if (old === undefined) {
    if (!(await cluster.create(infra, wanted)))
      throw new CliError(`${name} was made by another; run the command again`);
    say(name, `made, with ${Object.keys(wanted).join(", ")}`);
    return;
  }
  const changed = Object.fromEntries(Object.entries(wanted).filter(([key, text]) => old[key] !== text));
  if (Object.keys(changed).length === 0) {
    say(name, "was there, nothing to change");
    return;
  }
  await cluster.set(infra, changed);
  say(name, `was there; put in ${Object.keys(changed).join(", ")}`);
}

async function ensureConnect(
  cluster: WritableCluster,
  { mode, connectCredentials }: BootstrapPlan,
  say: Say,
): Promise<void> {
  const name = `Secret ${chartNames.connect}`;
  if (connectCredentials === undefined) {
    if (mode === "onepassword-connect") {
      say(name, "left alone: set OP_CONNECT_CREDENTIALS_FILE where the chart is to run Connect");
    }
    return;
  }
  const data = { [chartNames.connectKey]: connectCredentials };
  if (await cluster.create(chartNames.connect, data)) {
    say(name, "made");
    return;
  }
  const old = await cluster.read(chartNames.connect);
  const same = old?.[chartNames.connectKey] === connectCredentials;
  say(name, same ? "was there" : "was there and holds another file; --force replaces it");
}

async function removeAll(cluster: WritableCluster, plan: BootstrapPlan, { infra }: Options): Promise<void> {
  const connect = plan.connectCredentials === undefined ? [] : [chartNames.connect];
  for (const name of [infra, ...connect, chartNames.ca.certSecret, chartNames.ca.keySecret]) {
    await cluster.remove(name);
  }
}

/** Manifests hold the values in base64, which hides nothing. */
async function printManifests(
  plan: BootstrapPlan,
  { namespace, infra, yes }: Options,
  io: Io,
): Promise<void> {
  if (process.stdout.isTTY && yes !== true) {
    throw new CliError(
      "--dry-run prints the Secrets' values; send it to a file or to kubectl, or add --yes",
      2,
    );
  }
  const { certPem, keyPem } = await createCa(caOptions);
  const keys = Object.fromEntries(plan.generated.map((key) => [key, newKey()]));
  const { ca } = chartNames;
  const secrets: Readonly<Record<string, SecretData>> = {
    [infra]: { ...plan.given, ...keys },
    ...(plan.connectCredentials === undefined
      ? {}
      : { [chartNames.connect]: { [chartNames.connectKey]: plan.connectCredentials } }),
    [ca.keySecret]: { [ca.certKey]: certPem, [ca.keyKey]: keyPem },
    [ca.certSecret]: { [ca.certKey]: certPem },
  };
  const manifests = Object.entries(secrets).map(([name, data]) => secretManifest(namespace, name, data));
  for (const manifest of [namespaceManifest(namespace), ...manifests]) {
    io.stdout(`---\n${stringify(manifest, { lineWidth: 0 })}`);
  }
  io.stderr("these manifests hold secrets: do not keep them; new keys are made at every --dry-run\n");
}
