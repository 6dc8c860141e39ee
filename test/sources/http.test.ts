import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { networkProblem, retryAfter } from "../../src/sources/http.ts";

describe("Retry-After (RFC 9110 section 10.2.3)", () => {
  const now = Date.UTC(2026, 0, 1, 12, 0, 0);
  const cases: readonly [field: string | undefined, ms: number | undefined][] = [
    [undefined, undefined],
    ["", undefined],
    ["120", 120_000],
    ["0", 0],
    [" 5 ", 5000],
    ["-5", 0], // read as a date long ago, which is harmless
    ["1.5e9x", undefined],
    ["Thu, 01 Jan 2026 12:01:30 GMT", 90_000],
    ["Thu, 01 Jan 2026 11:00:00 GMT", 0],
    ["soon", undefined],
  ];
  for (const [field, ms] of cases) {
    test(`${field} is ${ms} ms`, () => assert.equal(retryAfter(field, now), ms));
  }
});

describe("network errors are told by their code alone (I14)", () => {
  const withCode = (code: unknown) => Object.assign(new Error("canary 10.0.0.1"), { code });
  for (const [error, told] of [
    [withCode("ECONNREFUSED"), "connection refused (ECONNREFUSED)"],
    [
      withCode("SELF_SIGNED_CERT_IN_CHAIN"),
      "the TLS certificate was not accepted (SELF_SIGNED_CERT_IN_CHAIN)",
    ],
    [withCode("EPROTO"), "EPROTO"],
    [Object.assign(new Error("canary"), { reason: "upstream_connect_failed" }), "connection refused"],
    [Object.assign(new Error("canary"), { reason: "canary" }), undefined],
    [withCode("canary"), undefined],
    [withCode(5), undefined],
    [new Error("canary"), undefined],
    ["canary", undefined],
  ] as const) {
    test(`${told}`, () => assert.equal(networkProblem(error), told));
  }
});
