// A request that is answered while its body is still on its way.
import assert from "node:assert/strict";
import { test } from "node:test";
import { answerText, eventually, frame, type RawClient, rawClient, serve, uint32 } from "./kit.ts";

/** A request whose body of so many bytes is still on its way when it is answered. */
const upload = (
  client: RawClient,
  stream: number,
  length: number,
  more: readonly (readonly [string, string])[] = [],
) =>
  client.headers(stream, {
    method: "POST",
    end: false,
    fields: [["content-length", String(length)], ...more],
  });

for (const text of ["no", ""]) {
  test(`a short announced body may arrive after its answer of ${text.length} bytes, as curl sends it`, async (t) => {
    const served = await serve(t, (incoming) => answerText(incoming, text, 403));
    const client = rawClient(served);
    client.send(upload(client, 1, 10));
    await client.fields(1);
    client.send(client.headers(3));
    assert.equal((await client.fields(3))[":status"], "403");
    assert.equal(served.connection.session.streams.size, 1, "the first still counts");
    client.send(
      frame(0, 0, 1, Buffer.from("12345")),
      frame(0, 1, 1, Buffer.from("67890")),
      client.headers(5),
    );
    await client.fields(5);
    assert.equal(served.connection.session.streams.size, 0);
    const resets = client.frames.filter(({ type }) => type === 3);
    assert.deepEqual(resets, [], "no stream was reset");
  });
}

test("I12: what arrives after answers opens the windows again", async (t) => {
  const served = await serve(t, (incoming) => answerText(incoming, "no", 403));
  const client = rawClient(served);
  const piece = Buffer.alloc(16_000);
  // More than the window of the connection in all.
  for (let stream = 1; stream < 80; stream += 2) {
    client.send(upload(client, stream, 48_000));
    await client.fields(stream);
    for (const end of [0, 0, 1]) client.send(frame(0, end, stream, piece));
  }
  await eventually("all are over", () => served.connection.session.streams.size === 0);
  const opened = client.frames.filter(({ type, stream }) => type === 8 && stream === 0).length;
  assert.ok(opened >= 3, `the connection's window was opened ${opened} times`);
  assert.ok(!client.frames.some(({ type }) => type === 3 || type === 7));
});

const notWaitedFor: readonly [name: string, length: number, more: readonly [string, string][]][] = [
  ["a long body", 65_537, []],
  ["a body that waits to be asked for", 10, [["expect", "100-continue"]]],
];
for (const [name, length, more] of notWaitedFor) {
  test(`${name} is not waited for once it is answered`, async (t) => {
    const served = await serve(t, (incoming) => answerText(incoming, "no", 403));
    const client = rawClient(served);
    client.send(upload(client, 1, length, more));
    await client.fields(1);
    assert.equal(await client.reset(1), 0, "NO_ERROR");
    assert.equal(served.connection.session.streams.size, 0);
  });
}

test("I12: a short body that never comes after its answer is waited for no longer than any body", async (t) => {
  const served = await serve(t, (incoming) => answerText(incoming, "no", 403), { bodyMs: 50 });
  const client = rawClient(served);
  client.send(upload(client, 1, 10));
  await client.fields(1);
  assert.equal(await client.reset(1), 0, "NO_ERROR");
  assert.equal(served.connection.session.streams.size, 0);
});

test("I9: a body that is longer than it said is a fault after the answer too", async (t) => {
  const served = await serve(t, (incoming) => answerText(incoming, "no", 403));
  const client = rawClient(served);
  client.send(upload(client, 1, 10));
  await client.fields(1);
  client.send(frame(0, 0, 1, Buffer.from("more than ten bytes")));
  assert.equal(await client.reset(1), 1, "PROTOCOL_ERROR");
  assert.equal(served.connection.session.streams.size, 0);
});

test("a client that resets a stream whose answer it has does no harm", async (t) => {
  const served = await serve(t, (incoming) => answerText(incoming, "no", 403));
  const client = rawClient(served);
  client.send(upload(client, 1, 10));
  await client.fields(1);
  client.send(frame(3, 0, 1, uint32(8)), client.headers(3));
  await client.fields(3);
  assert.equal(served.connection.session.streams.size, 0);
});
