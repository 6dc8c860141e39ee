// What went out does not come back: an upstream that shows what it got, in every place and form, in every coding.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { test } from "node:test";
import * as zlib from "node:zlib";
import { encoders } from "../scrub/encoders.ts";
import type { Client } from "./harness/client.ts";
import { type Answer, valueOf, valuesOf } from "./harness/message.ts";
import { answer } from "./harness/upstream.ts";
import { allowlist, openWorld, placeholder, secrets, swap } from "./harness/world.ts";
import { codecs, echo } from "./scrubbing-support.ts";

const injectedValue = "canary-injected-/+%&9x0123456789";
const world = await openWorld({
  env: {
    E2E_INJECTED: injectedValue,
    E2E_LOUD: "canary-loud-0123456789abcdef",
    E2E_PASS: "canary-pass-0123456789",
  },
  config: ({ securePort }) => ({
    transforms: [
      allowlist(["*.e2e.test:*", "localhost:*"]),
      secrets([
        swap("E2E_KEY", placeholder, [`api.e2e.test:${securePort}`]),
        {
          source: { type: "env", var: "E2E_INJECTED" },
          inject: { header: "Authorization", formatter: 'Basic {{ base64 "me:" .Value }}' },
          rules: [{ host: `other.e2e.test:${securePort}` }],
        },
        {
          source: { type: "env", var: "E2E_LOUD" },
          scrub: "off",
          inject: { header: "X-Loud" },
          rules: [{ host: `deep.api.e2e.test:${securePort}`, paths: ["/loud"] }],
        },
        {
          source: { type: "env", var: "E2E_PASS" },
          scrub: "pass_unknown_encoding",
          inject: { header: "X-Pass" },
          rules: [{ host: `deep.api.e2e.test:${securePort}`, paths: ["/pass"] }],
        },
      ]),
    ],
  }),
});
world.canary.watch("injected", injectedValue);
const { secure, credential, proxy } = world;
const authorized = [`Authorization: Bearer ${placeholder}`];

async function ask(
  path: string,
  { host = "api.e2e.test", fields = authorized, method = "GET" } = {},
): Promise<{ client: Client; got: Answer }> {
  const client = await world.redirected(`${host}:${secure.port}`);
  const got = await client.request(method, path, { fields });
  return { client, got };
}

test("attack 40 attack 45: an echo in 1xx, reason, fields, body and trailers comes back with the placeholder", async () => {
  secure.on("/echo", echo);
  const { client, got } = await ask("/echo");
  const sent = `Bearer ${placeholder}`;
  assert.match(got.interim[0] ?? "", new RegExp(`^HTTP/1.1 103 Early ${sent}\r\n`));
  assert.ok(got.interim[0]?.includes(encodeURIComponent(sent)));
  assert.equal(got.reason, `OK ${sent}`);
  assert.equal(valueOf(got.fields, "location"), `https://x.test/?t=${encodeURIComponent(sent)}`);
  assert.equal(valueOf(got.fields, "set-cookie"), `a=${sent}; Path=/`);
  assert.equal(Buffer.from(valueOf(got.fields, "x-echo") ?? "", "base64").toString(), sent);
  assert.equal(
    got.fields.filter(([, value]) => value === "name").length,
    0,
    "a field named after it is gone",
  );
  assert.equal(got.body.toString(), `got ${sent}!`);
  assert.deepEqual(got.trailers, [`X-End: ${Buffer.from(sent).toString("hex")}`]);
  const line = await proxy.audit.last(client, 1);
  const trace = (
    line as unknown as { response_transforms: { name: string; annotations: { scrubbed: object[] } }[] }
  ).response_transforms[0];
  assert.equal(trace?.name, "scrub");
  assert.deepEqual(trace?.annotations.scrubbed, [
    { secret: "E2E_KEY", where: "header:link", count: 1 },
    { secret: "E2E_KEY", where: "reason", count: 2 },
    { secret: "E2E_KEY", where: "header name", count: 1 },
    { secret: "E2E_KEY", where: "header:x-echo", count: 1 },
    { secret: "E2E_KEY", where: "header:set-cookie", count: 1 },
    { secret: "E2E_KEY", where: "header:location", count: 1 },
    { secret: "E2E_KEY", where: "body", count: 1 },
    { secret: "E2E_KEY", where: "trailer:x-end", count: 1 },
  ]);
});

for (const [coding, [encode, decode]] of Object.entries(codecs)) {
  test(`attack 40: every form in a body in ${coding}, at once and in pieces`, async () => {
    const body = encoders.map(({ encode: write }) => write(credential)).join("\n");
    const coded = encode(Buffer.from(body));
    const path = `/coded/${encodeURIComponent(coding)}`;
    const head = `HTTP/1.1 200 OK\r\nContent-Encoding: ${coding}\r\nContent-Type: text/plain\r\nContent-MD5: x\r\n`;
    secure.on(
      path,
      answer(coded, `Content-Encoding: ${coding}`, "Content-Type: text/plain", "Content-MD5: x", "ETag: y"),
    );
    secure.on(`${path}/pieces`, async (request) => {
      await request.body();
      request.write(`${head}ETag: y\r\nContent-Length: ${coded.length}\r\n\r\n`);
      for (let at = 0; at < coded.length; at += 997) {
        request.write(coded.subarray(at, at + 997));
        await pause(at === 0 ? 50 : 1);
      }
    });
    secure.on(`${path}/close`, async (request) => {
      await request.body();
      request.write(`${head}Connection: close\r\n\r\n`);
      request.write(coded);
      request.end();
    });
    const texts = new Set<string>();
    for (const way of ["", "/pieces", "/close"]) {
      const { got } = await ask(path + way);
      assert.ok(got.complete);
      assert.equal(valueOf(got.fields, "content-encoding"), coding);
      assert.equal(valueOf(got.fields, "content-md5"), undefined);
      const text = decode(got.body).toString();
      assert.ok(!text.includes(credential) && text.startsWith(`${placeholder}\n${placeholder}\n`), text);
      world.canary.search(`a body in ${coding}`, Buffer.from(text));
      texts.add(text);
      if (way === "") assert.equal(valueOf(got.fields, "etag"), "y");
    }
    assert.equal(texts.size, 1, "the same in every way");
  });
}

test("without a form an answer is what it was, byte for byte, with its length, its coding and its digests", async () => {
  const body = zlib.gzipSync(Buffer.from('{"ok": true}'));
  secure.on(
    "/clean",
    answer(body, "Content-Encoding: gzip", "Content-Type: application/json", "Digest: sha-256=x"),
  );
  const { client, got } = await ask("/clean");
  assert.deepEqual(got.body, body);
  assert.equal(valueOf(got.fields, "digest"), "sha-256=x");
  assert.equal(valueOf(got.fields, "content-length"), String(body.length));
  const line = await proxy.audit.last(client, 1);
  assert.equal("response_transforms" in line, false);
});

test("attack 37: ranges are not asked for, and no coding that cannot be decoded", async () => {
  secure.on("/ranges", answer("whole"));
  const fields = [
    "Range: bytes=0-3",
    'If-Range: "x"',
    "Accept-Encoding: gzip;q=1, br, compress, *",
    "Accept-Encoding: dcb",
  ];
  await ask("/ranges", { fields: [...authorized, ...fields] });
  const received = await secure.request("/ranges");
  assert.deepEqual(valuesOf(received.fields, "range"), []);
  assert.deepEqual(valuesOf(received.fields, "if-range"), []);
  assert.deepEqual(valuesOf(received.fields, "accept-encoding"), ["gzip;q=1, br"]);
  await ask("/ranges", { fields: [...authorized, "Accept-Encoding: compress"] });
  assert.deepEqual(valuesOf((await secure.request("/ranges", 2)).fields, "accept-encoding"), ["identity"]);
});

test("a host that never got a credential keeps its ranges and is not looked at", async () => {
  const body = `never attached here: ${"x".repeat(20)}`;
  secure.on("/untouched", answer(body, "Content-Encoding: unheard-of", "Digest: d"));
  const { got } = await ask("/untouched", { host: "deep.api.e2e.test", fields: ["Range: bytes=0-3"] });
  assert.equal(got.body.toString(), body);
  assert.deepEqual(valuesOf((await secure.request("/untouched")).fields, "range"), ["bytes=0-3"]);
});

test("later answers of the same host are scrubbed though nothing was attached this time", async () => {
  secure.on("/later", answer(`remembered: ${credential}`));
  await ask("/echo");
  const { got } = await ask("/later", { fields: [] });
  assert.equal(got.body.toString(), `remembered: ${placeholder}`);
});

test("an injected credential comes back as its name; so does what its formatter made of it", async () => {
  const pair = Buffer.from(`me:${injectedValue}`).toString("base64");
  secure.on("/injected", answer(`${injectedValue} ${pair} ${Buffer.from(pair).toString("base64")}`));
  const { got } = await ask("/injected", { host: "other.e2e.test", fields: [] });
  const [raw, basic, twice] = got.body.toString().split(" ");
  assert.equal(raw, "[redacted:E2E_INJECTED]");
  assert.match(basic ?? "", /^\[redacted:E2E_INJECTED\]$|^bWU6/);
  assert.ok(!Buffer.from(basic ?? "", "base64").includes(injectedValue));
  assert.ok(!Buffer.from(twice ?? "", "base64").includes(pair.slice(4)));
});

test("scrub: off leaves an answer alone", async () => {
  secure.on("/loud", answer("canary-loud-0123456789abcdef"));
  const { got } = await ask("/loud", { host: "deep.api.e2e.test", fields: ["Range: bytes=0-"] });
  assert.equal(got.body.toString(), "canary-loud-0123456789abcdef");
  assert.deepEqual(valuesOf((await secure.request("/loud")).fields, "range"), ["bytes=0-"]);
});

test("a coding that cannot be decoded is refused, or passes where the entry says so", async () => {
  secure.on("/unknown", answer("?????", "Content-Encoding: gzip, compress"));
  const { client, got } = await ask("/unknown");
  assert.equal(got.status, 502);
  assert.equal(valueOf(got.fields, "sallyport-reason"), "unscrubbable_encoding");
  assert.equal((await proxy.audit.last(client, 1)).audit.reason, "unscrubbable_encoding");
  secure.on("/pass", answer("?????", "Content-Encoding: compress"));
  const passed = await ask("/pass", { host: "deep.api.e2e.test", fields: [] });
  assert.equal(passed.got.body.toString(), "?????");
  secure.on("/empty", answer("", "Content-Encoding: compress"));
  assert.equal((await ask("/empty")).got.status, 200);
  const head = await ask("/unknown", { method: "HEAD" });
  assert.equal(head.got.status, 200);
});

/** Bodies that are not what they say, small enough to come at once. */
const secret = Buffer.from(`{"key": "${credential}"}`);
const lies: Readonly<Record<string, Buffer>> = {
  "no gzip at all": secret,
  truncated: zlib.gzipSync(secret).subarray(0, -5),
  "a wrong checksum": Buffer.concat([zlib.gzipSync(secret).subarray(0, -8), Buffer.alloc(8, 1)]),
  "bytes behind the end": Buffer.concat([zlib.gzipSync(secret), secret]),
};
for (const [name, body] of Object.entries(lies)) {
  test(`gzip that lies: ${name}`, async () => {
    const path = `/lies/${encodeURIComponent(name)}`;
    secure.on(path, answer(body, "Content-Encoding: gzip"));
    const { got } = await ask(path);
    assert.equal(got.status, 502);
    assert.equal(valueOf(got.fields, "sallyport-reason"), "unscrubbable_encoding");
    // In pieces the head is out before the lie is known: the answer is cut.
    secure.on(`${path}/pieces`, async (request) => {
      await request.body();
      request.write(`HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: ${body.length}\r\n\r\n`);
      await pause(60);
      request.write(body);
    });
    const { client, got: cut } = await ask(`${path}/pieces`);
    assert.equal(cut.complete, false);
    assert.equal((await proxy.audit.last(client, 1)).audit.reason, "unscrubbable_encoding");
  });
}

test("what stands beside the coded data does not get through", async () => {
  const gzip = zlib.gzipSync(Buffer.from("nothing in here"));
  // FNAME of RFC 1952.
  const named = Buffer.concat([
    Buffer.from(gzip.subarray(0, 10)),
    Buffer.from(`${credential}\0`),
    gzip.subarray(10),
  ]);
  named[3] = 8;
  secure.on("/named", answer(named, "Content-Encoding: gzip"));
  const { got } = await ask("/named");
  assert.equal(zlib.gunzipSync(got.body).toString(), "nothing in here");
  assert.ok(!got.body.includes(credential));
  const trailed = Buffer.concat([zlib.brotliCompressSync(Buffer.from("nothing")), Buffer.from(credential)]);
  secure.on("/trailed", answer(trailed, "Content-Encoding: br"));
  const behind = await ask("/trailed");
  assert.equal(zlib.brotliDecompressSync(behind.got.body).toString(), "nothing");
  assert.ok(!behind.got.body.includes(credential));
});

test("I12: a decompression bomb is cut", async () => {
  const bomb = zlib.brotliCompressSync(Buffer.alloc(64 * 1024 * 1024), {
    params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 5 },
  });
  assert.ok(bomb.length < 2000);
  secure.on("/bomb", answer(bomb, "Content-Encoding: br", "Content-Type: text/plain"));
  const { client, got } = await ask("/bomb");
  assert.equal(got.complete, false);
  const line = await proxy.audit.last(client, 1);
  assert.equal(line.audit.reason, "unscrubbable_encoding");
  assert.match(line.error ?? "", /1000 times as large when decoded \(br\)/);
});

test("events arrive as they are sent, scrubbed, also compressed", async () => {
  for (const coding of ["identity", "gzip"]) {
    const encoder = zlib.createGzip();
    secure.on(`/events/${coding}`, async (request) => {
      await request.body();
      const send = (bytes: Uint8Array): void => {
        request.write(`${bytes.length.toString(16)}\r\n`);
        request.write(bytes);
        request.write("\r\n");
      };
      request.write(
        `HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: ${coding}\r\nTransfer-Encoding: chunked\r\n\r\n`,
      );
      encoder.on("data", send);
      for (let count = 0; count < 3; count++) {
        const event = Buffer.from(`data: ${count} ${credential}\n\n`);
        if (coding === "identity") send(event);
        else {
          encoder.write(event);
          encoder.flush();
        }
        await pause(60);
      }
    });
    const client = await world.redirected(`api.e2e.test:${secure.port}`);
    client.send(client.text("GET", `/events/${coding}`, { fields: authorized }));
    const began = performance.now();
    let bytes = Buffer.alloc(0);
    client.socket.on("data", (chunk: Buffer) => void (bytes = Buffer.concat([bytes, chunk])));
    const text = (): string => {
      const body = bytes.subarray(bytes.indexOf("\r\n\r\n") + 4);
      const parts: Buffer[] = [];
      for (let at = 0; at < body.length; ) {
        const line = body.indexOf("\r\n", at);
        if (line < 0) break;
        const size = Number.parseInt(body.toString("latin1", at, line), 16);
        parts.push(body.subarray(line + 2, line + 2 + size));
        at = line + 2 + size + 2;
      }
      const whole = Buffer.concat(parts);
      if (coding === "identity" || whole.length === 0) return whole.toString();
      return zlib.gunzipSync(whole, { finishFlush: zlib.constants.Z_SYNC_FLUSH }).toString();
    };
    while (!bytes.includes("\r\n\r\n") || !text().includes(`data: 1 ${placeholder}\n\n`)) {
      assert.ok(performance.now() - began < 3000);
      await pause(2);
    }
    assert.ok(performance.now() - began < 1500);
    assert.ok(text().startsWith(`data: 0 ${placeholder}\n\ndata: 1 ${placeholder}\n\n`), text());
    client.close();
  }
});

test("binary answers keep their length", async () => {
  const body = `\0\0\0\0\x20${credential}\0tail`;
  secure.on("/grpc", answer(body, "Content-Type: application/grpc", "grpc-status: 0"));
  await ask("/grpc", { fields: [...authorized, "grpc-accept-encoding: gzip"] });
  assert.equal(valueOf((await secure.request("/grpc")).fields, "grpc-accept-encoding"), "identity");
  const { got } = await ask("/grpc");
  assert.equal(got.body.length, body.length);
  assert.ok(
    !got.body.includes(credential) &&
      got.body.includes(placeholder.slice(0, 8)) &&
      got.body.includes("\0tail"),
  );
  secure.on("/grpc-gzip", answer(body, "Content-Type: application/grpc", "grpc-encoding: gzip"));
  assert.equal((await ask("/grpc-gzip")).got.status, 502);
});

test("I12: a large answer streams, and its memory does not", async () => {
  const piece = Buffer.alloc(1 << 20, "all of this is near a form, canary-key-, but none ");
  const pieces = 12;
  secure.on("/large", async (request) => {
    await request.body();
    request.write(
      `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${piece.length * pieces}\r\n\r\n`,
    );
    for (let count = 0; count < pieces; count++) {
      request.write(piece);
      if (request.socket.writableNeedDrain)
        await new Promise((resolve) => request.socket.once("drain", resolve));
    }
  });
  const { got } = await ask("/large");
  assert.equal(got.body.length, piece.length * pieces);
  assert.ok(
    got.body.subarray(piece.length).equals(Buffer.concat(Array.from({ length: pieces - 1 }, () => piece))),
  );
});

test("attack 31: frames of a WebSocket are scrubbed, and no extension is negotiated", async () => {
  secure.on("/socket", (request) => {
    const key = valueOf(request.fields, "sec-websocket-key") ?? "";
    const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
    const text = `you are ${valueOf(request.fields, "authorization")}`;
    request.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    request.write(Buffer.concat([Buffer.from([0x81, text.length]), Buffer.from(text)]));
  });
  const client = await world.redirected(`api.e2e.test:${secure.port}`);
  const fields = [
    ...authorized,
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Extensions: permessage-deflate",
  ];
  const upgraded = await client.request("GET", "/socket", { fields });
  assert.equal(upgraded.status, 101);
  assert.deepEqual(valuesOf((await secure.request("/socket")).fields, "sec-websocket-extensions"), []);
  const text = `you are Bearer ${placeholder}`;
  assert.deepEqual(await client.reader.take(2), Buffer.from([0x81, text.length]));
  assert.equal((await client.reader.take(text.length)).toString(), text);
  client.close();
});

test("a credential that is too short to be looked for is warned of, one that is its own placeholder refused", async () => {
  const host = `api.e2e.test:${secure.port}`;
  const short = await world.another("short", {
    env: { E2E_SHORT: "short-7" },
    config: () => ({ transforms: [secrets([swap("E2E_SHORT", "ph-of-short", [host])])] }),
  });
  const warning = await short.line("a credential has fewer than 8 bytes: answers are not searched for it");
  assert.equal(warning["secret"], "E2E_SHORT");
  await short.stop();
  const own = await world.another("own", {
    env: { E2E_OWN: "its-own-placeholder" },
    config: () => ({ transforms: [secrets([swap("E2E_OWN", "its-own-placeholder", [host])])] }),
  });
  const error = await own.line("a credential is its own placeholder; requests that need it are refused");
  assert.equal(error["secret"], "E2E_OWN");
  assert.equal(await own.exited, 1);
});
