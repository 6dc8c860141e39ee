// How a connection is cut whose bytes must not look complete.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import type { Socket } from "node:net";
import { test } from "node:test";
import { createSecureContext } from "node:tls";
import { resetSocket } from "../../src/http/reset-socket.ts";
import { makeCa, makeLeaf } from "../helpers/pki.ts";
import { handshake, socketPair } from "../helpers/tls-pair.ts";

const ca = makeCa();
const leaf = makeLeaf(ca, ["localhost"]);
const context = createSecureContext({ cert: leaf.certPem, key: leaf.keyPem });

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
  readonly close: () => void;
}
const pairs: Readonly<Record<string, () => Promise<Pair>>> = {
  TCP: socketPair,
  TLS: () => handshake(context, { ca: ca.certPem, servername: "localhost" }),
};

/** Before it is cut. */
const before: Readonly<Record<string, (socket: Socket) => void>> = {
  "in the middle": () => {},
  "behind bytes that wait": (socket) => void socket.write(Buffer.alloc(10_000_000)),
  "right behind its end": (socket) => void socket.end(),
  "right behind its last bytes and its end": (socket) => void socket.end("last"),
};

const isLinux = process.platform === "linux";
const descriptors = (): number => readdirSync("/proc/self/fd").length;
const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

for (const [kind, open] of Object.entries(pairs)) {
  for (const [when, prepare] of Object.entries(before)) {
    test(`I12: a connection of ${kind} that is cut ${when} leaves no descriptor`, {
      skip: !isLinux,
      timeout: 5000,
    }, async () => {
      const atStart = descriptors();
      const { client, server, close } = await open();
      client.on("error", () => {});
      server.on("error", () => {});
      server.resume();
      // Node cannot take it while it is still telling of the handshake.
      await turn();
      prepare(client);
      const closed = once(client, "close");
      resetSocket(client);
      await closed;
      close();
      await turn();
      assert.equal(descriptors(), atStart);
    });
  }
}

test("a connection that is cut in the middle is reset, not ended", { timeout: 5000 }, async (t) => {
  const { client, server, close } = await socketPair();
  t.after(close);
  const { promise: closed, resolve } = Promise.withResolvers<boolean>();
  server.resume().on("close", resolve);
  let ended = false;
  server.on("end", () => {
    ended = true;
  });
  client.write("the beginning");
  resetSocket(client);
  assert.equal(await closed, true, "with an error");
  assert.ok(!ended);
});
