// Attack 60: more of something than anybody needs, or all of it very slowly.
import { once } from "node:events";
import { connect as connectTls, type TLSSocket } from "node:tls";
import * as zlib from "node:zlib";
import { eventually, within } from "../../e2e/harness/wait.ts";
import { frame, type RawClient, uint32 } from "../../http/h2/kit.ts";
import { type Arena, authorization, refusal } from "../arena.ts";
import { type Attempt, by, each, hold } from "../attack.ts";
import { byteWays, open, replyOf, textOf, tlsWays, type Way } from "../workload.ts";
import { rawOn } from "./http2.ts";

const many = <Value>(count: number, make: (index: number) => Value): Value[] =>
  Array.from({ length: count }, (_, index) => make(index));

/** Heads that do not end where an honest one would. */
const heads: readonly (readonly [what: string, text: (way: Way, authority: string) => string])[] = [
  ["a long target", (way, authority) => textOf(way, { authority, path: `/${"x".repeat(100_000)}` })],
  ["a large field", (way, authority) => textOf(way, { authority, fields: [["X-A", "x".repeat(400_000)]] })],
  ["many fields", (way, authority) => textOf(way, { authority, fields: many(5000, (n) => [`X-${n}`, "y"]) })],
];

type Make = (client: RawClient, authority: string) => readonly Uint8Array[];

const h2Floods: readonly (readonly [what: string, make: Make])[] = [
  ["PING", () => many(2000, () => frame(6, 0, 0, Buffer.alloc(8)))],
  ["SETTINGS", () => many(2000, () => frame(4, 0, 0))],
  [
    "streams that are reset at once",
    (client, authority) =>
      many(1100, (n) => [
        frame(
          1,
          4,
          n * 2 + 1,
          client.block([
            [":method", "POST"],
            [":scheme", "https"],
            [":authority", authority],
            [":path", "/"],
          ]),
        ),
        frame(3, 0, n * 2 + 1, uint32(8)),
      ]).flat(),
  ],
  [
    "CONTINUATION without end",
    (client) => [
      frame(1, 0, 1, client.block([[":method", "GET"]])),
      ...many(2000, () => frame(9, 0, 1, Buffer.alloc(1000, 0x82))),
    ],
  ],
];

export const floods: readonly Attempt[] = [
  ...each(
    heads,
    byteWays,
    ([what]) => what,
    "refused",
    async (arena, way, [, text]) => {
      const { authority } = arena.target(way);
      const opened = await open(arena, way, { authority });
      if ("reply" in opened) return refusal(opened.reply);
      opened.client.send(text(way, authority));
      return refusal(replyOf(arena, await opened.client.answer()), "uri_too_long", "headers_too_large");
    },
  ),
  ...by(
    byteWays.slice(0, 1),
    "a head that never ends, a byte now and then",
    "refused",
    async (arena, way) => {
      const opened = await open(arena, way, arena.target(way));
      if ("reply" in opened) return refusal(opened.reply);
      const { client } = opened;
      client.send("GET / HTTP/1.1\r\nX-A: ");
      const drip = setInterval(() => client.send("a"), 300);
      try {
        return refusal(replyOf(arena, await client.answer()), "request_timeout");
      } finally {
        clearInterval(drip);
      }
    },
  ),
  ...each(
    h2Floods,
    tlsWays.slice(3, 4),
    ([what]) => what,
    "refused",
    async (arena, way, [, make]) => {
      const { authority } = arena.target(way);
      const opened = await open(arena, way, { authority });
      if ("reply" in opened) return refusal(opened.reply);
      const { client } = opened;
      const raw = rawOn(client.socket as TLSSocket, () => client.reader.release());
      for (const piece of make(raw, authority)) raw.send(piece);
      const end = await eventually(
        "the connection's end",
        () => raw.frames.find(({ type }) => type === 7) ?? (raw.ended && "cut"),
      );
      client.close();
      return end === "cut" ? "the connection is cut" : `connection error ${end.payload.readUInt32BE(4)}`;
    },
  ),
  ...by(["redirected TLS"], "names invented one after the other", "refused", invented),
  ...each(
    ["br", "zstd"],
    ["CONNECT", "CONNECT, HTTP/2"],
    (coding) => `a bomb of 64 MiB in ${coding}`,
    "refused",
    async (arena, way, coding) => {
      const bomb = bombs[coding] as Buffer;
      arena.target(way).upstream.on(`/bomb/${coding}`, async (request) => {
        await request.body();
        request.write(
          `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: ${coding}\r\nContent-Length: ${bomb.length}\r\n\r\n`,
        );
        request.write(bomb);
      });
      const reply = await arena.ask(way, { path: `/bomb/${coding}`, fields: [authorization] });
      if (reply.reason !== undefined && reply.status >= 500) return refusal(reply, "unscrubbable_encoding");
      hold(!reply.complete, "it went through whole");
      return "the answer is cut";
    },
  ),
];

const zeros = Buffer.alloc(64 * 1024 * 1024);
const bombs: Readonly<Record<string, Buffer>> = {
  br: zlib.brotliCompressSync(zeros, { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 5 } }),
  zstd: zlib.zstdCompressSync(zeros),
};

/** Each wants a certificate of its own; the answer that explains a refusal is rationed. */
async function invented(arena: Arena): Promise<string> {
  for (let number = 1; number <= 60; number++) {
    const client = await arena.world.raw("https");
    const socket = connectTls({
      socket: client.socket,
      servername: `invented-${number}.test`,
      ca: arena.world.proxyCa.certPem,
    });
    const made = await within(
      "a handshake or an alert",
      once(socket, "secureConnect").then(
        () => true,
        () => false,
      ),
    );
    socket.destroy();
    if (!made) return `an alert from name ${number} on`;
  }
  hold(false, "60 certificates were made");
  return "";
}
