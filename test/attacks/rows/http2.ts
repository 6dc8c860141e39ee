// Attacks 24 to 27: what HTTP/2 can say that HTTP/1.1 would take for something else.
import type { TLSSocket } from "node:tls";
import { eventually, within } from "../../e2e/harness/wait.ts";
import { clientPreface, settingsFrame } from "../../../src/http/h2/frames.ts";
import { frame, RawClient } from "../../http/h2/kit.ts";
import { type Arena, authorization, nothingArrives, refusal } from "../arena.ts";
import { type Attack, by, each, hold } from "../attack.ts";
import { byteWays, h2Ways, open, replyOf, textOf, tlsWays, type Way } from "../workload.ts";

type Fields = readonly (readonly [string, string])[];

/** A request that begins as one has to. */
const begin = (authority: string, path = "/h2"): Fields => [
  [":method", "GET"],
  [":scheme", "https"],
  [":authority", authority],
  [":path", path],
];

const crossings: readonly (readonly [what: string, fields: (authority: string) => Fields])[] = [
  ["a line break in a value", (to) => [...begin(to), ["x-a", "b\r\nx-evil: yes"]]],
  ["a line feed in a value", (to) => [...begin(to), ["x-a", "b\nx-evil: yes"]]],
  ["NUL in a value", (to) => [...begin(to), ["x-a", "b\0c"]]],
  ["a line break in a name", (to) => [...begin(to), ["x-a: b\r\nx-evil", "yes"]]],
  ["a colon in a name", (to) => [...begin(to), ["x-a:b", "c"]]],
  ["a space in a name", (to) => [...begin(to), ["x a", "c"]]],
  ["capitals in a name", (to) => [...begin(to), ["X-A", "c"]]],
  ["Transfer-Encoding", (to) => [...begin(to), ["transfer-encoding", "chunked"]]],
  ["Connection", (to) => [...begin(to), ["connection", "authorization"]]],
  ["a second request in the path", (to) => begin(to, "/ HTTP/1.1\r\nHost: evil.test\r\n\r\nGET /smuggled")],
  ["a space in the path", (to) => begin(to, "/a b")],
  ["a line break in the method", (to) => [[":method", "GET / HTTP/1.1\r\nX: "], ...begin(to).slice(1)]],
  [
    "a line break in the scheme",
    (to) => [[":method", "GET"], [":scheme", "https\r\n"], ...begin(to).slice(2)],
  ],
  ["a length that is not the body's", (to) => [...begin(to), ["content-length", "5"]]],
  ["two lengths", (to) => [...begin(to), ["content-length", "0"], ["content-length", "5"]]],
  ["TE other than trailers", (to) => [...begin(to), ["te", "gzip"]]],
];

const repeats: readonly (readonly [what: string, fields: (authority: string) => Fields])[] = [
  ["two :path", (to) => [...begin(to), [":path", "/other"]]],
  ["two :authority", (to) => [...begin(to), [":authority", "other.e2e.test"]]],
  ["two :method", (to) => [...begin(to), [":method", "DELETE"]]],
  ["a pseudo-header behind a field", (to) => [...begin(to).slice(0, 3), ["x-a", "b"], [":path", "/h2"]]],
  ["an unknown pseudo-header", (to) => [...begin(to), [":evil", "b"]]],
  ["no :path", (to) => begin(to).slice(0, 3)],
  ["an empty :path", (to) => begin(to, "")],
  ["no :method", (to) => begin(to).slice(1)],
  [":status", (to) => [...begin(to), [":status", "200"]]],
  ["a Host that is not :authority", (to) => [...begin(to), ["host", "other.e2e.test"]]],
  ["two Hosts", (to) => [...begin(to), ["host", to], ["host", "other.e2e.test"]]],
];

/** Sends one header block on stream 1 and says how it was met; an answer other than a refusal is a breach. */
async function sendFields(arena: Arena, way: Way, fields: (authority: string) => Fields): Promise<string> {
  const { authority } = arena.target(way);
  const opened = await open(arena, way, { authority });
  if ("reply" in opened) return refusal(opened.reply);
  const client = rawOn(opened.client.socket as TLSSocket, () => opened.client.reader.release());
  client.send(frame(1, 5, 1, client.block(fields(authority))));
  const end = await endOf(client);
  opened.client.close();
  hold(!/^[123]/.test(end), `answered with ${end}`);
  return end;
}

/** How the proxy answered stream 1: a reset, an answer, or the end of the connection. */
async function endOf(client: RawClient): Promise<string> {
  const kinds = [1, 3, 7];
  const { type, payload } = await eventually("an answer to the stream", () =>
    client.frames.find((one) => kinds.includes(one.type)),
  );
  if (type === 3) return `stream reset ${payload.readUInt32BE(0)}`;
  if (type === 7) return `connection error ${payload.readUInt32BE(4)}`;
  const head = await client.fields(1);
  return `${head[":status"]} ${head["sallyport-reason"] ?? ""}`;
}

/** A client of frames on an open TLS connection. */
export function rawOn(socket: TLSSocket, release: () => Buffer): RawClient {
  const unread = release();
  if (unread.length > 0) socket.unshift(unread);
  const client = new RawClient(socket);
  socket.on("error", () => {}).resume();
  client.send(clientPreface, settingsFrame([]), frame(4, 1, 0));
  return client;
}

export const http2: readonly Attack[] = [
  {
    number: 24,
    title: "HTTP/2 fields that become other HTTP/1.1",
    defence: "checked against HTTP/1.1's grammar as they arrive and as they leave; the stream is reset",
    attempts: each(
      crossings,
      h2Ways,
      ([what]) => what,
      "refused",
      (arena, way, [, fields]) => nothingArrives(arena, () => sendFields(arena, way, fields)),
    ),
  },
  {
    number: 25,
    title: "Repeated pseudo-headers, Host that differs from `:authority`",
    defence: "the stream is reset; 421",
    attempts: each(
      repeats,
      h2Ways,
      ([what]) => what,
      "refused",
      (arena, way, [, fields]) => nothingArrives(arena, () => sendFields(arena, way, fields)),
    ),
  },
  {
    number: 26,
    title: "An upgrade to h2c, or its preface",
    defence: "the upgrade is not passed on, the preface is refused",
    attempts: [
      ...by(byteWays, "the preface", "refused", (arena, way) =>
        nothingArrives(arena, async () => {
          const { authority } = arena.target(way);
          const opened = await open(arena, way, { authority });
          if ("reply" in opened) return refusal(opened.reply);
          opened.client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
          return refusal(
            replyOf(arena, await opened.client.answer()),
            "version_not_supported",
            "malformed_request",
          );
        }),
      ),
      ...by(byteWays, "an upgrade, and HTTP/2 right behind it", "neutralised", async (arena, way) => {
        const { authority, upstream } = arena.target(way);
        const opened = await open(arena, way, { authority });
        if ("reply" in opened) return refusal(opened.reply);
        const { client } = opened;
        const path = `/h2c/${encodeURIComponent(way)}`;
        const fields = [
          ["Connection", "Upgrade, HTTP2-Settings"],
          ["Upgrade", "h2c"],
          ["HTTP2-Settings", "AAMAAABkAAQAAP__"],
        ] as const;
        client.send(textOf(way, { authority, path, fields }));
        hold((await client.answer())?.status === 200, "it was not answered as HTTP/1.1");
        const { head } = await upstream.request(path);
        hold(!/upgrade|http2-settings/i.test(head.replace(path, "")), "the upgrade was passed on");
        client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        const next = replyOf(arena, await client.answer());
        hold(next.status === 0 || next.status >= 400, "the preface was let through");
        return "passed on as HTTP/1.1, without the upgrade";
      }),
    ],
  },
  {
    number: 27,
    title: "ALPN for a protocol that is not inspected",
    defence:
      "only `h2` and `http/1.1` are offered, and what was chosen is what is parsed; without one of them no handshake",
    attempts: [
      ...each(
        ["acme-tls/1", "h3", "spdy/3.1", "ssh"],
        tlsWays.slice(0, 3),
        (protocol) => `ALPN ${protocol}`,
        "refused",
        async (arena, way, protocol) => refusal(await arena.ask(way, { tls: { ALPNProtocols: [protocol] } })),
      ),
      ...by(tlsWays.slice(0, 3), "HTTP/2 chosen, HTTP/1.1 spoken", "refused", (arena, way) =>
        nothingArrives(arena, async () => {
          const { authority } = arena.target(way);
          const opened = await open(arena, way, { authority, tls: { ALPNProtocols: ["h2"] } });
          if ("reply" in opened) return refusal(opened.reply);
          opened.client.send(textOf(way, { authority, fields: [authorization] }));
          const all = await within("the end", opened.client.reader.rest());
          hold(!all.includes("HTTP/1.1 200"), "it was answered");
          return "closed";
        }),
      ),
    ],
  },
];
