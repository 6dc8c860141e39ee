// What went out does not come back over HTTP/2 and in gRPC either: fields, trailers, bodies, events and messages of both ends.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { exchange, openH2, serveH2 } from "./h2-support.ts";
import { eventually, within } from "./harness/wait.ts";
import { allowlist, openWorld, placeholder, secrets, swap } from "./harness/world.ts";

const world = await openWorld();
const { port, scripts } = await serveH2(world);
const authority = `api.e2e.test:${port}`;
const { credential } = world;
const proxy = await world.another("scrub-h2", {
  config: () => ({
    transforms: [
      allowlist([{ host: "api.e2e.test:*" }]),
      secrets([swap("E2E_KEY", placeholder, [authority])]),
    ],
  }),
});
const client = await openH2(world, authority, proxy);
const auth = { authorization: `Bearer ${placeholder}` };
const base64 = (text: string) => Buffer.from(text).toString("base64");
/** What stands for the credential where lengths count. */
const fitted = placeholder.slice(0, credential.length).padEnd(credential.length, "*");

/** A message with its length before it. */
function message(text: string, flags = 0): Buffer {
  const prefix = Buffer.from([flags, 0, 0, 0, 0]);
  prefix.writeUInt32BE(Buffer.byteLength(text), 1);
  return Buffer.concat([prefix, Buffer.from(text)]);
}

function textsOf(body: Buffer): string[] {
  const texts: string[] = [];
  for (let at = 0; at < body.length; ) {
    const end = at + 5 + body.readUInt32BE(at + 1);
    assert.ok(end <= body.length, "whole messages");
    texts.push(body.toString("utf8", at + 5, end));
    at = end;
  }
  return texts;
}

function onPath(path: string, script: (stream: ServerHttp2Stream, got: string) => void): void {
  scripts.set(path, (stream, headers) => script(stream, String(headers.authorization)));
}

test("attack 40 attack 45: an echo in interim and final fields, body and trailers comes back with the placeholder", async () => {
  onPath("/echo", (stream, got) => {
    assert.equal(got, `Bearer ${credential}`);
    stream.additionalHeaders({ ":status": 103, link: `<https://x.test/?k=${encodeURIComponent(got)}>` });
    stream.respond(
      {
        ":status": 200,
        "x-echo": base64(got),
        location: `/?t=${encodeURIComponent(got)}`,
        "content-type": "text/plain",
      },
      { waitForTrailers: true },
    );
    stream.on("wantTrailers", () => stream.sendTrailers({ "x-end": Buffer.from(got).toString("hex") }));
    const body = `got ${got}!`;
    for (const letter of body.slice(0, -1)) stream.write(letter);
    stream.end("!");
  });
  const interims: IncomingHttpHeaders[] = [];
  const stream = client.session.request({ ":path": "/echo", ...auth });
  stream.on("headers", (fields) => interims.push(fields));
  let trailers: IncomingHttpHeaders = {};
  stream.on("trailers", (fields) => {
    trailers = fields;
  });
  const [head] = (await within("a response", once(stream, "response"))) as [IncomingHttpHeaders];
  const body = Buffer.concat((await within("a body", stream.toArray())) as Buffer[]).toString();
  const sent = `Bearer ${placeholder}`;
  assert.ok(String(interims[0]?.["link"]).includes(encodeURIComponent(sent)));
  assert.equal(Buffer.from(String(head["x-echo"]), "base64").toString(), sent);
  assert.equal(head.location, `/?t=${encodeURIComponent(sent)}`);
  assert.equal(body, `got ${sent}!`);
  assert.equal(trailers["x-end"], Buffer.from(sent).toString("hex"));
});

test("events arrive as they are sent, scrubbed", async () => {
  onPath("/events", (stream, got) => {
    stream.respond({ ":status": 200, "content-type": "text/event-stream" });
    stream.write(`data: ${got}\n\n`);
    stream.write(`data: ends with ${credential.slice(0, 9)}\n\n`);
    stream.on("close", () => stream.destroy());
  });
  const stream = client.session.request({ ":path": "/events", ...auth });
  let text = "";
  stream.on("data", (bytes: Buffer) => (text += bytes.toString()));
  await eventually("both events", () => text.split("\n\n").length === 3);
  assert.equal(text, `data: Bearer ${placeholder}\n\ndata: ends with ${credential.slice(0, 9)}\n\n`);
  stream.close();
});

for (const type of [
  "application/grpc",
  "application/grpc+json",
  "application/grpc-web+proto",
  "application/connect+json",
]) {
  test(`${type}: messages come back scrubbed and as long as they were, each as soon as it is complete`, async () => {
    const begun = `ends with ${credential.slice(0, 9)}`;
    onPath("/messages", (stream, got) => {
      stream.respond({ ":status": 200, "content-type": type, "x-initial": got }, { waitForTrailers: true });
      stream.on("wantTrailers", () =>
        stream.sendTrailers({ "grpc-status": "9", "grpc-message": encodeURIComponent(`not for ${got}`) }),
      );
      stream.write(message(`you sent ${got}.`));
      const whole = message(`${"-".repeat(100)}${base64(got)}`);
      for (let at = 0; at < whole.length; at += 7) stream.write(whole.subarray(at, at + 7));
      stream.write(message(begun));
      stream.on("data", (bytes: Buffer) => {
        if (bytes.includes("go on")) stream.end(message(`grpc-message: ${got}\r\n`, 0x80));
      });
    });
    const stream = client.session.request({
      ":method": "POST",
      ":path": "/messages",
      "content-type": type,
      ...auth,
    });
    stream.write(message("begin"));
    let body = Buffer.alloc(0);
    let trailers: IncomingHttpHeaders = {};
    stream.on("trailers", (fields) => {
      trailers = fields;
    });
    const response = once(stream, "response");
    const ended = once(stream, "end");
    stream.on("data", (bytes: Buffer) => (body = Buffer.concat([body, bytes])));
    const [head] = (await within("a response", response)) as [IncomingHttpHeaders];
    assert.equal(head["x-initial"], `Bearer ${placeholder}`);
    // The server says nothing more before it hears of the client again.
    const last = message(begun);
    await eventually("the third message", () => body.subarray(-last.length).equals(last));
    const [plain, coded] = textsOf(body);
    assert.equal(plain, `you sent Bearer ${fitted}.`);
    const inside = Buffer.from((coded ?? "").slice(100), "base64").toString("latin1");
    assert.ok(inside.startsWith(`Bearer ${placeholder.slice(0, 9)}`), inside);
    assert.equal((coded ?? "").length, 100 + base64(`Bearer ${credential}`).length);
    stream.end(message("go on"));
    await within("the end", ended);
    assert.equal(textsOf(body)[3], `grpc-message: Bearer ${fitted}\r\n`);
    assert.equal(trailers["grpc-status"], "9");
    assert.equal(decodeURIComponent(String(trailers["grpc-message"])), `not for Bearer ${placeholder}`);
    world.canary.search(`messages of ${type}`, body);
  });
}

test("messages are not asked for in a coding, and those that are compressed all the same do not get through", async () => {
  let offered: (string | string[] | undefined)[] = [];
  scripts.set("/codings", (stream, headers) => {
    offered = [headers["grpc-accept-encoding"], headers["connect-accept-encoding"]];
    stream.respond({ ":status": 200, "content-type": "application/grpc", "grpc-encoding": "gzip" });
    stream.end(message("??", 1));
  });
  const fields = { "grpc-accept-encoding": "gzip", "connect-accept-encoding": "gzip, br" };
  const refused = await exchange(world, client, { ":path": "/codings", ...auth, ...fields });
  assert.deepEqual(offered, ["identity", "identity"]);
  assert.deepEqual([refused.status, refused.headers["sallyport-reason"]], [502, "unscrubbable_encoding"]);
  scripts.set("/flagged", (stream) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" });
    stream.write(message("fine"));
    stream.end(message("??", 1));
  });
  const stream = client.session.request({ ":path": "/flagged", ...auth });
  let text = "";
  stream.on("data", (bytes: Buffer) => (text += bytes.toString()));
  stream.on("error", () => {});
  await eventually("a reset", () => stream.closed);
  assert.notEqual(stream.rstCode, 0);
  assert.ok(!text.includes("??"));
});

test("attack 45: a message that says it is compressed is not let through, though the whole answer came at once", async () => {
  const coded = gzipSync(credential);
  const prefix = Buffer.from([1, 0, 0, 0, coded.length]);
  world.secure.on("/flagged", async (request) => {
    await request.body();
    const head = `HTTP/1.1 200 OK\r\nContent-Type: application/grpc-web\r\nContent-Length: ${coded.length + 5}\r\n\r\n`;
    request.write(Buffer.concat([Buffer.from(head), prefix, coded]));
  });
  const client = await world.redirected(`api.e2e.test:${world.secure.port}`);
  client.send(client.text("GET", "/flagged", { fields: [`Authorization: Bearer ${placeholder}`] }));
  const seen: Buffer[] = [];
  client.socket.on("data", (bytes: Buffer) => seen.push(bytes));
  await client.ended();
  assert.ok(!Buffer.concat(seen).includes(coded));
});
