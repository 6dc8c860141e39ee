// What malformed, oversized, slow and half-closed requests get: an answer that says what is wrong, a closed
// connection, one audit record.
import assert from "node:assert/strict";
import { Duplex } from "node:stream";
import { describe, test } from "node:test";
import { connect as connectTls } from "node:tls";
import type { Client } from "./harness/client.ts";
import { type Answer, valueOf } from "./harness/message.ts";
import { eventually, pause } from "./harness/wait.ts";
import { allowlist, openWorld, placeholder, secrets } from "./harness/world.ts";

/** Far above what an honest request takes here, far below what a test can wait for. */
const patience = "700ms";
const world = await openWorld({
  config: ({ plainPort, securePort }) => ({
    proxy: {
      max_request_body_bytes: 1000,
      timeouts: {
        client_header: patience,
        client_body: patience,
        client_idle: patience,
        tls_handshake: patience,
      },
      limits: { max_header_bytes: 8192, max_header_count: 50, max_start_line: 4096 },
    },
    transforms: [
      allowlist(["*.e2e.test:*", "plain.localhost"]),
      secrets([
        {
          source: { type: "env", var: "E2E_KEY" },
          replace: { proxy_value: placeholder, match_body: true },
          rules: [
            { host: `plain.localhost:${plainPort}`, paths: ["/held"] },
            { host: `api.e2e.test:${securePort}`, paths: ["/held"] },
          ],
        },
      ]),
    ],
  }),
});
const { plain, proxy } = world;
const reasonOf = (answer: Answer | undefined) => valueOf(answer?.fields ?? [], "sallyport-reason");

interface Bad {
  readonly what: string;
  readonly status: number;
  readonly reason: string;
  /** Sends it; returning is not the end of the request. */
  send(client: Client): void | Promise<void>;
  /** It was clear where the request ends, so the connection can go on. */
  readonly keeps?: true;
}

const many = (count: number, line: (number: number) => string) =>
  Array.from({ length: count }, (_, n) => line(n));
const bad: readonly Bad[] = [
  {
    what: "a request line that is too long",
    status: 414,
    reason: "uri_too_long",
    send: (client) => client.send(client.text("GET", `/${"x".repeat(5000)}`)),
  },
  {
    what: "an endless request line",
    status: 414,
    reason: "uri_too_long",
    send: (client) => client.send(`GET http://plain.localhost/${"x".repeat(100_000)}`),
  },
  {
    what: "header fields that are too large",
    status: 431,
    reason: "headers_too_large",
    send: (client) => client.send(client.text("GET", "/bad", { fields: [`X-Large: ${"x".repeat(9000)}`] })),
  },
  {
    what: "too many header fields (attack 60)",
    status: 431,
    reason: "headers_too_large",
    send: (client) => client.send(client.text("GET", "/bad", { fields: many(60, (n) => `X-${n}: y`) })),
  },
  {
    what: "an endless field name",
    status: 431,
    reason: "headers_too_large",
    send: (client) => client.send(`GET / HTTP/1.1\r\n${"x".repeat(100_000)}`),
  },
  {
    what: "no Host",
    status: 400,
    reason: "invalid_host",
    send: (client) => client.send("GET /bad HTTP/1.1\r\nX-A: b\r\n\r\n"),
  },
  {
    what: "a Host with a path in it",
    keeps: true,
    status: 400,
    reason: "invalid_host",
    send: (client) => client.send("GET /bad HTTP/1.1\r\nHost: plain.localhost/x\r\n\r\n"),
  },
  {
    what: "an empty Host",
    keeps: true,
    status: 400,
    reason: "invalid_host",
    send: (client) => client.send("GET /bad HTTP/1.1\r\nHost:\r\n\r\n"),
  },
  {
    what: "TLS on a plain port",
    status: 400,
    reason: "malformed_request",
    send: (client) => client.send("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
  },
  {
    what: "a body over the limit of a transform that needs it, announced",
    keeps: true,
    status: 413,
    reason: "body_too_large",
    send: (client) => client.send(client.text("POST", "/held", { body: "x".repeat(1001) })),
  },
  {
    what: "a body over the limit of a transform that needs it, in chunks",
    status: 413,
    reason: "body_too_large",
    send(client) {
      client.send(client.text("POST", "/held", { fields: ["Transfer-Encoding: chunked"] }));
      for (let sent = 0; sent < 20; sent++) client.send(`64\r\n${"x".repeat(100)}\r\n`);
    },
  },
  {
    what: "a head that stops arriving (attack 60)",
    status: 408,
    reason: "request_timeout",
    send: (client) => client.send("GET http://plain.localhost/bad HTTP/1.1\r\nHost: pl"),
  },
  {
    what: "a head that trickles in (attack 60)",
    status: 408,
    reason: "request_timeout",
    async send(client) {
      client.send("GET http://plain.localhost/bad HTTP/1.1\r\n");
      for (let sent = 0; sent < 40 && client.reader.unread.length === 0; sent++) {
        client.send("X-A: b\r\n");
        await pause(50);
      }
    },
  },
  {
    what: "a body that stops arriving (attack 60)",
    status: 408,
    reason: "request_timeout",
    send: (client) =>
      client.send(`${client.text("POST", "/reaches", { fields: ["Content-Length: 10"] })}12345`),
  },
  {
    what: "a body that stops arriving while a transform waits for it (attack 60)",
    status: 408,
    reason: "request_timeout",
    send: (client) => client.send(`${client.text("POST", "/held", { fields: ["Content-Length: 10"] })}12345`),
  },
  {
    what: "an end inside the request line",
    status: 400,
    reason: "malformed_request",
    send(client) {
      client.send("GET /ba");
      client.socket.end();
    },
  },
  {
    what: "an end inside the header fields",
    status: 400,
    reason: "malformed_request",
    send(client) {
      client.send("GET http://plain.localhost/bad HTTP/1.1\r\nHost: plain.localhost\r\n");
      client.socket.end();
    },
  },
  {
    what: "an end inside a body with a length",
    status: 400,
    reason: "body_incomplete",
    send(client) {
      client.send(`${client.text("POST", "/reaches", { fields: ["Content-Length: 10"] })}12345`);
      client.socket.end();
    },
  },
  {
    what: "an end inside a chunked body",
    status: 400,
    reason: "body_incomplete",
    send(client) {
      client.send(`${client.text("POST", "/reaches", { fields: ["Transfer-Encoding: chunked"] })}5\r\nhel`);
      client.socket.end();
    },
  },
];

// Together: most of it is waiting for somebody's patience to end.
describe("bad requests", { concurrency: true }, () => {
  for (const { what, status, reason, send, keeps } of bad) {
    test(`I12 I13: ${what}: ${status} ${reason}`, async () => {
      const client = await world.open("absolute");
      await send(client);
      const answer = await client.answer();
      assert.equal(answer?.status, status);
      assert.equal(reasonOf(answer), reason);
      assert.equal(valueOf(answer?.fields ?? [], "content-type"), "application/json");
      assert.equal(valueOf(answer?.fields ?? [], "connection"), keeps ? undefined : "close");
      if (!keeps) await client.ended();
      const { audit } = await proxy.audit.last(client, 1);
      assert.equal(audit.status_code, status);
      assert.equal(audit.reason, reason);
      assert.ok(audit.bytes_in > 0);
      assert.equal(plain.count("/bad") + plain.count("/held"), 0);
      // Of a body that turned out bad on its way the upstream saw a part, and no end.
      const begun = plain.received.filter(({ target }) => target === "/reaches");
      assert.ok(begun.every(({ complete }) => !complete));
    });
  }

  test("I13: a client that says nothing is let go without a record", async () => {
    const client = await world.raw("http");
    assert.equal(await client.ended(), "end");
    assert.equal(client.reader.unread.length, 0);
    await proxy.audit.of(client, 0);
  });

  test("I12: a kept connection that nobody uses is closed", async () => {
    const client = await world.open("connect");
    assert.equal((await client.request("GET", "/idle")).status, 200);
    assert.equal(await client.ended(), "end");
    await proxy.audit.of(client, 2);
  });

  test("I12: a tunnel in which nobody says anything is closed", async () => {
    const client = await world.tunnel(world.secureAuthority);
    await client.ended();
    await proxy.audit.of(client, 1);
  });

  test("I12 I13: a ClientHello that stops arriving is given up and recorded", async () => {
    const client = await world.raw("https");
    client.send("\x16\x03\x01\x02\x00\x01\x00");
    await client.ended();
    assert.equal((await proxy.audit.last(client, 1)).audit.reason, "tls_client_hello_invalid");
  });

  test("I12 I13: a TLS handshake that stalls is given up and recorded", async () => {
    const client = await world.raw("https");
    client.send(await clientHello("api.e2e.test"));
    await client.ended();
    const line = await proxy.audit.last(client, 1);
    assert.equal(line.audit.reason, "tls_handshake_failed");
    assert.match(line.error ?? "", /no complete handshake in 700 ms/);
  });
});

/** The first record of a handshake that goes no further. */
function clientHello(servername: string): Promise<Buffer> {
  return new Promise((resolve) => {
    const wire = new Duplex({ read() {}, write: (chunk: Buffer) => resolve(chunk) });
    connectTls({ socket: wire, servername }).on("error", () => {});
  });
}

test("a CONNECT with a body is refused", async () => {
  const client = await world.raw();
  client.send(
    "CONNECT api.e2e.test:443 HTTP/1.1\r\nHost: api.e2e.test:443\r\nContent-Length: 5\r\n\r\nhello",
  );
  assert.equal((await client.answer())?.status, 400);
  await proxy.audit.of(client, 1);
});

test("many connections at once are all served, and each is recorded once", async () => {
  const clients = await Promise.all(Array.from({ length: 40 }, () => world.open("absolute")));
  const answers = await Promise.all(clients.map((client) => client.request("GET", "/together")));
  assert.ok(answers.every(({ status }) => status === 200));
  await Promise.all(clients.map((client) => proxy.audit.of(client, 1)));
  await eventually("the proxy is done", () => plain.count("/together") === 40);
});
