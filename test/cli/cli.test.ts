import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { normalizeArguments } from "../../src/cli/arguments.ts";
import { type CommandRow, commands } from "../../src/cli/index.ts";
import { CliError } from "../../src/cli/io.ts";
import { run } from "../helpers/cli.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
const folder = mkdtempSync(join(tmpdir(), "sallyport-cli-"));
after(() => rmSync(folder, { recursive: true }));

const spellings: readonly [given: string, meant: string][] = [
  ["-config p.yaml", "start --config p.yaml"],
  ["--config p.yaml", "start --config p.yaml"],
  ["-config=p.yaml", "start --config=p.yaml"],
  ["-c p.yaml", "start -c p.yaml"],
  ["-token x", "start --token x"],
  ["start -config p.yaml", "start --config p.yaml"],
  ["start -c p.yaml", "start -c p.yaml"],
  ["generate-ca -outdir d -expiry-hours=5", "generate-ca --outdir d --expiry-hours=5"],
  ["-v", "version"],
  ["--version", "version"],
  ["-version", "version"],
  ["-help", "--help"],
  ["check -", "check -"],
  ["run -- tool -config x", "run -- tool -config x"],
  ["start -- -config x", "start -- -config x"],
  ["", ""],
];

for (const [given, meant] of spellings) {
  test(`reads "${given}" as "${meant}"`, () => {
    const words = (text: string) => text.split(" ").filter((word) => word !== "");
    assert.deepEqual(normalizeArguments(words(given)), words(meant));
  });
}

/** A command that tells what it was given. */
function row(name: string, act: (config: string | undefined) => void): CommandRow {
  return {
    name,
    summary: `the ${name} command`,
    example: `sallyport ${name}`,
    load: () =>
      Promise.resolve({
        register(program) {
          program
            .command(name)
            .option("-c, --config <file>")
            .action((options: { config?: string }) => act(options.config));
        },
      }),
  };
}

for (const argv of [
  ["-config", "p.yaml"],
  ["--config", "p.yaml"],
  ["-config=p.yaml"],
  ["start", "--config=p.yaml"],
]) {
  test(`${argv.join(" ")} starts with that file, never with the embedded default`, async () => {
    const seen: (string | undefined)[] = [];
    const { code } = await run(argv, { rows: [row("start", (config) => seen.push(config))] });
    assert.deepEqual([code, seen], [0, ["p.yaml"]]);
  });
}

test("only the command that is used is loaded", async () => {
  const loaded: string[] = [];
  const rows = ["one", "two"].map((name) => ({
    ...row(name, () => {}),
    load() {
      loaded.push(name);
      return row(name, () => {}).load();
    },
  }));
  await run(["two"], { rows });
  assert.deepEqual(loaded, ["two"]);
});

for (const argv of [["version"], ["--version"], ["-v"]]) {
  test(`${argv.join()} prints the version`, async () => {
    assert.deepEqual(await run(argv), { code: 0, stdout: `${version}\n`, stderr: "" });
  });
}

test("help lists every command with an example", async () => {
  for (const argv of [["--help"], ["-h"], ["help"], ["-help"]]) {
    const { code, stdout } = await run(argv);
    assert.equal(code, 0);
    for (const { name, example } of commands) {
      assert.match(stdout, new RegExp(`^  ${name} `, "m"));
      assert.ok(stdout.includes(`  ${example}\n`), example);
    }
  }
});

for (const { name } of commands) {
  test(`${name} --help shows an example`, async () => {
    const { code, stdout } = await run([name, "--help"]);
    assert.equal(code, 0);
    assert.match(stdout, new RegExp(`Examples?:\n(?:.*\n)*  .*sallyport ${name}`));
    assert.equal((await run(["help", name])).stdout, stdout);
  });
}

const usage: readonly [argv: string[], stderr: RegExp][] = [
  [["chek"], /^error: unknown command 'chek'\n\(Did you mean check\?\)\n$/],
  [["check", "--jsn", "x"], /^error: unknown option '--jsn'\n\(Did you mean --json\?\)\n$/],
  [["--nonsense"], /^error: unknown option '--nonsense'\n$/],
  [["version", "extra"], /^error: too many arguments/],
  [[], /^Usage: sallyport/],
];

for (const [argv, stderr] of usage) {
  test(`wrong usage exits 2 and speaks on stderr: ${argv.join(" ") || "no command"}`, async () => {
    const result = await run(argv);
    assert.deepEqual([result.code, result.stdout], [2, ""]);
    assert.match(result.stderr, stderr);
  });
}

test("a failure is one line on stderr without a stack, and exits 1 or as it says", async () => {
  const failing = (error: Error) =>
    run(["fail"], {
      rows: [
        row("fail", () => {
          throw error;
        }),
      ],
    });
  assert.deepEqual(await failing(new Error("it\n  broke")), {
    code: 1,
    stdout: "",
    stderr: "error: it broke\n",
  });
  assert.deepEqual(await failing(new CliError("say more", 2)), {
    code: 2,
    stdout: "",
    stderr: "error: say more\n",
  });
});

test("bin/sallyport runs through a symbolic link, from any directory, and hands its exit code on", () => {
  const link = join(folder, "sp");
  symlinkSync(join(root, "bin/sallyport"), link);
  const env = { ...process.env, XDG_CACHE_HOME: folder };
  const good = spawnSync(link, ["version"], { cwd: folder, env, encoding: "utf8" });
  assert.deepEqual([good.status, good.stdout, good.stderr], [0, `${version}\n`, ""]);
  const bad = spawnSync(link, ["check", "nowhere.yaml"], { cwd: "/", env, encoding: "utf8" });
  assert.equal(bad.status, 1);
});
