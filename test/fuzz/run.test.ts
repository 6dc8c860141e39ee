import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Random } from "./random.ts";
import { runOnce } from "./run-once.ts";

const runner = fileURLToPath(new URL("./run.ts", import.meta.url));

function fuzz(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [runner, ...args], { encoding: "utf8" });
}

test("an iteration depends on its seed and number alone", () => {
  const draw = (seed: number, iteration: number): string =>
    new Random(seed, iteration).bytes(8).toString("hex");
  assert.equal(draw(1, 5), draw(1, 5));
  assert.notEqual(draw(1, 5), draw(1, 6));
  assert.notEqual(draw(1, 5), draw(2, 5));
});

test("a failure says how to repeat it, and its input", async () => {
  const lines: string[] = [];
  const run = (random: Random): void => {
    random.keep(Buffer.from("a\n"));
    throw new Error("wrong");
  };
  assert.equal(await runOnce({ name: "broken", run }, 7, 42, (line) => lines.push(line)), false);
  assert.match(lines[0] ?? "", /^broken failed: Error: wrong/);
  assert.deepEqual(lines.slice(1), [
    "input (2 bytes): 610a",
    'as text: "a\\n"',
    "repeat: npm run fuzz -- --target broken --seed 7 --iteration 42",
  ]);
});

test("runs a target as often as it is told, from the seed it is told", () => {
  const { status, stdout } = fuzz("--target", "h1-request", "--runs", "20", "--seed", "3");
  assert.equal(status, 0);
  assert.equal(stdout, "ok   h1-request: 20 runs, seed 3\n");
});

test("refuses a target there is not and a number that is none", () => {
  const unknown = fuzz("--target", "nonsense");
  assert.equal(unknown.status, 2);
  assert.match(unknown.stderr, /no fuzz target nonsense; there are .*h1-request/);
  const number = fuzz("--target", "h1-request", "--runs", "many");
  assert.equal(number.status, 2);
  assert.equal(number.stderr, '--runs takes a whole number from 0 to 4294967295, not "many"\n');
});
