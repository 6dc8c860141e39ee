import type { AuditRecord } from "../../src/audit/types.ts";

/** A record of an allowed request; what a test does not name does not matter to it. */
export function auditRecord(changes: Partial<AuditRecord> = {}): AuditRecord {
  return {
    time: Date.UTC(2026, 10, 22, 6, 13, 5, 42),
    requestId: "0192f3a1-7c4e",
    host: "api.example.com",
    method: "GET",
    path: "/v1/items",
    remoteAddress: "10.0.0.7:51724",
    sni: "api.example.com",
    mode: "mitm",
    action: "allow",
    status: 200,
    durationMs: 12.3456,
    bytesIn: 187,
    bytesOut: 431,
    requestTraces: [],
    responseTraces: [],
    ...changes,
  };
}
