import assert from "node:assert/strict";
import { connect, createServer, Socket } from "node:net";
import { test, type TestContext } from "node:test";
import { standardDenyCidrs } from "../../src/config/defaults.ts";
import { parseAuthority } from "../../src/http/authority.ts";
import { defaultH1Limits } from "../../src/http/h1/limits.ts";
import { createDialer, type Dial } from "../../src/upstream/dial.ts";
import { UpstreamError } from "../../src/upstream/index.ts";
import { createGuard } from "../../src/upstream/guard.ts";
import { connectTcp, firstToConnect } from "../../src/upstream/tcp.ts";
import { createTlsClient } from "../../src/upstream/tls-client.ts";
import { listen, makeUpstream, send, serve, target } from "./kit.ts";

interface Names {
  readonly [name: string]: readonly string[];
}

/** A dialer whose names resolve as given, and that records what was resolved. */
function dialerFor(names: Names, denyCidrs: readonly string[], asked: string[] = []): Dial {
  return createDialer({
    guard: createGuard({
      denyCidrs,
      allowMetadata: false,
      ownAddresses: () => [{ address: "127.0.0.1", port: 4444 }],
    }),
    resolver: {
      resolve(name) {
        asked.push(name);
        return names[name] ?? [];
      },
      close() {},
    },
    chooseProxy: () => undefined,
    tlsClient: createTlsClient(undefined),
    connectMs: 2000,
    limits: defaultH1Limits,
  });
}

const options = { mode: "exchange", alpn: ["http/1.1"], signal: undefined } as const;

async function failureOf(dialed: Promise<unknown>): Promise<UpstreamError> {
  try {
    await dialed;
  } catch (error) {
    assert.ok(error instanceof UpstreamError, String(error));
    return error;
  }
  throw new Error("a connection was made");
}

test("I11 attacks 4 and 5: a name whose every address is denied is refused, as policy", async () => {
  const dial = dialerFor({ "rebind.example": ["127.0.0.1", "169.254.169.254", "::1"] }, standardDenyCidrs);
  const error = await failureOf(dial("http", parseAuthority("rebind.example:80", undefined), options));
  assert.deepEqual([error.reason, error.leg, error.status], ["upstream_address_denied", "connect", 403]);
  assert.doesNotMatch(error.message, /127\.|169\./, "the workload is not told the address");
  assert.match(error.detail ?? "", /127\.0\.0\.1 is in 127\.0\.0\.0\/8/);
});

test("I11: of several addresses only the denied ones are left out", async (t) => {
  const server = await serve(t, () => {});
  const dial = dialerFor({ "mixed.example": ["127.0.0.2", "127.0.0.1"] }, ["127.0.0.2/32"]);
  const { socket, address } = await dial(
    "http",
    parseAuthority(`mixed.example:${server.port}`, undefined),
    options,
  );
  socket.destroy();
  assert.equal(address, server.address);
});

test("I11 attack 4: a name is resolved once, and what was checked is what is dialled", async (t) => {
  const server = await serve(t, () => {});
  const asked: string[] = [];
  const dial = dialerFor({ "one.example": ["127.0.0.1"] }, [], asked);
  const { socket } = await dial("http", parseAuthority(`one.example:${server.port}`, undefined), options);
  socket.destroy();
  assert.deepEqual(asked, ["one.example"]);
});

for (const literal of [
  "127.0.0.1",
  "0.0.0.0",
  "[::1]",
  "[::]",
  "[::ffff:127.0.0.1]",
  "169.254.169.254",
  "[64:ff9b::7f00:1]",
]) {
  test(`I11 attack 12: refuses the literal ${literal} without looking anything up`, async () => {
    const asked: string[] = [];
    const dial = dialerFor({}, standardDenyCidrs, asked);
    const error = await failureOf(dial("http", parseAuthority(`${literal}:80`, undefined), options));
    assert.equal(error.reason, "upstream_address_denied");
    assert.deepEqual(asked, []);
  });
}

test("I11: the proxy's own listener is never an upstream, by name or by address", async () => {
  const dial = dialerFor({ "self.example": ["127.0.0.1"] }, []);
  for (const host of ["127.0.0.1", "self.example"]) {
    const error = await failureOf(dial("http", parseAuthority(`${host}:4444`, undefined), options));
    assert.deepEqual([error.reason, error.status], ["proxy_loop", 403]);
  }
});

test("I11: the operator's own destinations skip the deny list but not the loop check", async (t) => {
  const server = await serve(t, () => {});
  const dial = dialerFor({}, standardDenyCidrs);
  const trusted = { ...options, trusted: true };
  const { socket } = await dial("http", parseAuthority(server.address, undefined), trusted);
  socket.destroy();
  const error = await failureOf(dial("http", parseAuthority("127.0.0.1:4444", undefined), trusted));
  assert.equal(error.reason, "proxy_loop");
});

test("a port where nothing listens is a 502 that says so", async (t) => {
  const server = createServer();
  const port = await listen(server);
  await new Promise((resolve) => server.close(resolve));
  const { error } = await send(makeUpstream(t), target(`localhost:${port}`));
  assert.deepEqual([error?.reason, error?.leg, error?.status], ["upstream_connect_failed", "connect", 502]);
  assert.match(error?.message ?? "", /nothing listens there/);
  assert.doesNotMatch(error?.message ?? "", /127\.0\.0\.1/);
});

test("a name that does not exist is a 502 of the resolve leg", async (t) => {
  const { error } = await send(makeUpstream(t), target("does-not-exist.invalid:80"));
  assert.deepEqual([error?.reason, error?.leg, error?.status], ["upstream_resolve_failed", "resolve", 502]);
});

test("a look-up that takes all the time there is to connect is the resolver's failure", async () => {
  const dial = createDialer({
    guard: createGuard({ denyCidrs: [], allowMetadata: false, ownAddresses: () => [] }),
    resolver: { resolve: () => new Promise(() => {}), close() {} },
    chooseProxy: () => undefined,
    tlsClient: createTlsClient(undefined),
    connectMs: 40,
    limits: defaultH1Limits,
  });
  const error = await failureOf(dial("http", parseAuthority("slow.example:80", undefined), options));
  assert.deepEqual([error.reason, error.leg, error.status], ["upstream_resolve_failed", "resolve", 502]);
});

async function unusedPort(t: TestContext, address: string): Promise<number> {
  const server = createServer();
  server.listen(0, address);
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as { port: number };
  t.after(() => server.close());
  return port;
}

test("RFC 8305: goes to the next address at once when one refuses", async (t) => {
  const port = await unusedPort(t, "127.0.0.5");
  const began = performance.now();
  const signal = new AbortController().signal;
  const socket = await connectTcp(["127.0.0.3", "127.0.0.4", "127.0.0.5"], {
    port,
    allowHalfOpen: false,
    signal,
  });
  assert.equal(socket.remoteAddress, "127.0.0.5");
  assert.ok(performance.now() - began < 200);
  socket.destroy();
});

test("RFC 8305: families by turns, each attempt with a head start, and the losers are destroyed", async (t) => {
  const port = await unusedPort(t, "127.0.0.1");
  const began: [address: string, at: number][] = [];
  const silent: Socket[] = [];
  const start = performance.now();
  const open = (address: string): Socket => {
    began.push([address, performance.now() - start]);
    if (began.length === 3) return connect(port, "127.0.0.1");
    const socket = new Socket();
    silent.push(socket);
    return socket;
  };
  const addresses = ["2001:db8::1", "2001:db8::2", "192.0.2.1", "192.0.2.2"];
  const socket = await firstToConnect(addresses, open, new AbortController().signal);
  socket.destroy();
  assert.deepEqual(
    began.map(([address]) => address),
    ["2001:db8::1", "192.0.2.1", "2001:db8::2"],
  );
  const [first = 0, second = 0, third = 0] = began.map(([, at]) => at);
  assert.ok(second - first >= 240 && third - second >= 240, `${first} ${second} ${third}`);
  assert.ok(silent.every(({ destroyed }) => destroyed));
});

test("when all addresses fail, the first failure is told", async (t) => {
  const port = await unusedPort(t, "127.0.0.5");
  const signal = new AbortController().signal;
  await assert.rejects(connectTcp(["127.0.0.3", "127.0.0.4"], { port, allowHalfOpen: false, signal }), {
    code: "ECONNREFUSED",
    address: "127.0.0.3",
  });
});

test("an aborted attempt connects to nothing", async (t) => {
  const port = await unusedPort(t, "127.0.0.1");
  const reason = new Error("enough");
  const early = connectTcp(["127.0.0.1"], { port, allowHalfOpen: false, signal: AbortSignal.abort(reason) });
  await assert.rejects(early, reason);
  const controller = new AbortController();
  const late = connectTcp(["127.0.0.1"], { port, allowHalfOpen: false, signal: controller.signal });
  controller.abort(reason);
  await assert.rejects(late, reason);
});

for (const [what, port] of [
  ["is made", undefined],
  ["fails", 1],
] as const) {
  test(`close waits for a connection of the caller's own until it ${what}`, async (t) => {
    const server = await serve(t, () => {});
    const upstream = makeUpstream(t);
    const to = target(port === undefined ? server.address : `127.0.0.1:${port}`, "https");
    const connecting = upstream.connect(to, { raw: true });
    const closing = upstream.close();
    if (port === undefined) (await connecting).socket.destroy();
    else await assert.rejects(connecting, { reason: "upstream_connect_failed" });
    await closing;
  });
}
