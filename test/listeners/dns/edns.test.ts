import assert from "node:assert/strict";
import { test } from "node:test";
import type { OptAnswer } from "dns-packet";
import { ask, start, tcp } from "./kit.ts";

const records = Array.from(
  { length: 80 },
  (_, index) => `  - {name: many.test, type: A, value: 192.0.2.${index}}`,
);
const kit = await start(`proxy_ip: 192.0.2.1\nrecords:\n${records.join("\n")}`);

const sizes: readonly (readonly [what: string, edns: number | undefined, limit: number])[] = [
  ["512 bytes for clients without EDNS", undefined, 512],
  ["512 bytes for clients that say less", 100, 512],
  ["what the client says", 700, 700],
  ["1232 bytes for clients that say more", 65_535, 1232],
];

for (const [what, edns, limit] of sizes) {
  test(`I12: over UDP an answer has at most ${what}; a larger one says that it is cut`, async () => {
    const answer = await ask(kit, { name: "many.test", ...(edns === undefined ? {} : { edns }) });
    assert.ok(answer.raw.length <= limit);
    assert.equal(answer.truncated, true);
    assert.deepEqual(answer.answers, []);
  });
}

test("over TCP it comes whole", async () => {
  const client = await tcp(kit);
  const answer = await client.ask({ name: "many.test" });
  assert.equal(answer.answers.length, 80);
  assert.equal(answer.truncated, false);
  client.socket.destroy();
});

test("an OPT record is answered with one, its DO bit as the client sent it", async () => {
  for (const dnssec of [true, false]) {
    const { message } = await ask(kit, { name: "a.test", edns: 4096, dnssec });
    const opt = message.additionals?.[0] as OptAnswer;
    assert.equal(opt.type, "OPT");
    assert.equal(opt.udpPayloadSize, 1232);
    assert.equal(opt.flag_do, dnssec);
  }
  assert.deepEqual((await ask(kit, { name: "a.test" })).message.additionals, []);
});
