// npm run attacks -- [--row N]... [--verbose]
//
// A hostile workload and a hostile upstream try every attack of docs/threats.md on the real executable. The exit code is 1
// when one of them works.
import { parseArgs } from "node:util";
import { openArena } from "./arena.ts";
import { attacks } from "./rows/index.ts";
import { isMet, type Result, runAttacks } from "./suite.ts";
import { waysOf } from "./table.ts";

const { values: options } = parseArgs({
  options: { row: { type: "string", multiple: true }, verbose: { type: "boolean", short: "v" } },
});
const wanted = options.row?.map(Number);
const rows = attacks.filter(({ number }) => wanted === undefined || wanted.includes(number));

/** What is printed of a row. */
function lines({ attack, tried }: Result): string[] {
  const { number, title, notApplicable } = attack;
  const outcomes = [...new Set(tried.map(({ outcome }) => outcome))].join(", ");
  const count = `${tried.length} ${tried.length === 1 ? "attempt" : "attempts"} by ${waysOf(attack)}`;
  const head = `${String(number).padStart(2)} ${outcomes || "not applicable"}: ${title} (${notApplicable ?? count})`;
  const shown = tried.filter(
    ({ outcome }) => options.verbose || outcome === "worked" || outcome === "failed",
  );
  return [
    head,
    ...shown.map(({ attempt, outcome, how }) => `     ${outcome}: ${attempt.by}: ${attempt.what}: ${how}`),
  ];
}

const began = performance.now();
const arena = await openArena();
let results: Result[] = [];
let problem: unknown;
try {
  results = await runAttacks(arena, rows, (result) => console.log(lines(result).join("\n")));
} finally {
  await arena.close().catch((error: unknown) => (problem = error));
}
const attempts = results.flatMap(({ tried }) => tried).length;
const unmet = results.filter((result) => !isMet(result)).map(({ attack }) => attack.number);
const seconds = ((performance.now() - began) / 1000).toFixed(1);
console.log(
  `${results.length} attacks, ${attempts} attempts, ${seconds} s: ${unmet.length} got through${unmet.length > 0 ? `: ${unmet.join(", ")}` : ""}`,
);
if (problem !== undefined) console.error((problem as Error).message);
process.exitCode = unmet.length > 0 || problem !== undefined ? 1 : 0;
