import assert from "node:assert/strict";
import { test } from "node:test";
import { findingLine } from "../../src/audit/finding.ts";
import { Findings } from "../../src/findings/findings.ts";
import { KnownValues } from "../../src/findings/known-values.ts";
import type { FindingRecord } from "../../src/findings/types.ts";
import { Watch } from "../../src/findings/watch.ts";
import type { PlaceholderUse } from "../../src/pipeline/types.ts";
import { fakeExchange, type FakeRequest } from "../helpers/exchange.ts";
import { sound } from "../pipeline/rules-support.ts";

const use = (
  placeholder: string,
  host = "api.example.com",
  more: Partial<PlaceholderUse> = {},
): PlaceholderUse => ({
  secret: "KEY",
  placeholder,
  rules: sound([{ host }]),
  inHeader: (key) => key === "authorization",
  inQuery: false,
  inPath: false,
  inBody: false,
  onMisuse: undefined,
  maxOccurrences: undefined,
  ...more,
});

function setUp(uses: readonly PlaceholderUse[], values: readonly string[] = []) {
  const known = new KnownValues();
  const watch = new Watch(uses, known);
  for (const [index, value] of values.entries())
    known.learn({ value, name: `VALUE_${index}`, replacement: "" });
  const records: FindingRecord[] = [];
  let now = 0;
  const audit = {
    write() {},
    writeFinding: (record: FindingRecord) => void records.push(record),
    healthy: true,
    reopen() {},
    close: async () => {},
  };
  const findings = new Findings(known, { audit, watch: () => watch, post() {}, now: () => now });
  return {
    findings,
    records,
    known,
    wait: (seconds: number) => void (now += seconds * 1000),
    send(request: FakeRequest) {
      const decision = findings.inspect(fakeExchange(request))?.settle(undefined);
      return decision?.verdict.kind === "reject" ? decision.verdict.reason : undefined;
    },
  };
}

test("an entry that is not for a host has no veto over one that is", () => {
  const { send } = setUp([use("placeholder-1", "a.test"), use("placeholder-1", "b.test")]);
  const headers = [["Authorization", "Bearer placeholder-1"]] as const;
  assert.equal(send({ url: "https://a.test/", headers }), undefined);
  assert.equal(send({ url: "https://b.test/", headers }), undefined);
  assert.equal(send({ url: "https://c.test/", headers }), "placeholder_misused");
});

test("nothing is looked for where nothing is long enough", () => {
  const { findings } = setUp([use("short")], ["tiny"]);
  assert.equal(findings.inspect(fakeExchange()), undefined);
});

test("a real value that is inside a placeholder, or is one, is that placeholder", () => {
  const headers = [["Authorization", "Bearer sk-test-0123456789"]] as const;
  assert.equal(setUp([use("sk-test-0123456789")], ["test-0123"]).send({ headers }), undefined);
  assert.equal(setUp([use("sk-test-0123456789")], ["sk-test-0123"]).send({ headers }), undefined);
  assert.equal(setUp([use("sk-test-0123456789")], ["sk-test-0123456789"]).send({ headers }), undefined);
});

test("the value before the last is still one, the one before that is not", () => {
  const { send, known } = setUp([]);
  for (const value of ["first-value", "second-value", "third-value"]) {
    known.learn({ value, name: "KEY", replacement: "" });
  }
  const sent = (value: string) => send({ headers: [["X-A", value]] });
  assert.equal(sent("first-value"), undefined);
  assert.equal(sent("second-value"), "credential_in_request");
  assert.equal(sent("third-value"), "credential_in_request");
});

test("what is only reported has a record a minute, with how often it was found since; what is blocked has one each", () => {
  const { send, records, wait, findings } = setUp([
    use("placeholder-1", undefined, { onMisuse: "report" }),
    use("placeholder-2"),
  ]);
  const other = (placeholder: string) => send({ headers: [["X-Other", placeholder]] });
  for (let time = 0; time < 5; time++) assert.equal(other("placeholder-1"), undefined);
  wait(61);
  other("placeholder-1");
  other("placeholder-2");
  other("placeholder-2");
  assert.deepEqual(
    records.map(({ action, repeated }) => [action, repeated]),
    [
      ["reported", 0],
      ["reported", 4],
      ["blocked", 0],
      ["blocked", 0],
    ],
  );
  assert.deepEqual(findings.counts, [
    { kind: "placeholder_wrong_place", action: "reported", count: 6 },
    { kind: "placeholder_wrong_place", action: "blocked", count: 2 },
  ]);
});

test("a request that is refused by policy or answered here is not refused again", () => {
  const { findings, records } = setUp([use("placeholder-1")], ["a-real-value"]);
  const settle = (value: string, verdict: { kind: "stub" } | { kind: "reject" }) => {
    const exchange = fakeExchange({ headers: [["X-Other", value]] });
    const response = { status: 200, headers: [], body: "" };
    const decision =
      verdict.kind === "stub"
        ? ({ verdict: { kind: "stub", response }, by: "x" } as const)
        : ({ verdict: { kind: "reject", status: 403, reason: "host_not_allowed" }, by: "x" } as const);
    return findings.inspect(exchange)?.settle(decision)?.by;
  };
  assert.equal(settle("placeholder-1", { kind: "reject" }), "x");
  assert.equal(settle("placeholder-1", { kind: "stub" }), "x");
  assert.equal(settle("a-real-value", { kind: "stub" }), "findings");
  assert.deepEqual(
    records.map(({ action }) => action),
    ["blocked", "reported", "blocked"],
  );
});

test("I14: a record names the credential and shows neither its value nor its placeholder", () => {
  const { send, records } = setUp([use("placeholder-1")], ["a-real-value"]);
  send({ url: "https://c.test/?q=placeholder-1", headers: [["X-A", "a-real-value"]] });
  const lines = records.map(findingLine).join("");
  assert.equal(lines.trimEnd().split("\n").length, 2);
  assert.doesNotMatch(lines, /placeholder-1|a-real-value/);
  const [first] = lines.split("\n").map((line) => JSON.parse(line || "{}") as Record<string, object>);
  assert.deepEqual(first?.["finding"], {
    kind: "placeholder_wrong_host",
    action: "blocked",
    secret: "KEY",
    where: "query",
    count: 1,
    host: "c.test",
    method: "GET",
    remote_addr: "127.0.0.1:1",
    request_id: "test",
  });
});

test("a credential is known however long its head is", () => {
  const { send } = setUp([], ["a-real-value"]);
  const headers = Array.from({ length: 50 }, (_, index) => [`X-${index}`, "x".repeat(1000)] as const);
  assert.equal(send({ headers: [...headers, ["X-Last", "a-real-value"]] }), "credential_in_request");
  assert.equal(send({ headers }), undefined, "nothing is left of the request before");
});
