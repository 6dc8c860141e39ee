// What goes through keeps its form: what one side wrote is what the other side reads, but for what belongs to one
// connection, what authority says, and the credential.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Way } from "./harness/client.ts";
import { valueOf, valuesOf } from "./harness/message.ts";
import { answer } from "./harness/upstream.ts";
import { pause } from "./harness/wait.ts";
import { openWorld, placeholder } from "./harness/world.ts";

const world = await openWorld({
  config: () => ({ proxy: { timeouts: { upstream_idle: "60s" } } }),
});
const ways: readonly Way[] = ["connect", "absolute", "redirected"];

for (const way of ways) {
  test(`${way}: order, casing and repeats of header fields are kept in both directions`, async () => {
    const upstream = world.upstream(way);
    upstream.on("/fields", async (request) => {
      await request.body();
      request.write(
        "HTTP/1.1 299 Quite Unusual; really\r\nx-b: 1\r\nX-A: 2\r\nSET-cookie: a=1\r\nset-Cookie: b=2\r\n" +
          "X-empty:\r\nx-b: 3\r\ncontent-LENGTH: 3\r\nX-Latin: caf\xe9\r\n\r\nabc",
      );
    });
    const client = await world.open(way);
    const lines = [
      "zeta: last first",
      "X-CaSe: one",
      `authorization: Bearer ${placeholder}`,
      "x-case: two",
      "accept: a, b",
      "Accept: c",
      "X-Empty:",
      "X-Latin: caf\xe9",
    ];
    const got = await client.request("GET", "/fields?a=%2F&&b=%zz;c", { fields: lines });
    assert.equal(
      got.head,
      "HTTP/1.1 299 Quite Unusual; really\r\nx-b: 1\r\nX-A: 2\r\nSET-cookie: a=1\r\nset-Cookie: b=2\r\n" +
        "X-empty: \r\nx-b: 3\r\ncontent-LENGTH: 3\r\nX-Latin: caf\xe9\r\n\r\n",
    );
    assert.equal(got.body.toString(), "abc");
    const received = await upstream.request("/fields");
    // Nothing is added: no User-Agent, Accept-Encoding, Via or X-Forwarded-For. Only the field with the credential
    // differs, whose casing is that of the configuration.
    const expected = lines.map((line) =>
      line
        .replace(`authorization: Bearer ${placeholder}`, `Authorization: Bearer ${world.credential}`)
        .replace("X-Empty:", "X-Empty: "),
    );
    assert.equal(
      received.head,
      `GET /fields?a=%2F&&b=%zz;c HTTP/1.1\r\nHost: ${client.authority}\r\n${expected.join("\r\n")}\r\n\r\n`,
    );
  });
}

test("an answer without Date, Content-Type or Server gets none, and none of them is guessed", async () => {
  world.secure.on("/bare", answer("<html>"));
  const client = await world.open("connect");
  const { head } = await client.request("GET", "/bare");
  assert.equal(head, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n");
});

test("an empty reason phrase stays empty", async () => {
  world.secure.on("/noreason", async (request) => {
    await request.body();
    request.write("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n");
  });
  const client = await world.open("connect");
  assert.equal((await client.request("GET", "/noreason")).startLine, "HTTP/1.1 200 ");
});

test("the path and the query reach the upstream byte for byte", async () => {
  const client = await world.open("connect");
  for (const target of [
    "/a%2Fb%2fc",
    "/%41%62",
    "//a//b",
    "/a;b=c/d",
    "/a?",
    "/a?x=1;2&b=%zz&c=%2E%2E/",
    '/[x]|{y}^"<>`',
    "/a%20b+c",
    "/~user/.well-known/..hidden",
  ]) {
    const got = await client.request("GET", target);
    assert.equal(got.status, 200, target);
    assert.equal(world.secure.received.at(-1)?.target, target);
  }
});

test("an absolute URL without a path becomes the path /", async () => {
  const client = await world.open("absolute");
  client.send(`GET http://${client.authority} HTTP/1.1\r\nHost: ${client.authority}\r\n\r\n`);
  assert.equal((await client.answer())?.status, 200);
  assert.equal(world.plain.received.at(-1)?.target, "/");
});

test("OPTIONS * reaches the upstream as such", async () => {
  const client = await world.open("connect");
  client.send(`OPTIONS * HTTP/1.1\r\nHost: ${client.authority}\r\n\r\n`);
  assert.equal((await client.answer())?.status, 200);
  assert.equal(world.secure.received.at(-1)?.target, "*");
});

for (const method of ["POST", "PUT", "PATCH", "DELETE", "PROPFIND", "BREW"]) {
  test(`${method} with an empty body keeps Content-Length: 0, and gets no framing where it has none`, async () => {
    const client = await world.open("connect");
    await client.request(method, "/empty", { body: "" });
    const announced = world.secure.received.at(-1);
    assert.equal(announced?.method, method);
    assert.deepEqual(valuesOf(announced?.fields ?? [], "content-length"), ["0"]);
    assert.equal(valueOf(announced?.fields ?? [], "transfer-encoding"), undefined);
    await client.request(method, "/empty");
    const silent = world.secure.received.at(-1);
    assert.deepEqual(valuesOf(silent?.fields ?? [], "content-length"), []);
    assert.equal(valueOf(silent?.fields ?? [], "transfer-encoding"), undefined);
  });
}

test("a body with a length keeps it, a chunked one stays chunked, and bytes are not touched", async () => {
  const client = await world.open("connect");
  const bytes = String.fromCharCode(...Array.from({ length: 256 }, (_, byte) => byte));
  await client.request("POST", "/length", { body: bytes });
  const withLength = await world.secure.request("/length");
  assert.equal(withLength.body.toString("latin1"), bytes);
  assert.equal(valueOf(withLength.fields, "content-length"), "256");

  client.send(client.text("POST", "/chunks", { fields: ["Transfer-Encoding: chunked"] }));
  client.send("5;ext=1\r\nhello\r\n");
  client.send("1\r\n \r\n5\r\nworld\r\n0\r\n\r\n");
  assert.equal((await client.answer())?.status, 200);
  const chunked = await world.secure.request("/chunks");
  assert.equal(chunked.body.toString(), "hello world");
  assert.equal(valueOf(chunked.fields, "transfer-encoding"), "chunked");
});

test("trailers pass in both directions", async () => {
  world.secure.on("/trailers", async (request) => {
    await request.body();
    request.write(
      "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n",
    );
  });
  const client = await world.open("connect");
  client.send(
    client.text("POST", "/trailers", {
      fields: ["TE: trailers", "Trailer: X-Check", "Transfer-Encoding: chunked"],
    }),
  );
  client.send("2\r\nhi\r\n0\r\nX-Check: ok\r\n\r\n");
  const got = await client.answer();
  assert.deepEqual(got?.trailers, ["X-Sum: 6"]);
  assert.equal(valueOf(got?.fields ?? [], "trailer"), "X-Sum");
  const received = await world.secure.request("/trailers");
  assert.deepEqual(received.trailers, ["X-Check: ok"]);
  assert.equal(valueOf(received.fields, "te"), "trailers");
});

test("103 Early Hints arrive before the answer and as they were", async () => {
  let goOn = () => {};
  world.secure.on("/hints", async (request) => {
    await request.body();
    request.write("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n");
    await new Promise<void>((resolve) => {
      goOn = resolve;
    });
    request.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  });
  const client = await world.open("connect");
  client.send(client.text("GET", "/hints"));
  const hints = await client.reader.until("\r\n\r\n");
  assert.equal(hints, "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n");
  goOn();
  assert.equal((await client.answer())?.status, 200);
});

test("a client of HTTP/1.0 gets no 1xx", async () => {
  world.plain.on("/hints10", async (request) => {
    await request.body();
    request.write(
      "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
  });
  const client = await world.open("absolute");
  client.send(`GET http://${client.authority}/hints10 HTTP/1.0\r\nHost: ${client.authority}\r\n\r\n`);
  const got = await client.answer();
  assert.equal(got?.status, 200);
  assert.deepEqual(got?.interim, []);
});

test("Expect: the upstream's 100 lets the body go, and only once", async () => {
  const order: string[] = [];
  world.secure.on("/expect", async (request) => {
    order.push("head");
    assert.equal(valueOf(request.fields, "expect"), "100-continue");
    await pause(50);
    order.push(`before 100: ${request.reader.unread.length} bytes`);
    request.write("HTTP/1.1 100 Continue\r\n\r\n");
    const { body } = await request.body();
    order.push(body.toString());
    request.write("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
  });
  const client = await world.open("connect");
  client.send(client.text("PUT", "/expect", { fields: ["Expect: 100-continue", "Content-Length: 4"] }));
  const interim = await client.reader.until("\r\n\r\n");
  assert.equal(interim, "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("body");
  const got = await client.answer();
  assert.equal(got?.status, 201);
  assert.deepEqual(got?.interim, [], "no second 100");
  assert.deepEqual(order, ["head", "before 100: 0 bytes", "body"]);
});

test("Expect: a final answer in place of 100 reaches the client, which need not send its body", async () => {
  world.secure.on("/refused", (request) => {
    request.write("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    request.end();
  });
  const client = await world.open("connect");
  client.send(client.text("PUT", "/refused", { fields: ["Expect: 100-continue", "Content-Length: 4"] }));
  const got = await client.answer();
  assert.equal(got?.status, 417);
  assert.deepEqual(got?.interim, []);
});

test("Expect: any other expectation is answered 417 here", async () => {
  const client = await world.open("connect");
  const got = await client.request("GET", "/never", { fields: ["Expect: a-miracle"] });
  assert.equal(got.status, 417);
  assert.equal(valueOf(got.fields, "sallyport-reason"), "expectation_failed");
  assert.equal(world.secure.count("/never"), 0);
});

for (const way of ways) {
  test(`${way}: an event arrives within 100 ms while its stream stays open`, async () => {
    const upstream = world.upstream(way);
    let send = (_event: string) => {};
    upstream.on("/events", async (request) => {
      await request.body();
      request.write(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
      );
      await new Promise<void>((resolve) => {
        send = (event) => {
          request.write(event === "" ? "0\r\n\r\n" : `${event.length.toString(16)}\r\n${event}\r\n`);
          if (event === "") resolve();
        };
      });
    });
    const client = await world.open(way);
    client.send(client.text("GET", "/events"));
    const head = await client.reader.until("\r\n\r\n");
    assert.match(head ?? "", /^HTTP\/1\.1 200 OK\r\n/);
    const late: number[] = [];
    for (let number = 0; number < 5; number++) {
      const event = `data: ${number}\n\n`;
      const since = performance.now();
      send(event);
      const chunk = `${event.length.toString(16)}\r\n${event}\r\n`;
      assert.equal(await client.reader.until("\n\n\r\n"), chunk);
      late.push(performance.now() - since);
    }
    // The best of five: a machine that is busy with other things may be late now and then.
    assert.ok(Math.min(...late) < 100, `events were late: ${late.map((ms) => ms.toFixed(0)).join(", ")} ms`);
    send("");
    assert.equal(await client.reader.until("0\r\n\r\n"), "0\r\n\r\n");
  });
}

test("bytes that come in one segment with CONNECT are not lost", async () => {
  const client = await world.raw();
  const { plainAuthority } = world;
  client.send(
    `CONNECT ${plainAuthority} HTTP/1.1\r\nHost: ${plainAuthority}\r\n\r\n` +
      `GET /early HTTP/1.1\r\nHost: ${plainAuthority}\r\nAuthorization: Bearer ${placeholder}\r\n\r\n`,
  );
  assert.equal(await client.reader.until("\r\n\r\n"), "HTTP/1.1 200 Connection Established\r\n\r\n");
  assert.equal((await client.answer())?.status, 200);
  const received = await world.plain.request("/early");
  assert.equal(valueOf(received.fields, "authorization"), `Bearer ${world.credential}`);
});
