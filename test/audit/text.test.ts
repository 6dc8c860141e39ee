import assert from "node:assert/strict";
import { test } from "node:test";
import { describeRecord } from "../../src/audit/text.ts";
import { paint, plain } from "../../src/log/terminal.ts";
import type { AuditRecord } from "../../src/audit/types.ts";
import { auditRecord } from "./records.ts";

const time = new Date(2026, 10, 22, 6, 13, 5, 42).getTime();
const swapped = [{ secret: "GITHUB_TOKEN", locations: ["header:Authorization"] }];

const rows: readonly { title: string; record: Partial<AuditRecord>; line: string }[] = [
  {
    title: "an allowed request with the credential that was swapped in",
    record: {
      requestTraces: [{ name: "secrets", action: "allow", durationMs: 0.1, annotations: { swapped } }],
    },
    line: "06:13:05.042 allow  200 GET api.example.com/v1/items 12 ms credentials: GITHUB_TOKEN",
  },
  {
    title: "a mechanism that notes only places, by its name",
    record: {
      requestTraces: [
        {
          name: "aws_auth",
          action: "allow",
          durationMs: 0.1,
          annotations: { injected: ["header:Authorization"] },
        },
      ],
    },
    line: "06:13:05.042 allow  200 GET api.example.com/v1/items 12 ms credentials: aws_auth",
  },
  {
    title: "a refusal with its reason and the caller",
    record: { action: "reject", status: 403, reason: "host_not_allowed", caller: "ci-7" },
    line: "06:13:05.042 reject 403 GET api.example.com/v1/items host_not_allowed 12 ms caller=ci-7",
  },
  {
    title: "a failure with its text",
    record: { action: "error", status: 502, reason: "upstream_connect_failed", error: "connection refused" },
    line: "06:13:05.042 error  502 GET api.example.com/v1/items upstream_connect_failed connection refused 12 ms",
  },
  {
    title: "a connection without a name, by the peer's address",
    record: {
      action: "error",
      status: 0,
      host: "",
      sni: "",
      method: "",
      path: "",
      reason: "tls_name_missing",
    },
    line: "06:13:05.042 error  --- 10.0.0.7:51724 tls_name_missing 12 ms",
  },
  {
    title: "a path that would write on the terminal, escaped",
    record: { path: "/\u001b[2J\n\u009b1m" },
    line: "06:13:05.042 allow  200 GET api.example.com/\\u001b[2J\\u000a\\u009b1m 12 ms",
  },
];

for (const { title, record, line } of rows) {
  test(`one line for ${title}`, () => {
    assert.equal(describeRecord(auditRecord({ time, ...record }), plain), line);
  });
}

test("colours change nothing but the colours", () => {
  const record = auditRecord({ action: "reject", status: 403, reason: "host_not_allowed" });
  const coloured = describeRecord(record, paint);
  assert.notEqual(coloured, describeRecord(record, plain));
  assert.equal(coloured.replaceAll(/\u001b\[\d+m/g, ""), describeRecord(record, plain));
});
