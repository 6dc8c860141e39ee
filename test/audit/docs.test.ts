import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { serializeRecord } from "../../src/audit/serialize.ts";
import type { AuditRecord } from "../../src/audit/types.ts";
import { auditRecord } from "./records.ts";

const page = readFileSync(new URL("../../docs/audit.md", import.meta.url), "utf8");
const none = { method: "", path: "", durationMs: 0, bytesIn: 0, bytesOut: 0 };
const allowlist = { name: "allowlist", action: "allow", durationMs: 0.004 } as const;

/** Heading of an example in the page, and the record it shows. */
const examples: Readonly<Record<string, AuditRecord>> = {
  "A request with a credential": auditRecord({
    upstreamAddress: "203.0.113.8:443",
    tls: { client: "TLSv1.3", upstream: "TLSv1.3" },
    http: { client: "2", upstream: "1.1" },
    reused: true,
    caller: "sandbox-41",
    tunnel: { target: "api.example.com:443", traces: [allowlist] },
    requestTraces: [
      allowlist,
      {
        name: "secrets",
        action: "allow",
        durationMs: 0.021,
        annotations: { swapped: [{ secret: "EXAMPLE_API_KEY", locations: ["header:Authorization"] }] },
      },
    ],
  }),
  "A refused request": auditRecord({
    host: "other.example",
    sni: "other.example",
    action: "reject",
    status: 403,
    durationMs: 0.31,
    bytesOut: 512,
    tls: { client: "TLSv1.3" },
    http: { client: "1.1" },
    reason: "host_not_allowed",
    rejectedBy: "allowlist",
    requestTraces: [{ ...allowlist, action: "reject" }],
  }),
  "An upstream that cannot be reached": auditRecord({
    action: "error",
    status: 502,
    durationMs: 10004.2,
    bytesOut: 502,
    tls: { client: "TLSv1.3" },
    http: { client: "1.1" },
    reason: "upstream_connect_failed",
    error: "connect to 203.0.113.8:443: connection refused",
    requestTraces: [allowlist],
  }),
  "An answer of the proxy's own": auditRecord({
    host: "oauth2.example.com",
    method: "POST",
    path: "/token",
    sni: "oauth2.example.com",
    action: "stub",
    durationMs: 0.12,
    bytesIn: 402,
    bytesOut: 216,
    tls: { client: "TLSv1.3" },
    http: { client: "1.1" },
    stubbedBy: "oauth_token",
    requestTraces: [
      allowlist,
      {
        name: "oauth_token",
        action: "stub",
        durationMs: 0.05,
        annotations: { stubbed: "oauth2_token_endpoint" },
      },
    ],
  }),
  "A client that left": auditRecord({
    action: "client_cancel",
    durationMs: 845.5,
    bytesOut: 40960,
    upstreamAddress: "203.0.113.8:443",
    tls: { client: "TLSv1.3", upstream: "TLSv1.3" },
    http: { client: "2", upstream: "2" },
    reused: false,
    reason: "client_disconnected",
    requestTraces: [allowlist],
  }),
  "A tunnel": auditRecord({
    ...none,
    host: "api.example.com:443",
    method: "CONNECT",
    bytesIn: 164,
    bytesOut: 39,
    requestTraces: [allowlist],
  }),
  "A connection without a request": auditRecord({
    ...none,
    host: "",
    sni: "",
    action: "reject",
    status: 400,
    bytesIn: 97,
    bytesOut: 488,
    reason: "malformed_request",
    error: "The request has both Content-Length and Transfer-Encoding.",
  }),
  "Refused names": auditRecord({
    ...none,
    host: "other.example",
    method: "DNS",
    sni: "",
    action: "reject",
    status: 0,
    reason: "host_not_allowed",
    rejectedBy: "allowlist",
  }),
  "A passed-through connection": auditRecord({
    ...none,
    mode: "sni-only",
    durationMs: 60412.7,
    bytesIn: 5120,
    bytesOut: 918273,
    upstreamAddress: "203.0.113.8:443",
    requestTraces: [allowlist],
  }),
  "A captured body": auditRecord({
    method: "POST",
    bytesIn: 1840,
    tls: { client: "TLSv1.3", upstream: "TLSv1.3" },
    http: { client: "1.1", upstream: "1.1" },
    requestTraces: [{ name: "body_capture", action: "allow", durationMs: 0.03 }],
    bodyCapture: { request_body: '{"model":"m","stream":true', request_body_truncated: true },
  }),
};

for (const [heading, record] of Object.entries(examples)) {
  test(`docs/audit.md shows under "${heading}" what the proxy writes`, () => {
    const example = new RegExp(`^### ${heading}\n[^]*?\`\`\`json\n([^]*?)\`\`\``, "m").exec(page)?.[1];
    assert.ok(example !== undefined, `no example under ${heading}`);
    const written: unknown = JSON.parse(serializeRecord(record));
    // Through text, so that the order of the keys counts as well.
    assert.equal(JSON.stringify(JSON.parse(example), undefined, 1), JSON.stringify(written, undefined, 1));
  });
}

test("docs/audit.md has no example that is not checked", () => {
  assert.equal(page.match(/```json\n/g)?.length, Object.keys(examples).length);
});

test("docs/audit.md explains every field that can be written, and no other", () => {
  const trace = { ...allowlist, error: "e", annotations: { key: "value" } };
  const everything: Required<AuditRecord> = {
    ...auditRecord(),
    reason: "internal_error",
    rejectedBy: "a",
    stubbedBy: "b",
    error: "c",
    caller: "d",
    upstreamAddress: "f",
    reused: false,
    tls: { client: "g", upstream: "h" },
    http: { client: "k", upstream: "l" },
    tunnel: { target: "i", traces: [trace] },
    requestTraces: [trace],
    responseTraces: [trace],
    bodyCapture: { request_body: "j", request_body_truncated: false },
  };
  const written = fieldPaths(JSON.parse(serializeRecord(everything)));
  const explained = [...page.matchAll(/^\| `([a-z_.[\]]+)` \|/gm)].map(([, path = ""]) => path);
  assert.deepEqual([...new Set(explained)].toSorted(), [...written].toSorted());
});

/** Dotted names of all fields; those of traces once, under `trace`, and what stands in annotations not at all. */
function fieldPaths(value: object, prefix = ""): Set<string> {
  const paths = new Set<string>();
  for (const [key, inner] of Object.entries(value) as [string, unknown][]) {
    paths.add(prefix + key);
    if (Array.isArray(inner)) for (const path of fieldPaths(inner[0] as object, "trace.")) paths.add(path);
    else if (typeof inner === "object" && inner !== null && key !== "annotations") {
      for (const path of fieldPaths(inner, `${prefix}${key}.`)) paths.add(path);
    }
  }
  return paths;
}
