import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import http2 from "node:http2";
import net, { type AddressInfo } from "node:net";
import { afterEach, before, describe, test } from "node:test";
import tls from "node:tls";
import type { Host } from "../../src/http/authority.ts";
import { parseCa } from "../../src/tls/ca.ts";
import { ClientHelloReader } from "../../src/tls/client-hello.ts";
import { LeafStore } from "../../src/tls/leaf.ts";
import {
  alerts,
  sendAlert,
  terminate,
  TlsHandshakeError,
  type HandshakeFailure,
} from "../../src/tls/server.ts";
import { makeCa, type TestCa } from "../helpers/pki.ts";
import { socketPair } from "../helpers/tls-pair.ts";

const host = (name: string): Host => ({ name, kind: "name" });
const api = host("api.example.com");

let root: TestCa;
let leaves: LeafStore;

before(() => {
  root = makeCa();
  leaves = new LeafStore(parseCa(root.certPem, root.keyPem), { cacheSize: 10, expiryHours: 1 });
});

const cleanUp: (() => void)[] = [];
afterEach(() => {
  for (const task of cleanUp.splice(0)) task();
});

interface Options {
  readonly alpn?: string[];
  readonly handshakeTimeoutMs?: number;
  readonly allowHalfOpen?: boolean;
}

/** A server as the listeners are: reads the ClientHello, then ends TLS with the leaf of the name in it. */
async function listen(options: Options = {}): Promise<{
  port: number;
  next: () => Promise<tls.TLSSocket>;
}> {
  const { alpn = ["http/1.1"], handshakeTimeoutMs = 2000, allowHalfOpen = false } = options;
  const sockets = new Set<net.Socket>();
  const waiting: ((secure: Promise<tls.TLSSocket>) => void)[] = [];
  const arrived: Promise<tls.TLSSocket>[] = [];
  const server = net.createServer({ allowHalfOpen }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    const reader = new ClientHelloReader();
    const chunks: Buffer[] = [];
    const onData = (chunk: Buffer) => {
      chunks.push(chunk);
      const hello = reader.push(chunk);
      if (hello.kind === "incomplete") return;
      assert.equal(hello.kind, "hello");
      socket.removeListener("data", onData);
      const name = hello.kind === "hello" ? hello.serverName : undefined;
      const secure = (async () => {
        const context = await leaves.contextFor(
          name === undefined ? { name: "127.0.0.1", kind: "ipv4" } : host(name),
        );
        return terminate(socket, Buffer.concat(chunks), { context, alpn, handshakeTimeoutMs });
      })();
      secure.catch(() => {});
      const waiter = waiting.shift();
      if (waiter === undefined) arrived.push(secure);
      else waiter(secure);
    };
    socket.on("data", onData);
  });
  cleanUp.push(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    next: () => arrived.shift() ?? new Promise((resolve) => waiting.push(resolve)),
  };
}

function connect(port: number, options: tls.ConnectionOptions = {}): tls.TLSSocket {
  const client = tls.connect({ port, host: "127.0.0.1", ca: root.certPem, servername: api.name, ...options });
  client.on("error", () => {});
  return client;
}

async function failure(promise: Promise<unknown>): Promise<TlsHandshakeError> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof TlsHandshakeError, String(error));
    return error;
  }
  return assert.fail("the handshake was expected to fail");
}

describe("terminate", () => {
  test("ends TLS with the leaf of the host and carries bytes both ways", async () => {
    const server = await listen();
    const client = connect(server.port);
    client.write("ping");
    const secure = await server.next();
    const [request] = (await once(secure, "data")) as [Buffer];
    secure.write("pong");
    const [answer] = (await once(client, "data")) as [Buffer];
    assert.deepEqual([request.toString(), answer.toString()], ["ping", "pong"]);
    assert.equal(client.authorized, true);
    assert.equal(client.alpnProtocol, false);
    assert.equal(secure.getProtocol(), "TLSv1.3");
  });

  test("serves a client that names no server, as clients of an IP address do", async () => {
    const server = await listen();
    const client = connect(server.port, { servername: "" });
    await once(client, "secureConnect");
    assert.equal(client.authorized, true);
    await server.next();
  });

  for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
    test(`resumes a ${maxVersion} session in a new connection, under another leaf of the host too`, async () => {
      const server = await listen();
      const first = connect(server.port, { maxVersion });
      const session = once(first, "session") as Promise<[Buffer]>;
      const one = await server.next();
      one.write("x");
      const [ticket] = await session;
      assert.equal(one.isSessionReused(), false);
      const resumed = async (servername: string) => {
        const again = connect(server.port, { maxVersion, session: ticket, servername });
        await once(again, "secureConnect");
        assert.equal((await server.next()).isSessionReused(), again.isSessionReused());
        return again.isSessionReused();
      };
      assert.equal(await resumed(api.name), true);
      const old = await leaves.contextFor(api);
      leaves.close();
      assert.notEqual(await leaves.contextFor(api), old);
      assert.equal(await resumed(api.name), true);
      assert.equal(await resumed("other.example.com"), false, "a session belongs to one name (I10)");
    });
  }

  test("takes a ClientHello that arrives byte by byte", async () => {
    const server = await listen();
    const pair = await socketPair();
    const relay = net.connect(server.port, "127.0.0.1");
    relay.setNoDelay(true);
    pair.server.on("data", (chunk: Buffer) => {
      for (const byte of chunk) relay.write(Buffer.of(byte));
    });
    relay.on("data", (chunk) => pair.server.write(chunk));
    const client = tls.connect({ socket: pair.client, ca: root.certPem, servername: api.name });
    await once(client, "secureConnect");
    assert.equal(client.authorized, true);
    await server.next();
    pair.close();
    relay.destroy();
  });

  test("agrees on the first protocol of ours that the client offers", async () => {
    const server = await listen({ alpn: ["h2", "http/1.1"] });
    const client = connect(server.port, { ALPNProtocols: ["http/1.1", "h2"] });
    await once(client, "secureConnect");
    assert.equal(client.alpnProtocol, "h2");
    assert.equal((await server.next()).alpnProtocol, "h2");
  });

  test("gives a socket that http2 can serve at once", async () => {
    const server = await listen({ alpn: ["h2"] });
    const session = http2.connect(`https://api.example.com:${server.port}`, {
      ca: root.certPem,
      createConnection: () => connect(server.port, { ALPNProtocols: ["h2"] }),
    });
    const inner = http2.performServerHandshake(await server.next());
    inner.on("stream", (stream) => {
      stream.respond({ ":status": 204 });
      stream.end();
    });
    const request = session.request({ ":path": "/" });
    const [headers] = (await once(request, "response")) as [http2.IncomingHttpHeaders];
    assert.equal(headers[":status"], 204);
    session.destroy();
    inner.destroy();
  });

  test("closes a connection that breaks after the handshake, when nobody listens for errors", async () => {
    const server = await listen();
    const pair = await socketPair();
    const relay = net.connect(server.port, "127.0.0.1");
    pair.server.pipe(relay);
    relay.pipe(pair.server);
    const client = tls.connect({ socket: pair.client, ca: root.certPem, servername: api.name });
    await once(client, "secureConnect");
    const secure = await server.next();
    const closed = gone(secure);
    relay.write(Buffer.from([23, 3, 3, 0, 4, 1, 2, 3, 4]));
    await closed;
    assert.equal(secure.destroyed, true);
    pair.close();
  });
});

describe("a handshake that fails says why", () => {
  const cases: {
    title: string;
    client: tls.ConnectionOptions;
    alpn?: string[];
    failure: HandshakeFailure;
    message: RegExp;
  }[] = [
    {
      title: "to a client of old TLS",
      client: { minVersion: "TLSv1.1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" },
      failure: "unsupported",
      message: /^the client speaks no TLS version from 1\.2 up$/,
    },
    {
      title: "to a client of RSA certificates only",
      client: { maxVersion: "TLSv1.2", ciphers: "ECDHE-RSA-AES128-GCM-SHA256" },
      failure: "unsupported",
      message: /^no cipher suite in common/,
    },
    {
      title: "to a client that offers only protocols we lack",
      client: { ALPNProtocols: ["h2"] },
      alpn: ["http/1.1"],
      failure: "unsupported",
      message: /^the client's ALPN offers none of http\/1\.1$/,
    },
  ];
  for (const { title, client: options, alpn = ["http/1.1"], failure: kind, message } of cases) {
    test(title, async () => {
      const server = await listen({ alpn });
      const client = connect(server.port, options);
      const refused = gone(client);
      const error = await failure(server.next());
      assert.equal(error.failure, kind);
      assert.match(error.message, message);
      await refused;
    });
  }

  test("to a client that does not trust our CA", async (t) => {
    if (spawnSync("openssl", ["version"]).error !== undefined) return t.skip("openssl is not installed");
    const server = await listen();
    const args = [
      "-connect",
      `127.0.0.1:${server.port}`,
      "-servername",
      api.name,
      "-verify_return_error",
      "-no-CAfile",
      "-no-CApath",
    ];
    const client = spawn("openssl", ["s_client", ...args], { stdio: "ignore" });
    const error = await failure(server.next());
    assert.equal(error.failure, "untrusted");
    assert.equal(error.message, "the client refused our certificate (unknown ca); make it trust ca.crt");
    assert.equal(error.alert, "unknown ca");
    client.kill();
  });

  for (const allowHalfOpen of [false, true]) {
    for (const leave of ["end", "destroy", "resetAndDestroy"] as const) {
      test(`when the client leaves (${leave}, allowHalfOpen ${allowHalfOpen})`, async () => {
        const server = await listen({ allowHalfOpen });
        const hello = await clientHello();
        const client = net.connect(server.port, "127.0.0.1");
        client.on("error", () => {});
        client.write(hello);
        await once(client, "data");
        client[leave]();
        const error = await failure(server.next());
        assert.equal(error.failure, "closed");
        client.destroy();
      });
    }
  }

  test("I12: when the client does not finish in time, and closes", async () => {
    const server = await listen({ handshakeTimeoutMs: 50 });
    const client = net.connect(server.port, "127.0.0.1");
    client.write(await clientHello());
    const closed = gone(client);
    client.resume();
    const error = await failure(server.next());
    assert.equal(error.failure, "timeout");
    assert.match(error.message, /50 ms/);
    await closed;
  });

  test("when the connection is gone before it begins", async () => {
    const pair = await socketPair();
    pair.close();
    const context = await leaves.contextFor(api);
    const options = { context, alpn: [], handshakeTimeoutMs: 1000 };
    assert.equal((await failure(terminate(pair.server, Buffer.alloc(0), options))).failure, "closed");
  });
});

describe("sendAlert", () => {
  test("tells a TLS client why before the handshake, and closes", async () => {
    const pair = await socketPair();
    pair.server.once("data", () => sendAlert(pair.server, alerts.unrecognizedName));
    const client = tls.connect({ socket: pair.client, servername: api.name });
    const [error] = (await once(client, "error")) as [Error & { reason?: string }];
    assert.match(error.reason ?? "", /unrecognized name/);
    await gone(pair.server);
  });
});

/** When the socket is closed; events.once would reject on an error before. */
function gone(socket: net.Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.closed) resolve();
    else socket.once("close", () => resolve());
  });
}

/** The first bytes that a TLS client sends. */
async function clientHello(): Promise<Buffer> {
  const pair = await socketPair();
  tls.connect({ socket: pair.client, servername: api.name }).on("error", () => {});
  const [bytes] = (await once(pair.server, "data")) as [Buffer];
  pair.close();
  return bytes;
}
