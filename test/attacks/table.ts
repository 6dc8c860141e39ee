// The table of docs/threats.md, made of the attacks and of the names of tests.
import { globSync, readFileSync } from "node:fs";
import type { Attack } from "./attack.ts";
import { allWays } from "./workload.ts";

const begin = "<!-- made by npm run threats: what it says is in test/attacks/rows -->";
const end = "<!-- end of what npm run threats makes -->";

const sections: readonly (readonly [title: string, first: number, last: number])[] = [
  ["Names, addresses, destinations", 1, 19],
  ["Framing and protocol", 20, 39],
  ["Getting the credential back out", 40, 61],
];

/** Numbers of the attacks that a test file's code carries: `attack 20`, `attack 20 21`, `attacks 4 and 5`. */
function attacksIn(text: string): Set<number> {
  const code = text
    .split("\n")
    .filter((line) => !/^\s*(?:\/\/|\/?\*)/.test(line))
    .join("\n");
  const lists = [...code.matchAll(/\battacks? (\d+(?:(?:,| and)? \d+)*)/g)].map(([, list]) => list as string);
  return new Set(lists.flatMap((list) => (list.match(/\d+/g) ?? []).map(Number)));
}

/** Test files by the attack that names in them carry, or rows of the tables that they go through. */
function testsByAttack(root: string): Map<number, string[]> {
  const read = (file: string): string => readFileSync(`${root}${file}`, "utf8");
  const tables = [...read("test/e2e/harness/hostile.ts").matchAll(/^export const (\w+)[^]*?^\];$/gm)];
  const tests = new Map<number, string[]>();
  for (const file of globSync("test/**/*.test.ts", { cwd: root }).toSorted()) {
    if (file.startsWith("test/attacks/")) continue;
    const text = read(file);
    const used = text.includes("/hostile.ts")
      ? tables.filter(([, name]) => text.includes(name as string))
      : [];
    for (const number of attacksIn([text, ...used.map(([table]) => table)].join("\n"))) {
      tests.set(number, [...(tests.get(number) ?? []), file]);
    }
  }
  return tests;
}

/** `refused`, `refused or neutralised`, `not applicable`; and how often it was tried. */
function outcomeOf({ attempts, notApplicable }: Attack): string {
  if (attempts.length === 0) return `not applicable: ${notApplicable ?? ""}`;
  const outcomes = (["refused", "neutralised"] as const).filter((one) =>
    attempts.some(({ expected }) => expected === one),
  );
  return outcomes.join(" or ");
}

/** Listeners and protocols, each once. */
export function waysOf({ attempts }: Attack): string {
  const ways = new Set(attempts.map((attempt) => attempt.by));
  const isAll = allWays.every((way) => ways.has(way));
  const others = [...ways].filter((way) => !isAll || !(allWays as readonly string[]).includes(way));
  return [...(isAll ? ["all nine ways"] : []), ...others].join("; ");
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}

/** The page with its tables made anew. */
export function withTables(page: string, attacks: readonly Attack[], root: string): string {
  const from = page.indexOf(begin);
  const to = page.indexOf(end);
  if (from < 0 || to < from) throw new Error(`docs/threats.md has no lines ${begin} and ${end}`);
  const tests = testsByAttack(root);
  const rowOf = (attack: Attack): string => {
    const files = (tests.get(attack.number) ?? [])
      .map((file) => `\`${file.slice("test/".length)}\``)
      .join(" ");
    const cells = [attack.title, attack.defence, outcomeOf(attack), waysOf(attack), files].map(cell);
    return `| ${attack.number} | ${cells.join(" | ")} |`;
  };
  const tables = sections.map(([title, first, last]) => {
    const rows = attacks.filter(({ number }) => number >= first && number <= last).map(rowOf);
    const head = "| # | Attack | Defence | Outcome | Tried by | Also in `test/` |\n|---|---|---|---|---|---|";
    return `### ${title}\n\n${head}\n${rows.join("\n")}\n`;
  });
  return `${page.slice(0, from)}${begin}\n\n${tables.join("\n")}\n${page.slice(to)}`;
}
