import { printable } from "../../log/terminal.ts";
import type { Check, CheckStatus } from "./check.ts";

const marks: Readonly<Record<CheckStatus, string>> = { ok: "ok  ", warn: "warn", fail: "FAIL", skip: "skip" };

/** For people: one line for each check, what to do below those that went wrong. */
export function checksText(checks: readonly Check[]): string {
  const width = Math.min(28, Math.max(...checks.map(({ subject }) => subject.length)));
  const lines = checks.flatMap(({ status, subject, message, hint }) => [
    `${marks[status]}  ${subject.padEnd(width)}  ${message}`,
    ...(hint === undefined ? [] : [`      ${" ".repeat(width)}  -> ${hint}`]),
  ]);
  return [...lines, "", summaryText(checks)].map((line) => `${printable(line)}\n`).join("");
}

function summaryText(checks: readonly Check[]): string {
  const count = (wanted: CheckStatus) => checks.filter(({ status }) => status === wanted).length;
  const [failed, skipped, warnings] = [count("fail"), count("skip"), count("warn")];
  const parts = [
    `${checks.length} checks`,
    failed === 0 ? "none failed" : `${failed} failed`,
    ...(skipped === 0 ? [] : [`${skipped} skipped`]),
    ...(warnings === 0 ? [] : [`${warnings} warning${warnings === 1 ? "" : "s"}`]),
  ];
  return parts.join(", ");
}

/** For programs; one object. */
export function checksJson(checks: readonly Check[]): string {
  const count = (wanted: CheckStatus) => checks.filter(({ status }) => status === wanted).length;
  const data = {
    ok: isFine(checks),
    failed: count("fail"),
    skipped: count("skip"),
    warnings: count("warn"),
    checks: checks.map(({ kind, subject, status, message, cause = null, hint = null }) => {
      return { kind, subject, status, message, cause, hint };
    }),
  };
  return `${JSON.stringify(data, undefined, 2)}\n`;
}

/** What was skipped was so because something else failed, or it is the same as failed. */
export function isFine(checks: readonly Check[]): boolean {
  return checks.every(({ status }) => status === "ok" || status === "warn");
}
