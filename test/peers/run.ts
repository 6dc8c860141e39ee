// `npm run test:peers`: the mechanisms with servers and clients in other languages, as far as this machine has them.
// Python packages go into an environment that is thrown away; `--venv DIR` keeps one there for the next time.
import { spawnSync } from "node:child_process";
import { existsSync, globSync, mkdtempSync, rmSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const packages = [
  "moto[server]==5.2.5",
  "boto3==1.44.5",
  "awscli==1.46.3",
  "google-auth==2.62.2",
  "requests==2.34.2",
  "httpx[socks]==0.28.1",
  "websockets==17.4",
  "python-socks==3.2.1",
  "kubernetes-validate==1.37.0",
];
const autobahn = "autobahntestsuite==25.10.1";
const installMs = 300_000;

const { values } = parseArgs({ options: { venv: { type: "string" } } });
const root = fileURLToPath(new URL("../..", import.meta.url));
const temporary = mkdtempSync(join(tmpdir(), "sallyport-peers-"));
let status: number | null = 1;
try {
  const env: NodeJS.ProcessEnv = { ...process.env, PEERS_FOLDER: temporary };
  for (const name of Object.keys(env)) {
    if (/^(https?|no|all)_proxy$/i.test(name) || /^(SALLYPORT|IRON|OP|AWS)_/.test(name)) delete env[name];
  }
  const python = preparePython(values.venv ?? join(temporary, "venv"));
  if ("missing" in python) console.log(`skipping the peers in Python: ${python.missing}`);
  const suite = prepareAutobahn(values.venv ?? temporary);
  if ("missing" in suite) console.log(`skipping Autobahn's cases: ${suite.missing}`);
  const go = spawnSync("go", ["version"], { encoding: "utf8" });
  if (go.status !== 0) console.log("skipping the peers in Go: this machine has no go");
  const files = globSync("test/peers/*.test.ts", { cwd: root }).toSorted();
  ({ status } = spawnSync(process.execPath, ["--test", "--test-timeout=300000", ...files], {
    cwd: root,
    stdio: "inherit",
    env: {
      ...env,
      ...("missing" in python ? { PEERS_NO_PYTHON: python.missing } : { PEERS_PYTHON: python.folder }),
      ...("missing" in suite
        ? { PEERS_NO_AUTOBAHN: suite.missing }
        : { PEERS_PYTHON2: suite.python, PEERS_AUTOBAHN: suite.folder }),
      ...(go.status === 0 ? { PEERS_GO: "go" } : { PEERS_NO_GO: "this machine has no go" }),
    },
  }));
} finally {
  rmSync(temporary, { recursive: true, force: true });
}
process.exit(status ?? 1);

/** The folder with the programs of a virtual environment, or why there is none. */
function preparePython(venv: string): { readonly folder: string } | { readonly missing: string } {
  const folder = join(venv, "bin");
  if (existsSync(join(folder, "moto_server")) && existsSync(join(folder, "kubernetes-validate")))
    return { folder };
  console.log(`installing ${packages.join(", ")} ...`);
  const made = spawnSync("python3", ["-m", "venv", venv], { encoding: "utf8" });
  if (made.error !== undefined) return { missing: "this machine has no python3" };
  if (made.status !== 0) return { missing: `python3 -m venv failed: ${lastLine(made.stdout + made.stderr)}` };
  const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", ...packages];
  const installed = spawnSync(join(folder, "python"), pip, { encoding: "utf8", timeout: installMs });
  if (installed.status === 0) return { folder };
  const why = installed.error === undefined ? lastLine(installed.stderr) : installed.error.message;
  return { missing: `pip could not install what they need: ${why}` };
}

/** A Python 2, which nothing else here needs, and the folder of Autobahn's test suite; or why there is none. */
function prepareAutobahn(
  within: string,
): { readonly python: string; readonly folder: string } | { readonly missing: string } {
  const candidates = [
    "python2.7",
    "python2",
    ...globSync(join(homedir(), ".pyenv/versions/2.7.*/bin/python")),
  ];
  const python = candidates.find((name) => spawnSync(name, ["--version"]).status === 0);
  if (python === undefined) return { missing: "this machine has no Python 2.7" };
  const folder = join(within, "autobahn");
  if (existsSync(join(folder, "autobahntestsuite"))) return { python, folder };
  console.log(`installing ${autobahn} ...`);
  const pip = [
    "-m",
    "pip",
    "install",
    "--quiet",
    "--disable-pip-version-check",
    "--target",
    folder,
    autobahn,
  ];
  const installed = spawnSync(python, pip, { encoding: "utf8", timeout: installMs });
  if (installed.status === 0) return { python, folder };
  const why = installed.error === undefined ? lastLine(installed.stderr) : installed.error.message;
  return { missing: `pip could not install it: ${why}` };
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1) ?? "";
}
