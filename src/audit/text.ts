import { clock, type Paint, printable } from "../log/terminal.ts";
import type { AuditRecord, Trace } from "./types.ts";

const actionColours = {
  allow: "green",
  stub: "blue",
  reject: "yellow",
  error: "red",
  client_cancel: "gray",
} as const;

/**
 * One record as one line for a person at a terminal: time, action, status, method and place, reason, duration,
 * and which credentials were put in by name.
 */
export function describeRecord(record: AuditRecord, paint: Paint): string {
  const action = record.action === "client_cancel" ? "cancel" : record.action;
  const parts = [
    paint("gray", clock(record.time)),
    paint(actionColours[record.action], action.padEnd(6)),
    record.status === 0 ? "---" : String(record.status),
  ];
  if (record.method !== "") parts.push(paint("bold", printable(record.method)));
  parts.push(printable(place(record)));
  if (record.reason !== undefined) parts.push(paint(actionColours[record.action], record.reason));
  if (record.error !== undefined) parts.push(printable(record.error));
  parts.push(paint("gray", `${Math.round(record.durationMs)} ms`));
  if (record.caller !== undefined) parts.push(paint("gray", `caller=${printable(record.caller)}`));
  const credentials = credentialNames(record.requestTraces);
  if (credentials.length > 0)
    parts.push(paint("magenta", `credentials: ${printable(credentials.join(", "))}`));
  return parts.join(" ");
}

function place(record: AuditRecord): string {
  const host = record.host !== "" ? record.host : record.sni;
  return host === "" && record.path === "" ? record.remoteAddress : host + record.path;
}

/** Names of the secrets swapped or injected; the mechanism's name where it notes only the places. */
function credentialNames(traces: readonly Trace[]): string[] {
  const names = new Set<string>();
  for (const trace of traces) {
    for (const key of ["swapped", "injected"]) {
      const entries = trace.annotations?.[key];
      if (!Array.isArray(entries)) continue;
      for (const entry of entries as unknown[]) names.add(secretName(entry) ?? trace.name);
    }
  }
  return [...names];
}

function secretName(entry: unknown): string | undefined {
  if (typeof entry !== "object" || entry === null || !("secret" in entry)) return undefined;
  return typeof entry.secret === "string" ? entry.secret : undefined;
}
