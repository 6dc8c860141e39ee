import type { AnyValue, HrTime, LogRecord } from "@opentelemetry/api";
import type { FindingRecord } from "../findings/types.ts";
import { findingFields } from "./finding.ts";
import { recordLevel } from "./serialize.ts";
import type { AuditRecord, Trace } from "./types.ts";

/** OpenTelemetry's numbers of the three levels (SeverityNumber of the logs data model). */
const severities = { INFO: 9, WARN: 13, ERROR: 17 } as const;

/**
 * One audit record as a log record of OpenTelemetry: the fields of the JSON line, those of `audit` without their
 * prefix. Its time is when the request began, the time it was observed is when the record was written.
 */
export function logRecordOf(record: AuditRecord): LogRecord {
  const severityText = recordLevel(record);
  return {
    timestamp: hrTime(record.time - record.durationMs),
    observedTimestamp: hrTime(record.time),
    severityNumber: severities[severityText],
    severityText,
    body: "request",
    attributes: attributesOf(record),
  };
}

/** A finding as a log record: the fields of its JSON line. */
export function logRecordOfFinding(record: FindingRecord): LogRecord {
  return {
    timestamp: hrTime(record.time),
    observedTimestamp: hrTime(record.time),
    severityNumber: severities.WARN,
    severityText: "WARN",
    body: "finding",
    attributes: findingFields(record),
  };
}

function attributesOf(record: AuditRecord): Record<string, AnyValue> {
  const attributes: Record<string, AnyValue> = {
    host: record.host,
    method: record.method,
    path: record.path,
    remote_addr: record.remoteAddress,
    sni: record.sni,
    mode: record.mode,
    action: record.action,
    status_code: record.status,
    duration_ms: record.durationMs,
    request_id: record.requestId,
    bytes_in: record.bytesIn,
    bytes_out: record.bytesOut,
  };
  const optional = {
    upstream_addr: record.upstreamAddress,
    reused: record.reused,
    reason: record.reason,
    caller: record.caller,
    rejected_by: record.rejectedBy,
    stubbed_by: record.stubbedBy,
    error: record.error,
    tls: record.tls,
    http: record.http,
    tunnel: record.tunnel && {
      target: record.tunnel.target,
      request_transforms: record.tunnel.traces.map(traceOf),
    },
    body_capture: record.bodyCapture,
  };
  for (const [name, value] of Object.entries(optional)) if (value !== undefined) attributes[name] = value;
  if (record.requestTraces.length > 0) attributes["request_transforms"] = record.requestTraces.map(traceOf);
  if (record.responseTraces.length > 0)
    attributes["response_transforms"] = record.responseTraces.map(traceOf);
  return attributes;
}

function traceOf({ name, action, durationMs, error, annotations }: Trace): Record<string, AnyValue> {
  return {
    name,
    action,
    duration_ms: durationMs,
    ...(error === undefined ? {} : { error }),
    ...(annotations === undefined ? {} : { annotations: plain(annotations) }),
  };
}

/** What JSON keeps of it, so that both outputs say the same and nothing odd reaches the encoder. */
function plain(annotations: Record<string, unknown>): AnyValue {
  try {
    return JSON.parse(JSON.stringify(annotations)) as AnyValue;
  } catch {
    return { unserializable: true };
  }
}

/** Seconds and nanoseconds; microseconds are as fine as the clock is. */
function hrTime(milliseconds: number): HrTime {
  const microseconds = Math.round(milliseconds * 1000);
  const seconds = Math.floor(microseconds / 1_000_000);
  return [seconds, (microseconds - seconds * 1_000_000) * 1000];
}
