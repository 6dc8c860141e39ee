// The profile of docs/hardening.md for node's permission model, run as the page has it: what start needs is allowed,
// and nothing else is.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, request } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { blocks, read, root } from "../docs/pages.ts";
import { eventually, within } from "../e2e/harness/wait.ts";
import { makeCa } from "../helpers/pki.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-permission-"));
const settings = join(folder, "etc");
const logs = join(folder, "log");
const credential = "the-credential-of-a-file";
const inEnvironment = "the-credential-of-a-variable";

/** The arguments of node on the page, for these folders. */
const profile = (
  blocks(read("docs/hardening.md")).find(({ text }) => text.includes("node --permission"))?.text ?? ""
)
  .replaceAll("\\\n", " ")
  .trim()
  .split(/\s+/)
  .slice(1)
  .map((argument) =>
    argument
      .replace("/opt/sallyport/main.js", join(root, "src/main.ts"))
      .replace("/opt/sallyport", root.replace(/\/$/, ""))
      .replace("/etc/sallyport", settings)
      .replace("/var/log/sallyport", logs),
  );

/** Compiled code of the tests before, so that a start takes no seconds: nothing that an installed proxy needs. */
const { NODE_COMPILE_CACHE: cacheOfTests } = process.env;
const cache = cacheOfTests === undefined ? {} : { NODE_COMPILE_CACHE: cacheOfTests };
const compiled = Object.values(cache).flatMap((path) => [
  `--allow-fs-read=${path}`,
  `--allow-fs-write=${path}`,
]);

/** Inside the proxy's own process: tries what the profile forbids, once told to. */
const probe = `
import fs from "node:fs";
import { spawnSync } from "node:child_process";
import { Worker } from "node:worker_threads";
process.on("SIGUSR2", () => {
  const results = {};
  for (const [name, attempt] of Object.entries({
    "read a file": () => fs.readFileSync("/etc/passwd"),
    "read a folder": () => fs.readdirSync("/"),
    "write a file": () => fs.writeFileSync(${JSON.stringify(join(folder, "written"))}, ""),
    "write the configuration": () => fs.appendFileSync(${JSON.stringify(join(settings, "proxy.yaml"))}, ""),
    "write its memory": () => fs.openSync("/proc/self/mem", "r+"),
    "start a program": () => spawnSync("true"),
    "start a thread": () => new Worker("", { eval: true }),
    "load native code": () => process.dlopen({ exports: {} }, "/lib/none.node"),
    "open the inspector": () => process.getBuiltinModule("node:inspector").open(0),
    "read the configuration": () => fs.readFileSync(${JSON.stringify(join(settings, "proxy.yaml"))}),
  })) {
    try {
      attempt();
      results[name] = "allowed";
    } catch (error) {
      results[name] = error.code;
    }
  }
  process.stderr.write(JSON.stringify({ msg: "probe", results }) + "\\n");
});`;

/** What came with each path. */
const keys = new Map<string | undefined, unknown>();
const upstream = createServer((incoming, answer) => {
  keys.set(incoming.url, incoming.headers["x-key"]);
  answer.end("ok");
});
const running = new Set<ChildProcess>();

before(async () => {
  for (const one of [settings, logs]) mkdirSync(one);
  const ca = makeCa();
  writeFileSync(join(settings, "ca.crt"), ca.certPem);
  writeFileSync(join(settings, "ca.key"), ca.keyPem, { mode: 0o600 });
  writeFileSync(join(settings, "key"), credential, { mode: 0o600 });
  writeFileSync(join(settings, "probe.mjs"), probe);
  upstream.listen(0, "127.0.0.1");
  await once(upstream, "listening");
  const { port } = upstream.address() as AddressInfo;
  const entry = (source: object, path: string) => ({
    source,
    inject: { header: "X-Key" },
    rules: [{ host: "127.0.0.1", paths: [path] }],
  });
  const config = {
    proxy: { http_listen: "127.0.0.1:0", tunnel_listen: "off", https_listen: "off", upstream_deny_cidrs: [] },
    dns: { enabled: false },
    metrics: { listen: "127.0.0.1:0" },
    tls: { ca_cert: join(settings, "ca.crt"), ca_key: join(settings, "ca.key") },
    audit: { file: join(logs, "audit.log") },
    transforms: [
      { name: "allowlist", config: { rules: [{ host: `127.0.0.1:${port}` }] } },
      {
        name: "secrets",
        config: {
          secrets: [
            entry({ type: "file", path: join(settings, "key") }, "/file"),
            entry({ type: "env", var: "PERMISSION_KEY" }, "/variable"),
            entry({ type: "file", path: join(folder, "outside") }, "/outside"),
          ],
        },
      },
    ],
  };
  writeFileSync(join(folder, "outside"), "outside-of-what-is-allowed", { mode: 0o600 });
  writeFileSync(join(settings, "proxy.yaml"), JSON.stringify(config));
});
after(() => {
  for (const one of running) one.kill("SIGKILL");
  upstream.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Line {
  readonly msg: string;
  readonly addr?: string;
  readonly [field: string]: unknown;
}

/** Starts node with these arguments; lines of its log, and what else it wrote to standard error. */
function start(args: readonly string[]) {
  const child = spawn(process.execPath, [...compiled, ...args], {
    cwd: folder,
    env: { PATH: process.env["PATH"], HOME: folder, PERMISSION_KEY: inEnvironment, ...cache },
    stdio: ["ignore", "ignore", "pipe"],
  });
  running.add(child);
  const lines: Line[] = [];
  let text = "";
  let rest = "";
  child.stderr.setEncoding("utf8").on("data", (part: string) => {
    text += part;
    const parts = (rest + part).split("\n");
    rest = parts.pop() ?? "";
    for (const one of parts) if (one.startsWith("{")) lines.push(JSON.parse(one) as Line);
  });
  const ended = once(child, "close").then(([code]) => {
    running.delete(child);
    return code as number | null;
  });
  const line = (msg: string) =>
    eventually(
      msg,
      () => {
        if (child.exitCode !== null) throw new Error(text);
        return lines.find((one) => one.msg === msg);
      },
      30_000,
    );
  return { child, lines, line, ended, text: () => text };
}

/** Status of a request in absolute form, through the proxy. */
async function ask(proxy: string, path: string): Promise<number | undefined> {
  const { port } = upstream.address() as AddressInfo;
  const [, host, at] = /^(.*):(\d+)$/.exec(proxy) ?? [];
  const authority = `127.0.0.1:${port}`;
  const options = {
    host,
    port: at,
    path: `http://${authority}${path}`,
    headers: { host: authority },
    agent: false,
  };
  const [answer] = (await within("an answer", once(request(options).end(), "response"))) as [IncomingMessage];
  answer.resume();
  return answer.statusCode;
}

describe("the permission profile", {
  skip: process.platform === "linux" ? false : "its paths are Linux's",
}, () => {
  test("lets start do its work, and nothing else be done in its process", async () => {
    assert.equal(profile[0], "--permission");
    const options = profile.slice(0, profile.indexOf(join(root, "src/main.ts")));
    const command = profile.slice(options.length);
    const proxy = start([...options, `--import=${join(settings, "probe.mjs")}`, ...command]);
    const { addr = "" } = await proxy.line("http proxy starting");
    await proxy.line("transform pipeline");
    assert.equal(await ask(addr, "/file"), 200);
    assert.equal(await ask(addr, "/variable"), 200);
    assert.deepEqual([...keys.values()], [credential, inEnvironment]);
    assert.notEqual(await ask(addr, "/outside"), 200);
    assert.ok(!keys.has("/outside"));
    assert.match(proxy.text(), /outside\\?": ERR_ACCESS_DENIED/);

    assert.ok(readFileSync(`/proc/${proxy.child.pid}/environ`).every((byte) => byte === 0));
    assert.match(readFileSync(`/proc/${proxy.child.pid}/coredump_filter`, "latin1"), /^0+\n$/);

    proxy.child.kill("SIGUSR2");
    const { results } = (await proxy.line("probe")) as unknown as { results: Record<string, string> };
    const { "read the configuration": allowed, ...rest } = results;
    assert.equal(allowed, "allowed");
    const denied = Object.entries(rest).filter(
      ([, code]) => code === "ERR_ACCESS_DENIED" || code === "ERR_DLOPEN_DISABLED",
    );
    assert.deepEqual(Object.fromEntries(denied), rest);
    assert.ok(!existsSync(join(folder, "written")));

    proxy.child.kill("SIGTERM");
    assert.equal(await within("it stops", proxy.ended), 0, proxy.text());
    assert.match(readFileSync(join(logs, "audit.log"), "utf8"), /"path":"\/file"/);
  });

  test("without the network nothing is served, and the error says why", async () => {
    const proxy = start(profile.filter((argument) => argument !== "--allow-net"));
    assert.equal(await within("it ends", proxy.ended, 30_000), 1);
    assert.match(proxy.text(), /ERR_ACCESS_DENIED|permission/i);
  });

  test("without its own files in /proc it starts, and warns of what others can see", async () => {
    const proxy = start(profile.filter((argument) => !argument.includes("/proc/self")));
    await proxy.line("transform pipeline");
    const warnings = proxy.lines.map(({ msg }) => msg).filter((msg) => msg.includes("ERR_ACCESS_DENIED"));
    assert.deepEqual(warnings.slice(0, 2), [
      "others of this user can read the environment it was started with (ERR_ACCESS_DENIED)",
      "a core dump would hold credentials (ERR_ACCESS_DENIED)",
    ]);
    proxy.child.kill("SIGTERM");
    assert.equal(await within("it stops", proxy.ended), 0);
  });
});
