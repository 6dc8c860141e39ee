import { Random } from "./random.ts";
import type { FuzzTarget } from "./target.ts";

/** Runs one iteration; returns false, having reported everything needed to repeat it, when it fails. */
export async function runOnce(
  target: FuzzTarget,
  seed: number,
  iteration: number,
  report: (line: string) => void,
): Promise<boolean> {
  const random = new Random(seed, iteration);
  try {
    const running = target.run(random, iteration);
    if (running !== undefined) await running;
    return true;
  } catch (error) {
    report(`${target.name} failed: ${error instanceof Error ? error.stack : String(error)}`);
    if (random.input !== undefined) {
      const input = Buffer.from(random.input);
      report(`input (${input.length} bytes): ${input.toString("hex")}`);
      report(`as text: ${JSON.stringify(input.toString("latin1"))}`);
    }
    report(`repeat: npm run fuzz -- --target ${target.name} --seed ${seed} --iteration ${iteration}`);
    return false;
  }
}
