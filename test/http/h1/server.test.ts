// What a client sees of one connection: answers in order, refusals explained, nothing that only looks complete.

import assert from "node:assert/strict";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { after, before, beforeEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Body, type BodySink } from "../../../src/http/body.ts";
import { Deadlines } from "../../../src/http/h1/deadlines.ts";
import { defaultH1Limits } from "../../../src/http/h1/limits.ts";
import { type BadRequest, ServerConnection } from "../../../src/http/h1/server.ts";
import type { ServerExchange } from "../../../src/http/h1/server-exchange.ts";
import { Headers } from "../../../src/http/headers.ts";

type Handler = (exchange: ServerExchange, connection: ServerConnection) => void | Promise<void>;

let server: Server;
let handler: Handler;
let refused: BadRequest[] = [];
let closed = 0;
const headerMs = 400;

before(async () => {
  const deadlines = new Deadlines();
  server = createServer({ allowHalfOpen: true }, (socket) => {
    const options = { limits: defaultH1Limits, deadlines, headerMs, bodyMs: 400, idleMs: 400 };
    const connection: ServerConnection = new ServerConnection(socket, options, {
      onRequest: (exchange) => void handler(exchange, connection),
      onBadRequest(bad) {
        refused.push(bad);
        return {
          status: bad.status,
          reason: "Refused",
          headers: new Headers(),
          body: Buffer.from(bad.reason),
        };
      },
      onClose: () => closed++,
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
after(() => server.close());
beforeEach(() => {
  refused = [];
  closed = 0;
  handler = (exchange) => answer(exchange, exchange.head.target);
});

function answer(exchange: ServerExchange, text: string, close = false): void {
  const body = Buffer.from(text);
  const framing = { kind: "length", length: body.length } as const;
  exchange.respond({ status: 200, reason: "OK", headers: new Headers(), framing }, Body.of(body), close);
}

function dial(): Socket {
  return connect({ port: (server.address() as AddressInfo).port, host: "127.0.0.1", allowHalfOpen: true });
}

/** Sends text and gives everything that came until the server closed. */
async function talk(...parts: (string | number)[]): Promise<string> {
  const socket = dial();
  let received = "";
  socket.setEncoding("latin1").on("data", (text) => (received += text));
  const over = new Promise<void>((resolve) => socket.on("close", () => resolve()));
  socket.on("error", () => {});
  for (const part of parts) {
    if (typeof part === "number") await sleep(part);
    else socket.write(part, "latin1");
  }
  socket.on("end", () => socket.end());
  await over;
  return received;
}

const get = (target: string, more = "") => `GET ${target} HTTP/1.1\r\nHost: a.test\r\n${more}\r\n`;

describe("a client connection", () => {
  test("answers pipelined requests in order, one at a time", async () => {
    let busy = 0;
    let most = 0;
    handler = (exchange) => {
      most = Math.max(most, ++busy);
      setTimeout(() => {
        busy--;
        answer(exchange, exchange.head.target);
      }, 5);
    };
    const text = await talk(get("/1") + get("/2") + get("/3", "Connection: close\r\n"));
    assert.deepEqual(text.match(/(?<=\r\n\r\n)\/\d/g), ["/1", "/2", "/3"]);
    assert.equal(most, 1);
  });

  test("keeps a connection of HTTP/1.0 only when asked, and says so", async () => {
    assert.match(await talk("GET /old HTTP/1.0\r\n\r\n"), /Connection: close\r\n\r\n\/old$/);
    const kept = await talk(
      "GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
      20,
      "GET /2 HTTP/1.0\r\n\r\n",
    );
    assert.match(kept, /Connection: keep-alive\r\n\r\n\/1HTTP\/1\.1 200 .*\/2$/s);
  });

  test("I9: refuses what is no request and closes", async () => {
    const text = await talk("GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n");
    assert.match(
      text,
      /^HTTP\/1\.1 400 Refused\r\n.*Connection: close\r\n\r\nmalformed_request$|invalid_host$/s,
    );
    assert.equal(refused.length, 1);
    assert.equal(closed, 1);
  });

  test("answers 408 to a head that dribbles, and only closes a connection that said nothing", async () => {
    assert.match(await talk("GET / HT"), /^HTTP\/1\.1 408 /);
    assert.equal(await talk(), "");
    assert.deepEqual(
      refused.map((bad) => bad.reason),
      ["request_timeout"],
    );
  });

  test("closes an idle connection without a word", async () => {
    const text = await talk(get("/1"));
    assert.equal(text.match(/HTTP/g)?.length, 1);
    assert.equal(refused.length, 0);
  });

  test("a request cut in its head gets 400, cut in its body aborts the body", async () => {
    const socket = dial();
    socket.end("GET / HTTP/1.1\r\nHos");
    let text = "";
    for await (const chunk of socket) text += chunk;
    assert.match(text, /^HTTP\/1\.1 400/);

    const { promise, resolve } = Promise.withResolvers<Error>();
    handler = (exchange) => {
      Promise.resolve(exchange.body.buffer(100)).catch((error) => {
        resolve(error);
        answer(exchange, "cut");
      });
    };
    const post = dial();
    post.end("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhalf");
    let answered = "";
    for await (const chunk of post) answered += chunk;
    assert.match((await promise).message, /.+/);
    assert.match(answered, /cut$/);
  });

  test("streams an upload with backpressure, and holds it while nobody reads", async () => {
    const size = 4_000_000;
    let seen = 0;
    handler = (exchange, connection) => {
      const sink: BodySink = {
        write(bytes) {
          seen += bytes.length;
          setTimeout(() => exchange.body.resume(), 0);
          return false;
        },
        end: () => answer(exchange, String(seen)),
        abort: () => {},
      };
      setTimeout(() => {
        assert.ok(connection.socket.bytesRead < 1_000_000, "read ahead without a reader");
        exchange.body.pipe(sink);
      }, 50);
    };
    const text = await talk(
      `POST / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nContent-Length: ${size}\r\n\r\n${"x".repeat(size)}`,
    );
    assert.match(text, new RegExp(`${size}$`));
  });

  test("an answer given before the body was read closes the connection, and still arrives", async () => {
    handler = (exchange) => answer(exchange, "no thanks");
    const text = await talk(
      "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3000000\r\n\r\n",
      "x".repeat(500_000),
    );
    assert.match(text, /Connection: close\r\n\r\nno thanks$/);
  });

  test("a small unread body is skipped and the connection kept", async () => {
    handler = (exchange) => answer(exchange, exchange.head.target);
    const post = "POST /1 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello";
    assert.match(await talk(post + get("/2", "Connection: close\r\n")), /\/1HTTP.*\/2$/s);
  });

  test("Expect: 100 is sent when somebody reads the body, never after a refusal", async () => {
    const head =
      "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n";
    handler = async (exchange) => answer(exchange, String(await exchange.body.buffer(10)));
    assert.match(await talk(head, 20, "ok"), /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 .*ok$/s);
    handler = (exchange) => answer(exchange, "refused");
    assert.match(await talk(head), /^HTTP\/1\.1 200 .*refused$/s);
  });

  test("an answer whose source fails is cut, never completed", async () => {
    for (const framing of [{ kind: "chunked" }, { kind: "length", length: 100 }] as const) {
      handler = (exchange) => {
        const body = Body.from({
          length: undefined,
          start(sink) {
            sink.write(Buffer.from("part"));
            setTimeout(() => sink.abort(new Error("upstream went away")), 5);
          },
          resume() {},
          cancel() {},
        });
        exchange.respond({ status: 200, reason: "OK", headers: new Headers(), framing }, body);
      };
      const text = await talk(get("/"));
      assert.match(text, /part/);
      assert.doesNotMatch(text, /\r\n0\r\n\r\n$/);
    }
  });

  test("a body shorter or longer than announced is cut", async () => {
    for (const length of [3, 9]) {
      handler = (exchange) => {
        const framing = { kind: "length", length } as const;
        const headers = new Headers();
        exchange.respond({ status: 200, reason: "OK", headers, framing }, Body.of(Buffer.from("sixsix")));
      };
      const text = await talk(get("/"));
      assert.ok(!text.endsWith("sixsix") || length !== 6);
      assert.match(text, new RegExp(`Content-Length: ${length}`));
    }
  });

  test("tells the handler when the client leaves before its answer", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const { promise: arrived, resolve: onArrived } = Promise.withResolvers<void>();
    handler = (exchange) => {
      exchange.onAbandoned = resolve;
      onArrived();
    };
    const socket = dial();
    socket.write(get("/"));
    await arrived;
    socket.destroy();
    await promise;
  });

  test("a small answer leaves in one write", async () => {
    handler = (exchange) => {
      let writes = 0;
      const write = exchange.socket.write;
      exchange.socket.write = function (this: Socket, ...args: unknown[]) {
        writes++;
        return Reflect.apply(write, this, args);
      } as typeof write;
      const framing = { kind: "chunked" } as const;
      const body = Body.of(Buffer.from("hi"));
      exchange.respond({ status: 200, reason: "OK", headers: new Headers(), framing }, body, true);
      assert.ok(writes <= 1);
    };
    assert.match(await talk(get("/")), /\r\n\r\n2\r\nhi\r\n0\r\n\r\n$/);
  });

  test("draining closes after the answer in work, and idle connections at once", async () => {
    handler = (exchange, connection) => {
      connection.drain();
      setTimeout(() => answer(exchange, "last"), 10);
    };
    assert.match(await talk(get("/1") + get("/2")), /Connection: close\r\n\r\nlast$/);
  });

  test("a connection that is taken over keeps the bytes behind the request", async () => {
    handler = (exchange) => {
      const socket = exchange.takeOver("HTTP/1.1 200 Connection Established\r\n\r\n");
      socket.on("data", (bytes) => socket.end(`raw:${bytes}`));
      socket.resume();
    };
    const text = await talk("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\nearly");
    assert.match(text, /\r\n\r\nraw:early$/);
  });
});
