// examples/nftables: its README, run in namespaces of its own, with an internet that notes what reaches it.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { compiledCode } from "../helpers/checkout.ts";
import { runCheck } from "../helpers/cli.ts";
import { makeCa, makeLeaf } from "../helpers/pki.ts";
import { read } from "../docs/pages.ts";
import { commandsOf, copyOf, programs } from "./readme.ts";

const skip = reason();

function reason(): string | false {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "needs root on Linux";
  const wanted = ["nft", "ip", "unshare", "setpriv", "curl", "bash"];
  const missing = wanted.filter((name) => spawnSync("which", [name]).status !== 0);
  if (missing.length > 0) return `this machine has no ${missing.join(", ")}`;
  const tried = spawnSync("unshare", [
    "--net",
    "--mount",
    "--pid",
    "--fork",
    "--mount-proc",
    "nft",
    "list",
    "ruleset",
  ]);
  return tried.status === 0 ? false : "this machine allows no namespaces with nftables";
}

for (const file of ["user.yaml", "namespace.yaml"]) {
  test(`${file} has no fault`, async () => {
    const { issues } = await runCheck(read(`examples/nftables/${file}`));
    assert.deepEqual(issues, []);
  });
}

/** What of a section's commands reaches the internet. */
const allowed = [
  "dns A api.example.com",
  "dns AAAA api.example.com",
  "https api.example.com Bearer the-real-key",
];

test("one user: the redirect leads to the proxy, and there is no other way out", { skip }, async () => {
  const { output, seen } = await runSection("One user");
  assert.match(output, /^hello from the upstream$/m);
  assert.match(output, /host_not_allowed/);
  assert.deepEqual(seen, allowed);
});

test("a network namespace: the same, for everything that comes out of it", { skip }, async () => {
  const { output, seen } = await runSection("A network namespace");
  assert.match(output, /^hello from the upstream$/m);
  assert.match(output, /host_not_allowed/);
  assert.deepEqual(seen, allowed);
});

test("it is the rules that stop it, and they stop nobody else", { skip }, async () => {
  const reach = "curl --no-progress-meter --max-time 3";
  const { seen } = await runSteps([
    `${reach} http://203.0.113.10:8080/`,
    `sudo nft -f user.nft`,
    `${reach} http://127.0.0.1:8080/`,
    `! sudo -u agent ${reach} http://127.0.0.1:8080/`,
    `sudo nft delete table inet sallyport`,
    `sudo -u agent ${reach} http://127.0.0.1:8080/`,
  ]);
  assert.deepEqual(
    seen,
    Array.from({ length: 3 }, () => "elsewhere was reached"),
  );
});

/** Runs the commands of a section, after those at the top of the page. */
function runSection(section: string): ReturnType<typeof runSteps> {
  const [prepare = ""] = commandsOf("nftables");
  return runSteps([prepare, ...commandsOf("nftables", section)]);
}

/** Runs commands in namespaces of their own: networks, mounts, processes. What they leave goes with the last process. */
async function runSteps(
  steps: readonly string[],
): Promise<{ readonly output: string; readonly seen: readonly string[] }> {
  const { folder, example } = copyOf("nftables");
  try {
    const ca = makeCa();
    const leaf = makeLeaf(ca, ["api.example.com", "other.example.com"]);
    for (const [name, text] of Object.entries({ roots: ca.certPem, cert: leaf.certPem, key: leaf.keyPem })) {
      writeFileSync(join(folder, `${name}.pem`), text);
    }
    const script = join(folder, "run.sh");
    writeFileSync(script, world(folder, example, steps));
    const child = spawn("unshare", ["--net", "--mount", "--pid", "--fork", "--mount-proc", "bash", script], {
      env: {
        PATH: `${programs(folder)}:${process.env["PATH"]}`,
        SALLYPORT_TLS_UPSTREAM_CA: join(folder, "roots.pem"),
        HOME: folder,
        ...compiledCode,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (output += chunk.toString()));
    const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
    assert.equal(code, 0, output);
    const [before = "", after = ""] = output.split("=== seen\n");
    return {
      output: before,
      seen: after
        .split("\n")
        // A line of the proxy's log, which shares the pipe, may come late.
        .filter((line) => line !== "" && line !== "ready" && !line.startsWith("{"))
        .toSorted(),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The script: an /etc and a /run of its own, one interface to the internet, then the steps. */
function world(folder: string, example: string, steps: readonly string[]): string {
  const servers = fileURLToPath(new URL("world.ts", import.meta.url));
  return `set -e
mount --make-rprivate /
cp -a /etc ${folder}/etc
mount --bind ${folder}/etc /etc
mount -t tmpfs tmpfs /run
echo 'agent:x:12345:12345::/:/bin/sh' >> /etc/passwd
echo 'agent:x:12345:' >> /etc/group
echo '127.0.0.1 localhost' > /etc/hosts
echo 'hosts: files dns' > /etc/nsswitch.conf
echo 'nameserver 203.0.113.53' > /etc/resolv.conf
ip link set lo up
ip netns add internet
ip link add outside type veth peer name eth0 netns internet
ip addr add 203.0.113.1/24 dev outside
ip link set outside up
ip route add default via 203.0.113.10
ip -n internet link set lo up
ip -n internet addr add 203.0.113.10/24 dev eth0
ip -n internet addr add 203.0.113.53/24 dev eth0
ip -n internet link set eth0 up
ip -n internet route add 10.200.0.0/30 via 203.0.113.1
# Whatever is not stopped by a rule is forwarded.
echo 1 > /proc/sys/net/ipv4/ip_forward
ip netns exec internet "${process.execPath}" ${servers} ${folder}/cert.pem ${folder}/key.pem > ${folder}/seen &
disown
# Another service of this machine, which nobody who is confined may reach.
"${process.execPath}" ${servers} >> ${folder}/seen-here &
disown
for _ in $(seq 100); do grep -q ready ${folder}/seen && grep -q ready ${folder}/seen-here && break; sleep 0.1; done
cd ${example}
# A command after "!" that succeeds has to end the script, which "set -e" does not see to.
trap 'status=$?; echo "stopped at: $BASH_COMMAND"; exit $status' ERR
${steps.map((step) => rewritten(step)).join("\n")}
echo "=== seen"
cat ${folder}/seen ${folder}/seen-here
`;
}

/** Waits for a proxy that was started, and makes `! COMMAND` a condition. */
function rewritten(step: string): string {
  return step
    .replaceAll(
      /^! (.*)$/gm,
      (_, command: string) => `if ${command}; then echo "got through: ${command}"; exit 1; fi`,
    )
    .replaceAll(/^(.*sallyport start .*)&$/gm, (line) => {
      const port =
        "for _ in $(seq 100); do ss -ltnH 2>/dev/null | grep -q ':8443 ' && break; sleep 0.1; done";
      return `${line}\n${port}`;
    });
}
