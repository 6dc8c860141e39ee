// What a process that holds credentials does to itself, seen from outside: each runs in a process of its own.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { revealingOption } from "../../src/process/diagnostics.ts";

const source = (name: string) =>
  JSON.stringify(new URL(`../../src/process/${name}.ts`, import.meta.url).href);
const main = new URL("../../src/main.ts", import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), "sallyport-harden-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const credential = "credential-in-the-environment";
const base = { PATH: process.env["PATH"], HOME: folder, XDG_CACHE_HOME: process.env["XDG_CACHE_HOME"] };

/** Runs a script of one hardening step in a new process. */
function runScript(script: string, env: NodeJS.ProcessEnv = {}, options: readonly string[] = []) {
  return spawnSync(process.execPath, [...options, "--input-type=module", "--eval", script], {
    cwd: folder,
    env: { ...base, ...env },
    encoding: "utf8",
    timeout: 30_000,
  });
}

describe("on Linux", { skip: process.platform === "linux" ? false : "these are files of Linux" }, () => {
  test("I14: the environment it was started with is gone, and its variables are still there for it and its children", () => {
    const { stdout, stderr } = runScript(
      `import { eraseInitialEnvironment } from ${source("initial-environment")};
      import { spawnSync } from "node:child_process";
      import { readFileSync } from "node:fs";
      const shown = () => readFileSync("/proc/self/environ", "latin1");
      const before = shown().includes("${credential}");
      eraseInitialEnvironment();
      eraseInitialEnvironment(); // a second time does no harm
      const child = spawnSync("sh", ["-c", "echo $KEY"], { encoding: "utf8" }).stdout.trim();
      delete process.env.KEY;
      const other = spawnSync("sh", ["-c", "tr '\\\\0' ' ' < /proc/$PPID/environ; echo $KEY"], { encoding: "utf8" }).stdout;
      console.log(JSON.stringify([before, /^\\0+$/.test(shown()), child, other.trim(), process.env.HOME]));`,
      { KEY: credential },
    );
    assert.deepEqual(JSON.parse(stdout), [true, true, credential, "", folder], stderr);
  });

  test("I14 attack 50: a core dump holds nothing of it, and those of its children are as they were", () => {
    const { stdout, stderr } = runScript(
      `import { emptyCoreDumps, withCoreDumps } from ${source("core-dump")};
      import { spawnSync } from "node:child_process";
      import { readFileSync } from "node:fs";
      const filter = () => Number.parseInt(readFileSync("/proc/self/coredump_filter", "latin1"), 16);
      const before = filter();
      emptyCoreDumps();
      emptyCoreDumps();
      const show = () => spawnSync("cat", ["/proc/self/coredump_filter"], { encoding: "utf8" }).stdout;
      const inherited = Number.parseInt(withCoreDumps(show), 16);
      console.log(JSON.stringify([before > 0, filter(), inherited === before]));`,
    );
    assert.deepEqual(JSON.parse(stdout), [true, 0, true], stderr);
  });

  test("a core dump that is written nonetheless has no credential in it", {
    skip: readFileSync("/proc/sys/kernel/core_pattern", "latin1").startsWith("|")
      ? "core dumps go to a program here"
      : false,
  }, () => {
    const script = `import { emptyCoreDumps } from ${source("core-dump")};
      globalThis.kept = Buffer.from(process.env.KEY + process.env.KEY);
      emptyCoreDumps();
      process.abort();`;
    const command = `ulimit -c unlimited; exec "$0" --input-type=module --eval "$1"`;
    const { signal } = spawnSync("sh", ["-c", command, process.execPath, script], {
      cwd: folder,
      env: { ...base, KEY: credential },
      stdio: "ignore",
    });
    assert.equal(signal, "SIGABRT");
    // Hundreds of megabytes without the filter, and the credential in them.
    for (const name of readdirSync(folder).filter((one) => one.startsWith("core"))) {
      const core = readFileSync(join(folder, name));
      assert.ok(core.length < 1 << 20, String(core.length));
      assert.ok(!core.includes(credential));
    }
  });
});

describe("I14 attack 50: refuses to hold credentials", () => {
  for (const [where, execArgv, env, inspectorUrl, expected] of [
    [
      "under --inspect",
      ["--inspect"],
      {},
      undefined,
      /^--inspect on node's command line opens node's inspector/,
    ],
    ["under --inspect-brk=0", ["--inspect-brk=0"], {}, undefined, /^--inspect-brk on node's command line/],
    [
      "with --inspect in NODE_OPTIONS",
      [],
      { NODE_OPTIONS: "--max-old-space-size=99 --inspect=0" },
      undefined,
      /^--inspect in NODE_OPTIONS/,
    ],
    [
      "with underscores",
      [],
      { NODE_OPTIONS: "--heapsnapshot_signal=SIGUSR2" },
      undefined,
      /^--heapsnapshot-signal in NODE_OPTIONS writes the whole heap/,
    ],
    [
      "with a heap snapshot near the limit",
      ["--heapsnapshot-near-heap-limit=1"],
      {},
      undefined,
      /whole heap/,
    ],
    ["with a log of TLS keys", ["--tls-keylog=/tmp/keys"], {}, undefined, /^--tls-keylog .*decrypts TLS/],
    ["with NODE_DEBUG", [], { NODE_DEBUG: "http" }, undefined, /^NODE_DEBUG makes node print/],
    [
      "with a debugger that came in another way",
      [],
      {},
      "ws://127.0.0.1:9229/x",
      /^node's inspector is open/,
    ],
  ] as const) {
    test(where, () => {
      assert.match(revealingOption({ execArgv, env, inspectorUrl }) ?? "", expected);
    });
  }

  test("but not for options that show nothing", () => {
    const execArgv = [
      "--max-old-space-size=512",
      "--disable-sigusr1",
      "--permission",
      "--inspect-port=0",
      "--heapsnapshot-near-heap-limit=0",
    ];
    const env = { NODE_OPTIONS: "--require=./inspect.js --cpu-prof", NODE_DEBUG: "" };
    assert.equal(revealingOption({ execArgv, env, inspectorUrl: undefined }), undefined);
  });

  for (const command of ["start", "run", "api"]) {
    test(`sallyport ${command} says what to take away and does not begin`, () => {
      const { status, stdout, stderr } = spawnSync(process.execPath, [main, command, "--", "echo", "began"], {
        cwd: folder,
        env: { ...base, NODE_OPTIONS: "--heapsnapshot-signal=SIGUSR2" },
        encoding: "utf8",
        timeout: 30_000,
      });
      assert.equal(stdout, "");
      assert.equal(
        stderr,
        "error: --heapsnapshot-signal in NODE_OPTIONS writes the whole heap into a file, which would show every credential; take it away\n",
      );
      assert.equal(status, 1);
    });
  }
});
