// Runs attacks one after the other and judges each: by what the attempt itself says, and by what got out meanwhile.
import { within } from "../e2e/harness/wait.ts";
import type { Arena } from "./arena.ts";
import { type Attack, type Attempt, Breach, type Outcome } from "./attack.ts";

/** Longest time of one attempt; more than any wait inside it. */
const attemptMs = 15_000;

/** What one attempt came to. */
export interface Tried {
  readonly attempt: Attempt;
  /** `worked`: the attack did. `failed`: the attempt came to no end that says anything. */
  readonly outcome: Outcome | "worked" | "failed";
  /** How it was met, or what it got. */
  readonly how: string;
}

export interface Result {
  readonly attack: Attack;
  readonly tried: readonly Tried[];
}

/** Whether everything that was tried was met. */
export function isMet({ tried }: Result): boolean {
  return tried.every(({ outcome }) => outcome !== "worked" && outcome !== "failed");
}

/** Tries attacks in an arena. */
export async function runAttacks(
  arena: Arena,
  attacks: readonly Attack[],
  report: (result: Result) => void = () => {},
): Promise<Result[]> {
  const results: Result[] = [];
  for (const attack of attacks) {
    const tried: Tried[] = [];
    for (const attempt of attack.attempts) tried.push(await tryOut(arena, attempt));
    const result = { attack, tried };
    results.push(result);
    report(result);
  }
  return results;
}

async function tryOut(arena: Arena, attempt: Attempt): Promise<Tried> {
  let tried: Tried;
  try {
    const how = await within(attempt.what, attempt.run(arena), attemptMs);
    tried = { attempt, outcome: attempt.expected, how };
  } catch (error) {
    const outcome = error instanceof Breach ? "worked" : "failed";
    tried = { attempt, outcome, how: (error as Error).message };
  }
  for (const client of arena.context.clients) client.close();
  const got = arena.hunt.found().map((spelling) => `the workload got ${spelling}`);
  const lost = [...got, ...arena.strayed()];
  return lost.length === 0 ? tried : { attempt, outcome: "worked", how: lost.join("; ") };
}
