// The pages of the manual, as tests read them.
import { globSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));

/** Pages at the top of the repository and below docs/, by path. */
export const pages: readonly string[] = [
  "README.md",
  "CONTRIBUTING.md",
  "SECURITY.md",
  "CHANGELOG.md",
  ...globSync("docs/**/*.md", { cwd: root }).toSorted(),
];

export function read(path: string): string {
  return readFileSync(`${root}${path}`, "utf8");
}

/** A fenced block. */
export interface Block {
  /** What stands behind the fence: `yaml`, `console`. */
  readonly language: string;
  readonly text: string;
  readonly line: number;
}

export function blocks(page: string): Block[] {
  return [...page.matchAll(/^```([^\n]*)\n([^]*?)^```$/gm)].map((match) => ({
    language: match[1] ?? "",
    text: match[2] ?? "",
    line: page.slice(0, match.index).split("\n").length,
  }));
}

/** Rows of every table of a page, without headings: trimmed cells. */
export function rows(page: string): string[][] {
  const lines = page.split("\n");
  return lines
    .filter((line, index) => line.startsWith("|") && !isRule(line) && !isRule(lines[index + 1] ?? ""))
    .map((line) =>
      line
        .slice(1, line.lastIndexOf("|"))
        .split(/(?<!\\)\|/)
        .map((cell) => cell.trim()),
    );
}

function isRule(line: string): boolean {
  return /^\|(?:\s*:?-+:?\s*\|)+$/.test(line);
}

/** Words in backticks. */
export function codes(text: string): string[] {
  return [...text.matchAll(/`([^`]+)`/g)].map(([, code]) => code ?? "");
}
