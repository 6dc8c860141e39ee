// `sallyport run` and a command that looks for the credential wherever a process of the same user can (I14, attack 51).
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { chownSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { memoryIsGuarded } from "../../src/process/visibility.ts";
import { runAs, user, withoutUser } from "./unprivileged.ts";

const executable = fileURLToPath(new URL("../../bin/sallyport", import.meta.url));
const hostile = fileURLToPath(new URL("hostile.ts", import.meta.url));

const folder = mkdtempSync(join(tmpdir(), "sallyport-hostile-"));
const temporary = join(folder, "tmp");
const cache = join(folder, "cache");
for (const one of [temporary, cache]) mkdirSync(one);
if (user !== undefined) for (const one of [folder, temporary, cache]) chownSync(one, user.uid, user.gid);
after(() => rmSync(folder, { recursive: true, force: true }));

const credential = `sk-hostile-${randomBytes(24).toString("base64url")}`;
const halves = [credential.slice(0, 20), credential.slice(20)];
const env = {
  PATH: process.env["PATH"],
  HOME: folder,
  TMPDIR: temporary,
  XDG_CACHE_HOME: cache,
  OPENAI_API_KEY: credential,
  ALSO: `key=${credential}`,
};
const secret = ["--secret", "OPENAI_API_KEY=api.example.com"];

interface Spoils {
  readonly found: readonly string[];
  readonly read: readonly string[];
  readonly uid: number;
}

async function spoilsOf(program: string, args: readonly string[]): Promise<Spoils> {
  const { code, stdout, stderr } = await runAs(program, args, { env, cwd: temporary });
  assert.equal(code, 0, stderr);
  assert.doesNotMatch(stderr, new RegExp(credential.slice(11)));
  return JSON.parse(stdout) as Spoils;
}

describe("a hostile command", { skip: withoutUser() }, () => {
  test("finds a credential in a program that does nothing about it", async () => {
    // Where Yama guards memory, and only there, it cannot look into it.
    const holder = `
      const kept = process.env.OPENAI_API_KEY + "!";
      const { status } = require("node:child_process").spawnSync(process.execPath, process.argv.slice(1), { stdio: "inherit", env: {} });
      process.exitCode = kept === "!" ? 1 : status;`;
    const { found } = await spoilsOf(process.execPath, ["--eval", holder, hostile, ...halves]);
    assert.ok(found.includes("environ"), found.join());
    assert.equal(found.includes("memory"), !memoryIsGuarded());
  });

  test("I14 attack 51: finds nothing in the proxy of `sallyport run` and in what it was given", async () => {
    const command = [process.execPath, hostile, ...halves];
    const { found, read, uid } = await spoilsOf(executable, ["run", "--quiet", ...secret, "--", ...command]);
    assert.deepEqual(found, []);
    assert.notEqual(uid, 0);
    // It did look: its own environment and what is world-readable were open to it.
    for (const place of ["own environment", "variable OPENAI_API_KEY", "cmdline", "file ca-bundle.pem"]) {
      assert.ok(read.includes(place), place);
    }
    if (!memoryIsGuarded())
      assert.ok(!read.some((place) => /environ$|memory|descriptor/.test(place)), read.join());
    assert.deepEqual(readdirSync(temporary), [], "nothing is left behind");
  });

  test("the copy of node that cannot be read is made once and is the user's alone to change", async () => {
    if (memoryIsGuarded()) return;
    const names = () => readdirSync(join(cache, "sallyport")).filter((name) => name.startsWith("node-"));
    const before = names();
    assert.equal(before.length, 1);
    const { code, stdout } = await runAs(executable, ["run", "-q", ...secret, "--", "sh", "-c", "exit 3"], {
      env,
      cwd: temporary,
    });
    assert.deepEqual([code, stdout], [3, ""]);
    assert.deepEqual(names(), before);
  });

  test("the command inherits no descriptor but the standard three", async () => {
    // A pipe of the shell's own would be listed too, hence the file.
    const script =
      'ls /proc/$$/fd > "$HOME/fds"; cat "$HOME/fds"; stat -c "mode %a" "$(dirname "$SSL_CERT_FILE")"';
    const options = { env, cwd: temporary };
    const { stdout: plain } = await runAs("sh", ["-c", script], options);
    const { stdout } = await runAs(executable, ["run", "-q", ...secret, "--", "sh", "-c", script], options);
    // What this test was itself given stays open in every program it starts.
    const given = plain.split("\n").filter((line) => /^\d+$/.test(line));
    const inherited = stdout.split("\n").filter((line) => /^\d+$/.test(line));
    assert.deepEqual(
      inherited.filter((fd) => !given.includes(fd)),
      [],
    );
    assert.ok(inherited.length >= 3, stdout);
    assert.match(stdout, /^mode 700$/m);
  });
});
