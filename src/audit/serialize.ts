import { printable } from "../log/terminal.ts";
import type { AuditRecord, Trace } from "./types.ts";

/**
 * One record as one line of JSON, without its newline. Written by hand since it is made for every request;
 * `docs/audit.md` has the fields. Never throws.
 */
export function serializeRecord(record: AuditRecord): string {
  let line =
    `{"time":"${timestamp(record.time)}","level":"${recordLevel(record)}","msg":"request","audit":{"host":` +
    `${quote(record.host)},"method":${quote(record.method)},"path":${quote(record.path)},"remote_addr":` +
    `${quote(record.remoteAddress)},"sni":${quote(record.sni)},"mode":"${record.mode}","action":"${record.action}` +
    `","status_code":${finite(record.status)},"duration_ms":${milliseconds(record.durationMs)},"request_id":` +
    `${quote(record.requestId)},"bytes_in":${finite(record.bytesIn)},"bytes_out":${finite(record.bytesOut)}`;
  if (record.upstreamAddress !== undefined) line += `,"upstream_addr":${quote(record.upstreamAddress)}`;
  if (record.tls !== undefined) line += `,"tls":${tlsObject(record.tls)}`;
  if (record.reused !== undefined) line += `,"reused":${record.reused}`;
  if (record.reason !== undefined) line += `,"reason":"${record.reason}"`;
  if (record.caller !== undefined) line += `,"caller":${quote(record.caller)}`;
  line += "}";
  const tunnel = record.tunnel;
  if (tunnel !== undefined) {
    line += `,"tunnel":{"target":${quote(tunnel.target)}${traceList("request_transforms", tunnel.traces)}}`;
  }
  if (record.rejectedBy !== undefined) line += `,"rejected_by":${quote(record.rejectedBy)}`;
  if (record.stubbedBy !== undefined) line += `,"stubbed_by":${quote(record.stubbedBy)}`;
  if (record.error !== undefined) line += `,"error":${quote(record.error)}`;
  line += traceList("request_transforms", record.requestTraces);
  line += traceList("response_transforms", record.responseTraces);
  const capture = record.bodyCapture;
  if (capture !== undefined) {
    line +=
      `,"body_capture":{"request_body":${quote(capture.request_body)},"request_body_truncated":` +
      `${capture.request_body_truncated}}`;
  }
  return `${line}}`;
}

/** Level of the line: what failed is an error, what was refused a warning. */
export function recordLevel(record: AuditRecord): "INFO" | "WARN" | "ERROR" {
  if (record.action === "error") return "ERROR";
  return record.action === "reject" ? "WARN" : "INFO";
}

function traceList(key: string, traces: readonly Trace[]): string {
  if (traces.length === 0) return "";
  let list = `,"${key}":[`;
  for (let index = 0; index < traces.length; index++) {
    const trace = traces[index] as Trace;
    list +=
      `${index === 0 ? "" : ","}{"name":${quote(trace.name)},"action":"${trace.action}","duration_ms":` +
      milliseconds(trace.durationMs);
    if (trace.error !== undefined) list += `,"error":${quote(trace.error)}`;
    if (trace.annotations !== undefined) list += annotationsField(trace.annotations);
    list += "}";
  }
  return `${list}]`;
}

function annotationsField(annotations: Record<string, unknown>): string {
  let json: string;
  try {
    json = JSON.stringify(annotations);
  } catch {
    // A cycle or a BigInt that some transform put there must not cost the whole record (I13).
    return ',"annotations":{"unserializable":true}';
  }
  return json === "{}" ? "" : `,"annotations":${printable(json)}`;
}

function tlsObject(tls: NonNullable<AuditRecord["tls"]>): string {
  const client = tls.client === undefined ? "" : `"client":${quote(tls.client)}`;
  const upstream = tls.upstream === undefined ? "" : `"upstream":${quote(tls.upstream)}`;
  return `{${client}${client !== "" && upstream !== "" ? "," : ""}${upstream}}`;
}

function quote(text: string): string {
  return isPlain(text) ? `"${text}"` : printable(JSON.stringify(text));
}

/** Printable ASCII without quote and backslash; a loop, since a regular expression costs half as much again. */
function isPlain(text: string): boolean {
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code < 0x20 || code > 0x7e || code === 0x22 || code === 0x5c) return false;
  }
  return true;
}

/** Milliseconds with microseconds behind the point. */
function milliseconds(value: number): string {
  if (!Number.isFinite(value)) return "0";
  const microseconds = Math.round(value * 1000);
  const whole = Math.floor(microseconds / 1000);
  const rest = microseconds - whole * 1000;
  return rest === 0 ? `${whole}` : `${whole}.${rest < 10 ? "00" : rest < 100 ? "0" : ""}${rest}`;
}

function finite(value: number): number {
  return Number.isFinite(value) ? value : 0;
}

let secondSeen = -1;
let secondText = "";

/** RFC 3339 in UTC with milliseconds; the part up to the second is kept for the next record. */
function timestamp(time: number): string {
  const second = Math.floor(time / 1000);
  if (second !== secondSeen) {
    secondText = new Date(second * 1000).toISOString().slice(0, 20);
    secondSeen = second;
  }
  const rest = Math.floor(time - second * 1000);
  return `${secondText}${rest < 10 ? "00" : rest < 100 ? "0" : ""}${rest}Z`;
}
