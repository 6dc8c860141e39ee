import { LineBuffer } from "../log/line-buffer.ts";
import { printable } from "../log/terminal.ts";
import type { AuditRecord, Trace } from "./types.ts";

/**
 * One record as one line of JSON, newline included. Written piece by piece since it is made for every request;
 * `docs/audit.md` has the fields. Never throws.
 */
export function writeRecord(record: AuditRecord, out: LineBuffer): void {
  out.ascii('{"time":"');
  out.ascii(timestamp(record.time));
  out.ascii('","level":"');
  out.ascii(recordLevel(record));
  out.ascii('","msg":"request","audit":{"host":');
  out.json(record.host);
  field(out, ',"method":', record.method);
  field(out, ',"path":', record.path);
  field(out, ',"remote_addr":', record.remoteAddress);
  field(out, ',"sni":', record.sni);
  field(out, ',"mode":', record.mode);
  field(out, ',"action":', record.action);
  number(out, ',"status_code":', record.status);
  out.ascii(',"duration_ms":');
  out.ascii(milliseconds(record.durationMs));
  field(out, ',"request_id":', record.requestId);
  number(out, ',"bytes_in":', record.bytesIn);
  number(out, ',"bytes_out":', record.bytesOut);
  optional(out, ',"upstream_addr":', record.upstreamAddress);
  if (record.tls !== undefined) legs(out, ',"tls":{', record.tls);
  if (record.http !== undefined) legs(out, ',"http":{', record.http);
  if (record.reused !== undefined) out.ascii(record.reused ? ',"reused":true' : ',"reused":false');
  optional(out, ',"reason":', record.reason);
  optional(out, ',"caller":', record.caller);
  out.ascii("}");
  const tunnel = record.tunnel;
  if (tunnel !== undefined) {
    field(out, ',"tunnel":{"target":', tunnel.target);
    traceList(out, ',"request_transforms":[', tunnel.traces);
    out.ascii("}");
  }
  optional(out, ',"rejected_by":', record.rejectedBy);
  optional(out, ',"stubbed_by":', record.stubbedBy);
  optional(out, ',"error":', record.error);
  traceList(out, ',"request_transforms":[', record.requestTraces);
  traceList(out, ',"response_transforms":[', record.responseTraces);
  const capture = record.bodyCapture;
  if (capture !== undefined) {
    field(out, ',"body_capture":{"request_body":', capture.request_body);
    out.ascii(`,"request_body_truncated":${capture.request_body_truncated}}`);
  }
  out.ascii("}\n");
}

/** The same line as text, without its newline. */
export function serializeRecord(record: AuditRecord): string {
  const out = new LineBuffer();
  writeRecord(record, out);
  return out.bytes.toString("utf8").slice(0, -1);
}

/** Level of the line: what failed is an error, what was refused a warning. */
export function recordLevel(record: AuditRecord): "INFO" | "WARN" | "ERROR" {
  if (record.action === "error") return "ERROR";
  return record.action === "reject" ? "WARN" : "INFO";
}

function field(out: LineBuffer, key: string, value: string): void {
  out.ascii(key);
  out.json(value);
}

function optional(out: LineBuffer, key: string, value: string | undefined): void {
  if (value !== undefined) field(out, key, value);
}

function number(out: LineBuffer, key: string, value: number): void {
  out.ascii(key);
  out.ascii(Number.isFinite(value) ? String(value) : "0");
}

function traceList(out: LineBuffer, key: string, traces: readonly Trace[]): void {
  if (traces.length === 0) return;
  out.ascii(key);
  for (let index = 0; index < traces.length; index++) {
    const trace = traces[index] as Trace;
    field(out, index === 0 ? '{"name":' : ',{"name":', trace.name);
    field(out, ',"action":', trace.action);
    out.ascii(',"duration_ms":');
    out.ascii(milliseconds(trace.durationMs));
    optional(out, ',"error":', trace.error);
    if (trace.annotations !== undefined) annotations(out, trace.annotations);
    out.ascii("}");
  }
  out.ascii("]");
}

function annotations(out: LineBuffer, value: Record<string, unknown>): void {
  let json: string;
  try {
    json = JSON.stringify(value);
  } catch {
    // A cycle or a BigInt that some transform put there must not cost the whole record (I13).
    out.ascii(',"annotations":{"unserializable":true}');
    return;
  }
  if (json === "{}") return;
  out.ascii(',"annotations":');
  out.text(printable(json));
}

/** What holds for the client's connection and for the upstream's. */
function legs(
  out: LineBuffer,
  key: string,
  { client, upstream }: { client?: string; upstream?: string },
): void {
  out.ascii(key);
  if (client !== undefined) field(out, '"client":', client);
  optional(out, client === undefined ? '"upstream":' : ',"upstream":', upstream);
  out.ascii("}");
}

/** Milliseconds with microseconds behind the point. */
function milliseconds(value: number): string {
  if (!Number.isFinite(value)) return "0";
  const microseconds = Math.round(value * 1000);
  const whole = Math.floor(microseconds / 1000);
  const rest = microseconds - whole * 1000;
  return rest === 0 ? `${whole}` : `${whole}.${rest < 10 ? "00" : rest < 100 ? "0" : ""}${rest}`;
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
