import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { createAuditSink } from "../../src/audit/sink.ts";
import { serializeRecord } from "../../src/audit/serialize.ts";
import { LineWriter } from "../../src/log/lines.ts";
import { eventually, temporaryDirectory } from "../log/support.ts";
import { auditRecord } from "./records.ts";

/** A sink on a disk that is full until `free` is called. */
function fullDisk(t: TestContext, onFailure: "report" | "deny") {
  const file = join(temporaryDirectory(t), "audit");
  fs.symlinkSync("/dev/full", file);
  const problems: string[] = [];
  const recoveries: string[] = [];
  const stream = new LineWriter({ file }, { retryMs: 20, maxWaiting: 1000 });
  const sink = createAuditSink({
    file,
    onFailure,
    format: "json",
    stream,
    onProblem: (message) => problems.push(message),
    onRecovery: (message) => recoveries.push(message),
  });
  t.after(() => sink.close());
  const free = (): void => {
    fs.unlinkSync(file);
    sink.reopen();
  };
  return { sink, file, problems, recoveries, free };
}

test("records are appended to the file as lines of JSON, whatever the format for terminals", async (t) => {
  const file = join(temporaryDirectory(t), "audit");
  const sink = createAuditSink({ file, onFailure: "report", format: "text", onProblem: assert.fail });
  const records = [auditRecord(), auditRecord({ action: "reject", reason: "host_not_allowed", status: 403 })];
  for (const record of records) sink.write(record);
  await sink.close();
  assert.equal(
    fs.readFileSync(file, "utf8"),
    records.map((record) => `${serializeRecord(record)}\n`).join(""),
  );
});

test("a file that cannot be opened is named with the key and the reason", (t) => {
  const file = join(temporaryDirectory(t), "missing/audit");
  assert.throws(
    () => createAuditSink({ file, onFailure: "report", format: "json", onProblem: assert.fail }),
    { message: new RegExp(`^audit\\.file: cannot open ${file} for appending: ENOENT`) },
  );
});

test("I13: with audit.on_failure report an outage is said once and traffic goes on", async (t) => {
  const { sink, problems, recoveries, free, file } = fullDisk(t, "report");
  sink.write(auditRecord());
  await eventually(() => problems.length === 1);
  assert.match(problems[0] ?? "", /cannot be written to audit\.file .*ENOSPC.*traffic goes on/);
  assert.equal(sink.healthy, true);
  for (let n = 0; n < 10; n++) sink.write(auditRecord());
  assert.ok(sink.lost > 0 && sink.lost < 11);
  free();
  await eventually(() => recoveries.length === 1);
  assert.match(recoveries[0] ?? "", new RegExp(`; ${sink.lost} were lost$`));
  await sink.close();
  assert.equal(problems.length, 1);
  assert.equal(fs.readFileSync(file, "utf8").trimEnd().split("\n").length + sink.lost, 11);
});

test("I13: with audit.on_failure deny the sink is unhealthy until records are written again", async (t) => {
  const { sink, problems, free } = fullDisk(t, "deny");
  assert.equal(sink.healthy, true);
  sink.write(auditRecord());
  await eventually(() => !sink.healthy);
  assert.match(problems[0] ?? "", /All traffic is refused/);
  free();
  await eventually(() => sink.healthy);
});

test("I13: records that cannot be written before the end are counted and said", async (t) => {
  const { sink, problems } = fullDisk(t, "report");
  sink.write(auditRecord());
  await eventually(() => problems.length === 1);
  await sink.close();
  assert.equal(sink.lost, 1);
  assert.match(problems[1] ?? "", /^1 audit records could not be written to audit\.file .* and are lost$/);
});
