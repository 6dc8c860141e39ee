import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import type { AuditRecord } from "../../src/audit/types.ts";
import { AuditLink } from "../../src/workers/audit-link.ts";
import type { AuditBatch } from "../../src/workers/messages.ts";

function recordOf(requestId: string): AuditRecord {
  return {
    time: 0,
    requestId,
    host: "api.example.com",
    method: "GET",
    path: "/",
    remoteAddress: "127.0.0.1:1",
    sni: "",
    mode: "mitm",
    action: "allow",
    status: 200,
    durationMs: 1,
    bytesIn: 1,
    bytesOut: 1,
    requestTraces: [],
    responseTraces: [],
  };
}

/** A link whose batches are copied as a channel does, and leave when the test lets them. */
function setUp(more: { withRecords?: boolean } = {}) {
  const batches: AuditBatch[] = [];
  const pending: (() => void)[] = [];
  const link = new AuditLink({
    send(batch, sent) {
      batches.push(structuredClone(batch));
      pending.push(sent);
    },
    format: "json",
    withRecords: false,
    healthy: true,
    ...more,
  });
  return { link, batches, leave: () => pending.splice(0).forEach((sent) => sent()) };
}

const idsIn = ({ bytes }: AuditBatch): string[] =>
  [
    ...Buffer.from(bytes)
      .toString()
      .matchAll(/"request_id":"([^"]+)"/g),
  ].map(([, id]) => id as string);

test("sends whole lines in batches", async () => {
  const { link, batches } = setUp();
  link.write(recordOf("a"));
  link.write(recordOf("b"));
  await pause(30);
  assert.equal(batches.length, 1);
  const [batch] = batches as [AuditBatch];
  assert.deepEqual([batch.lines, idsIn(batch)], [2, ["a", "b"]]);
  assert.ok(Buffer.from(batch.bytes).toString().endsWith("}\n"));
  assert.deepEqual(batch.records, []);
});

test("I13: an exchange that outlives a batch is told of, and then that it has ended", async () => {
  const { link, batches } = setUp();
  link.begin("short", () => assert.fail("its record is there by the time of the batch"));
  link.write(recordOf("short"));
  link.begin("long", () => recordOf("long"));
  await pause(30);
  assert.deepEqual(
    batches[0]?.begun.map(({ requestId }) => requestId),
    ["long"],
  );
  link.write(recordOf("long"));
  await pause(30);
  assert.deepEqual(batches[1]?.ended, ["long"]);
  assert.deepEqual(batches[1]?.begun, []);
});

test("records go as objects too where they are exported", async () => {
  const { link, batches } = setUp({ withRecords: true });
  link.write(recordOf("a"));
  link.flushSync();
  assert.deepEqual(batches[0]?.records, [recordOf("a")]);
});

test("errands go with the records, once each", async () => {
  const { link, batches } = setUp();
  const errand = { name: "finding", item: { kind: "placeholder_repeated" } };
  link.sendErrand(errand);
  await pause(30);
  link.write(recordOf("a"));
  await pause(30);
  assert.deepEqual(
    batches.map(({ errands, lines }) => [errands, lines]),
    [
      [[errand], 0],
      [[], 1],
    ],
  );
});

test("I12: errands that nobody takes do not pile up either", () => {
  const { link, batches, leave } = setUp();
  for (let count = 0; count < 20_000; count++) link.sendErrand({ name: "finding", item: count });
  link.flushSync();
  const sent = batches.reduce((sum, { errands }) => sum + errands.length, 0);
  assert.ok(link.lost > 0);
  assert.equal(sent + link.lost, 20_000);
  leave();
  assert.equal(link.waitingBytes, 0);
});

test("I12: what nobody takes does not pile up, and is counted", () => {
  const { link, batches, leave } = setUp();
  for (let count = 0; count < 60_000; count++) link.write(recordOf(`id-${count}`));
  assert.ok(link.lost > 0);
  assert.equal(link.written + link.lost, 60_000);
  assert.ok(link.waitingBytes < 9 * 1024 * 1024);
  leave();
  const { lost } = link;
  link.write(recordOf("later"));
  link.flushSync();
  assert.equal(link.lost, lost, "it takes records again");
  assert.equal(
    batches.reduce((sum, { lines }) => sum + lines, 0),
    link.written,
  );
});

test("its end waits until everything has left", async () => {
  const { link, leave } = setUp();
  link.write(recordOf("a"));
  let over = false;
  const closed = link.close().then(() => {
    over = true;
  });
  await pause(5);
  assert.equal(over, false);
  leave();
  await closed;
});
