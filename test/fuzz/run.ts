// npm run fuzz -- [--target NAME]... [--seconds N] [--runs N] [--seed S] [--iteration I]
//
// Runs every target, or those named, for their share of the seconds (10 in all by default) or for a number of
// runs each. A failure prints how to repeat exactly that iteration, and its input.
import { readdirSync } from "node:fs";
import { parseArgs } from "node:util";
import { runOnce } from "./run-once.ts";
import type { FuzzTarget } from "./target.ts";

const folder = new URL("./targets/", import.meta.url);
/** How often the clock is read: a run is often shorter than reading it. */
const runsBetweenLooks = 16;

const { values: options } = parseArgs({
  options: {
    target: { type: "string", multiple: true },
    seconds: { type: "string" },
    runs: { type: "string" },
    seed: { type: "string" },
    iteration: { type: "string" },
  },
});

/** A whole number of an option, or undefined where it was not given. */
function numberOf(name: "seconds" | "runs" | "seed" | "iteration"): number | undefined {
  const text = options[name];
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > 0xffffffff) {
    console.error(`--${name} takes a whole number from 0 to 4294967295, not ${JSON.stringify(text)}`);
    process.exit(2);
  }
  return value;
}

async function loadTargets(): Promise<FuzzTarget[]> {
  const files = readdirSync(folder)
    .filter((file) => file.endsWith(".ts"))
    .sort();
  const all = await Promise.all(
    files.map(async (file) => (await import(new URL(file, folder).href)) as FuzzTarget),
  );
  const wanted = options.target;
  if (wanted === undefined) return all;
  const unknown = wanted.filter((name) => !all.some((target) => target.name === name));
  if (unknown.length > 0) {
    const known = all.map((target) => target.name).join(", ");
    console.error(`there is no fuzz target ${unknown.join(", ")}; there are ${known}`);
    process.exit(2);
  }
  return all.filter((target) => wanted.includes(target.name));
}

async function main(): Promise<boolean> {
  const targets = await loadTargets();
  const seed = numberOf("seed") ?? Date.now() % 0x100000000;
  const only = numberOf("iteration");
  const runs = numberOf("runs");
  const milliseconds = ((numberOf("seconds") ?? 10) * 1000) / targets.length;
  let passed = true;
  for (const target of targets) {
    if (only !== undefined) {
      passed = (await runOnce(target, seed, only, console.error)) && passed;
      continue;
    }
    const end = performance.now() + milliseconds;
    let iteration = 0;
    let failed = false;
    const goesOn = (): boolean =>
      runs !== undefined ? iteration < runs : iteration % runsBetweenLooks !== 0 || performance.now() < end;
    while (!failed && goesOn()) failed = !(await runOnce(target, seed, iteration++, console.error));
    console.log(`${failed ? "FAIL" : "ok  "} ${target.name}: ${iteration} runs, seed ${seed}`);
    passed = passed && !failed;
  }
  return passed;
}

process.exitCode = (await main()) ? 0 : 1;
