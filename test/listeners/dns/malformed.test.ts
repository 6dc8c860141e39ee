import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { ask, framed, query, queryId, start, tcp, udp } from "./kit.ts";

const kit = await start("proxy_ip: 192.0.2.1");
const good = query({ name: "a.test", edns: 1232 });
const bare = query({ name: "a.test" });

/** A copy with a 16-bit number of the header replaced. */
function withWord(message: Buffer, at: number, value: number): Buffer {
  const copy = Buffer.from(message);
  copy.writeUInt16BE(value, at);
  return copy;
}

const formatErrors: readonly (readonly [what: string, message: Buffer])[] = [
  ["no question", withWord(bare, 4, 0)],
  ["two questions", withWord(bare, 4, 2)],
  ["an answer section", withWord(bare, 6, 1)],
  ["an authority section", withWord(bare, 8, 1)],
  ["a header alone", bare.subarray(0, 12)],
  ["a cut name", bare.subarray(0, 14)],
  ["a cut question", bare.subarray(0, bare.length - 1)],
  ["bytes behind the end", Buffer.concat([bare, Buffer.of(0)])],
  ["an additional record that is not there", withWord(bare, 10, 1)],
  ["a pointer in the question", Buffer.concat([bare.subarray(0, 12), Buffer.of(0xc0, 12, 0, 1, 0, 1)])],
  ["a label of a reserved kind", Buffer.concat([bare.subarray(0, 12), Buffer.of(0x41, 0, 0, 1, 0, 1)])],
  ["a name of more than 255 bytes", longName()],
  ["two OPT records", withWord(Buffer.concat([good, good.subarray(-11)]), 10, 2)],
  ["a question for OPT", withWord(bare, bare.length - 4, 41)],
];

function longName(): Buffer {
  const labels = Array.from({ length: 5 }, () => Buffer.concat([Buffer.of(60), Buffer.alloc(60, "a")]));
  return Buffer.concat([bare.subarray(0, 12), ...labels, Buffer.of(0, 0, 1, 0, 1)]);
}

for (const [what, message] of formatErrors) {
  test(`${what} is a format error`, async () => {
    const answer = (await udp(kit, message)) as Buffer;
    assert.equal(answer.readUInt16BE(0), queryId);
    assert.equal(answer.readUInt16BE(2) & 0x800f, 0x8001);
    assert.ok(answer.length <= message.length + 11, "no larger than the question");
  });
}

test("opcodes other than QUERY are not implemented", async () => {
  for (const opcode of [1, 2, 4, 5, 15]) {
    const answer = (await udp(kit, withWord(bare, 2, (opcode << 11) | 0x0100))) as Buffer;
    assert.equal(answer.readUInt16BE(2) & 0x780f, (opcode << 11) | 4);
  }
});

test("a version of EDNS that there is not yet is answered BADVERS", async () => {
  const message = Buffer.from(good);
  message[message.length - 5] = 1;
  const answer = (await udp(kit, message)) as Buffer;
  assert.equal(answer.readUInt16BE(2) & 0xf, 0);
  assert.equal(answer[answer.length - 6], 1, "the upper bits of 16");
});

test("attack 17: what is no query is not answered, so that two servers cannot talk for ever", async () => {
  assert.equal(await udp(kit, withWord(bare, 2, 0x8180), 100), undefined);
  assert.equal(await udp(kit, bare.subarray(0, 11), 100), undefined);
  assert.equal(await udp(kit, Buffer.alloc(0), 100), undefined);
});

test("over TCP several questions of one segment, and one in pieces, are answered", async () => {
  const client = await tcp(kit);
  client.socket.write(Buffer.concat([framed(bare), framed(good)]));
  assert.equal(((await client.next()) as Buffer).length, bare.length + 16);
  await client.next();
  for (const byte of framed(bare)) {
    client.socket.write(Buffer.of(byte));
    await new Promise(setImmediate);
  }
  assert.equal(((await client.next()) as Buffer).length, bare.length + 16);
  client.socket.destroy();
});

test("I12: a query over TCP of more than 4096 bytes ends the connection", async () => {
  const client = await tcp(kit);
  client.socket.write(Buffer.of(0x10, 0x01));
  await once(client.socket, "close");
});

test("I12: a query over TCP that trickles in ends the connection after ten seconds", async (t) => {
  const client = await tcp(kit);
  client.socket.write(framed(good).subarray(0, 5));
  await new Promise((resolve) => setTimeout(resolve, 20));
  const now = performance.now.bind(performance);
  t.mock.method(performance, "now", () => now() + 10_001);
  client.socket.write(framed(good).subarray(5, 6));
  await once(client.socket, "close");
});

/** Clients of Linux, which has all of 127.0.0.0/8. */
const many = { skip: process.platform === "linux" ? false : "needs several addresses of loopback" };

test("I12: a client has 32 connections over TCP, and others have theirs", many, async () => {
  const clients = await Promise.all(Array.from({ length: 32 }, () => tcp(kit, "127.0.0.5")));
  await clients[31]?.ask({ name: "a.test" });
  assert.equal(await (await tcp(kit, "127.0.0.5")).next(), undefined);
  const other = await tcp(kit, "127.0.0.6");
  assert.equal((await other.ask({ name: "a.test" })).rcode, "NOERROR");
  for (const { socket } of [...clients, other]) socket.destroy();
});

test("I12: connections over TCP beyond 128 are closed, and UDP goes on", many, async () => {
  const clients = await Promise.all(
    Array.from({ length: 128 }, (_, index) => tcp(kit, `127.0.1.${1 + (index % 8)}`)),
  );
  await clients[127]?.ask({ name: "a.test" });
  const late = await tcp(kit, "127.0.1.100");
  assert.equal(await late.next(), undefined);
  assert.equal((await ask(kit, { name: "a.test" })).rcode, "NOERROR");
  for (const { socket } of clients) socket.destroy();
});
