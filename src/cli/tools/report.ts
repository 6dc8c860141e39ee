import { secretsOf } from "../../tools/secrets-of.ts";
import { type Entry, type Problem, referenceText, type RenderOptions, type Tool } from "../../tools/index.ts";
import type { Io } from "../io.ts";
import type { FoundTools } from "./find.ts";

export interface Verdict {
  readonly errors: number;
  readonly warnings: number;
}

export function verdictOf({ problems }: FoundTools): Verdict {
  const count = (severity: Problem["severity"]) => problems.filter((one) => one.severity === severity).length;
  return { errors: count("error"), warnings: count("warning") };
}

/** The table, and below it what there is to say. */
export function printList(found: FoundTools, verdict: Verdict, io: Io): void {
  const rows = found.tools.flatMap((tool) => rowsOf(tool, optionsOf(found)));
  if (rows.length > 0)
    io.stdout(table([["TOOL", "SECRET", "TYPE", "HOSTS", "PLACES", "REFERENCE"], ...rows]));
  printProblems(found, (text) => io.stderr(text));
  io.stderr(`${summary(found, verdict)}\n`);
}

export function printCheck(found: FoundTools, verdict: Verdict, io: Io): void {
  printProblems(found, (text) => io.stdout(text));
  io.stdout(`${summary(found, verdict)}\n`);
}

/** One line each, as compilers write them. */
export function printProblems({ problems }: FoundTools, write: (text: string) => void): void {
  for (const { severity, file, line, column, tool, entry, key, message } of problems) {
    const place = line > 0 ? `${file}:${line}:${column}` : file;
    const kind = severity === "error" ? "" : `${severity}: `;
    const left = severity === "error" ? " is left out" : "";
    const subject = tool === undefined ? "" : `tool ${tool}${left}: `;
    const where = entry === undefined ? "" : `${entry}: `;
    const named = key === undefined || message.startsWith(key) ? message : `${key}: ${message}`;
    write(`${place}: ${kind}${subject}${where}${named}\n`);
  }
}

/** The shape is documented in docs/tools.md. */
export function printJson(found: FoundTools, { errors, warnings }: Verdict, io: Io): void {
  const { settings, tools, problems } = found;
  const options = optionsOf(found);
  const report = {
    ok: errors === 0,
    errors,
    warnings,
    source: options.mode,
    vault: options.vault,
    ttl: options.ttl,
    directories: settings?.directories ?? [],
    tools: tools.map((tool) => ({
      name: tool.name,
      harness: tool.file === "",
      file: tool.file,
      description: tool.description ?? null,
      secrets: tool.secrets.map((entry) => secretJson(entry, options)),
    })),
    problems: problems.map(({ tool, entry, key, ...rest }) => {
      return { ...rest, tool: tool ?? null, entry: entry ?? null, key: key ?? null };
    }),
  };
  io.stdout(`${JSON.stringify(report, undefined, 2)}\n`);
}

function secretJson(entry: Entry, options: RenderOptions) {
  return {
    name: entry.name,
    type: entry.type,
    mode: entry.type === "http" ? entry.mode : null,
    optional: entry.optional,
    supported: entry.type !== "pg_dsn",
    hosts: entry.type === "pg_dsn" ? [] : entry.hosts,
    places: placesOf(entry),
    placeholder: entry.type === "http" && entry.mode === "replace" ? entry.placeholder : null,
    references: Object.fromEntries(
      secretsOf(entry).map(([key, secret]) => [key, referenceText(secret, options)]),
    ),
    line: entry.where.line,
  };
}

function rowsOf(tool: Tool, options: RenderOptions): readonly (readonly string[])[] {
  const name = tool.file === "" ? "(harness)" : tool.name;
  return tool.secrets.map((entry) => [
    name,
    `${entry.name}${entry.optional ? " (optional)" : ""}`,
    entry.type === "http" ? `http ${entry.mode}` : entry.type,
    entry.type === "pg_dsn" ? "not supported yet" : entry.hosts.join(", "),
    placesOf(entry).join(", ") || "-",
    secretsOf(entry)
      .map(([, secret]) => referenceText(secret, options))
      .join(", "),
  ]);
}

/** Where the credential goes, as audit records write it. */
function placesOf(entry: Entry): readonly string[] {
  switch (entry.type) {
    case "http": {
      if (entry.mode === "inject") {
        const { target } = entry;
        return [target.kind === "header" ? `header:${target.header}` : `query:${target.parameter}`];
      }
      const headers = entry.matchHeaders.map((name) => `header:${name}`);
      return [...headers, ...(entry.matchPath ? ["path"] : []), ...(entry.matchQuery ? ["query"] : [])];
    }
    case "gcp_auth":
    case "aws_auth":
      return ["header:Authorization"];
    case "oauth_token":
      return [`header:${entry.header ?? "Authorization"}`];
    case "hmac_sign":
      return entry.headers.map(({ name }) => `header:${name}`);
    case "pg_dsn":
      return [];
  }
}

function optionsOf({ settings }: FoundTools): RenderOptions {
  const { source: mode = "env", vault = "", ttl = "" } = settings ?? {};
  return { mode, vault, ttl, callers: false };
}

function summary({ tools }: FoundTools, { errors, warnings }: Verdict): string {
  const declared = tools.filter(({ file }) => file !== "").length;
  const parts = [
    [declared, "tool"],
    [tools.length - declared, "harness credential"],
  ] as const;
  const counts = parts.map(([number, noun]) => count(number, noun)).filter((part) => part !== "");
  const faults = [count(errors, "error"), count(warnings, "warning")].filter((part) => part !== "");
  return `${counts.join(", ") || "no tools"}: ${faults.join(", ") || "ok"}`;
}

function count(number: number, noun: string): string {
  return number === 0 ? "" : `${number} ${noun}${number === 1 ? "" : "s"}`;
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? "").length)),
  );
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join("  ")
          .trimEnd()}\n`,
    )
    .join("");
}
