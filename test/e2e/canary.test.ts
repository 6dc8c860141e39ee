// The watch over every end-to-end test is itself no good if it sees nothing.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { encoders } from "../scrub/encoders.ts";
import { Canary } from "./harness/canary.ts";
import { eventually } from "./harness/wait.ts";

/** Of these base64 is made after other text or cut into lines, which are for the scrubber's own tests. */
const whole = encoders.filter(({ name }) => !/lines|percent-encoded base64|base64 in JSON/.test(name));

describe("the canary finds a credential", () => {
  for (const { name, encode } of whole) {
    test(`written as: ${name}`, () => {
      const canary = new Canary();
      const text = `before ${encode(canary.secret("key"))} after`;
      canary.search("the log", Buffer.from(text, "latin1"));
      assert.throws(() => canary.check(), /I14: a credential got out: key in the log$/);
    });
  }

  test("cut at every byte", () => {
    const sample = new Canary();
    const value = sample.secret("key");
    const text = Buffer.from(`before \\u0063${JSON.stringify({ value })} after`);
    for (let at = 0; at <= text.length; at++) {
      const canary = new Canary();
      canary.watch("key", value);
      const hear = canary.listen("an answer");
      hear(text.subarray(0, at));
      hear(text.subarray(at));
      assert.throws(() => canary.check(), /key in an answer/, String(at));
    }
  });

  test("among many that begin alike, and names it", () => {
    const canary = new Canary();
    const values = Array.from({ length: 20 }, (_, index) => canary.secret(`number-${index}`));
    canary.search("the audit", Buffer.from(values[7] as string));
    assert.throws(() => canary.check(), /: number-7 in the audit$/);
  });

  test("in files of a folder", () => {
    const folder = mkdtempSync(join(tmpdir(), "sallyport-canary-"));
    const canary = new Canary();
    mkdirSync(join(folder, "below"));
    writeFileSync(join(folder, "below", "report.json"), canary.secret("key"));
    canary.searchFolder(folder);
    rmSync(folder, { recursive: true });
    assert.throws(() => canary.check(), /key in the file report\.json$/);
  });

  test("on a command line and in the environment that a process was started with, or one that it started", {
    skip: process.platform === "linux" ? false : "this is shown by Linux",
  }, async () => {
    const canary = new Canary();
    const values = ["argument", "variable", "grandchild"].map((label) => canary.secret(label));
    const [inArgument, inVariable, below] = values as [string, string, string];
    // The value does not stand on the first command line in one piece.
    const script = `BELOW=${below.slice(0, 12)}; BELOW="\${BELOW}"${below.slice(12)} sleep 30 & echo ready; wait`;
    const held = spawn("sh", ["-c", script, inArgument], {
      env: { PATH: process.env["PATH"], KEY: inVariable },
      stdio: ["ignore", "pipe", "ignore"],
      detached: true,
    });
    try {
      await once(held.stdout, "data");
      const found = () => {
        canary.searchProcess(held.pid as number);
        try {
          canary.check();
        } catch (error) {
          return (error as Error).message;
        }
        return "";
      };
      // Until the shell's child has become `sleep`.
      const message = await eventually("all three are found", () => /grandchild/.test(found()) && found());
      for (const what of [
        "argument in /proc/PID/cmdline",
        "variable in /proc/PID/environ",
        "grandchild in",
      ]) {
        assert.ok(message.includes(what), message);
      }
    } finally {
      process.kill(-(held.pid as number), "SIGKILL");
    }
  });
});

test("the canary is silent about what is no credential, and complains when it was shown nothing", () => {
  const canary = new Canary();
  const value = canary.secret("key");
  assert.throws(() => canary.check(), /searched nothing/);
  canary.search("the log", Buffer.from(`canary-key- ${value.slice(0, -1)} ${value.slice(1)}`));
  canary.check();
});

test("two credentials of a suite cannot have the same value", () => {
  const canary = new Canary();
  canary.watch("one", "the-same-value");
  canary.watch("one", "the-same-value");
  assert.throws(() => canary.watch("other", "the-same-value"), /other and one have the same value/);
});
