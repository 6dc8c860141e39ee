// Attacks 28 to 31: WebSocket, and what only looks like it.
import { once } from "node:events";
import { type Field, valueOf, valuesOf } from "../../e2e/harness/message.ts";
import type { Scripted } from "../../e2e/harness/upstream.ts";
import { pause, within } from "../../e2e/harness/wait.ts";
import { acceptOf } from "../../e2e/websocket-support.ts";
import { type Arena, authorization, nothingArrives, refusal } from "../arena.ts";
import { type Attack, by, each, hold } from "../attack.ts";
import { byteWays, open, type Reply, replyOf, sessionOn, type Way } from "../workload.ts";

const key = "dGhlIHNhbXBsZSBub25jZQ==";
const handshake: readonly Field[] = [
  ["Connection", "Upgrade"],
  ["Upgrade", "websocket"],
  ["Sec-WebSocket-Version", "13"],
  ["Sec-WebSocket-Key", key],
];
const without = (name: string): readonly Field[] => handshake.filter(([one]) => one !== name);

const invalid: readonly (readonly [
  what: string,
  fields: readonly Field[],
  method?: string,
  body?: string,
])[] = [
  ["another method", handshake, "POST"],
  ["a body", handshake, "GET", "frames?"],
  ["no key", without("Sec-WebSocket-Key")],
  ["a short key", [...without("Sec-WebSocket-Key"), ["Sec-WebSocket-Key", "eA=="]]],
  ["two keys", [...handshake, ["Sec-WebSocket-Key", key]]],
  ["another version", [...without("Sec-WebSocket-Version"), ["Sec-WebSocket-Version", "8"]]],
];

/** Heads of a 101 that is none. */
const lies: readonly (readonly [what: string, lines: (request: Scripted) => readonly string[]])[] = [
  ["no Accept", () => ["Upgrade: websocket", "Connection: Upgrade"]],
  ["a wrong Accept", () => ["Upgrade: websocket", "Connection: Upgrade", `Sec-WebSocket-Accept: ${key}`]],
  [
    "another protocol",
    ({ fields }) => ["Upgrade: h2c", "Connection: Upgrade", `Sec-WebSocket-Accept: ${acceptOf(fields)}`],
  ],
  ["no Upgrade", ({ fields }) => ["Connection: Upgrade", `Sec-WebSocket-Accept: ${acceptOf(fields)}`]],
  [
    "an extension that nobody offered",
    ({ fields }) => [
      "Upgrade: websocket",
      "Connection: Upgrade",
      `Sec-WebSocket-Accept: ${acceptOf(fields)}`,
      "Sec-WebSocket-Extensions: permessage-deflate",
    ],
  ],
];

const accepts = (request: Scripted): void =>
  request.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${acceptOf(request.fields)}\r\n\r\n`,
  );

/** A handshake on a stream of HTTP/2 (RFC 8441). */
async function onStream(
  arena: Arena,
  way: Way,
  authority: string,
  path: string,
  protocol = "websocket",
): Promise<Reply> {
  const opened = await open(arena, way, { authority });
  if ("reply" in opened) return opened.reply;
  const session = sessionOn(opened.client);
  try {
    await within("settings", once(session, "remoteSettings"));
    const stream = session.request(
      { ":method": "CONNECT", ":protocol": protocol, ":path": path, "sec-websocket-version": "13" },
      { endStream: false },
    );
    stream.on("error", () => {});
    const [head] = (await within("an answer", once(stream, "response"))) as [Record<string, number | string>];
    const fields = Object.entries(head).map(([name, value]): Field => [name, String(value)]);
    const reason = head["sallyport-reason"]?.toString();
    return { status: Number(head[":status"]), reason, fields, body: Buffer.alloc(0), complete: true };
  } finally {
    session.destroy();
  }
}

export const upgrades: readonly Attack[] = [
  {
    number: 28,
    title: "A WebSocket upgrade that skips the checks",
    defence: "a handshake is decided on like any request, and only a valid one is passed on",
    attempts: [
      ...by(["CONNECT", "SOCKS5", "redirected TLS"], "a path that is not allowed", "refused", (arena, way) =>
        nothingArrives(arena, async () => {
          const authority = `deep.api.e2e.test:${arena.world.secure.port}`;
          return refusal(
            await arena.ask(way, { authority, path: "/no", fields: handshake }),
            "request_not_allowed",
          );
        }),
      ),
      ...each(
        ["websocket", "connect-ip", "connect-udp"],
        ["CONNECT, HTTP/2", "SOCKS5, HTTP/2", "redirected TLS, HTTP/2"],
        (protocol) => `a path that is not allowed, ${protocol} on a stream`,
        "refused",
        (arena, way, protocol) =>
          nothingArrives(arena, async () => {
            const authority = `deep.api.e2e.test:${arena.world.secure.port}`;
            return refusal(
              await onStream(arena, way, authority, "/no", protocol),
              "request_not_allowed",
              "upgrade_not_supported",
            );
          }),
      ),
      ...by(byteWays, "a metadata service", "refused", async (arena, way) => {
        arena.world.dns.set("meta.e2e.test", ["169.254.169.254"]);
        const authority = `meta.e2e.test:${arena.target(way).upstream.port}`;
        return refusal(await arena.ask(way, { authority, fields: handshake }), "upstream_address_denied");
      }),
      ...each(
        invalid,
        ["CONNECT", "absolute form", "SOCKS5"],
        ([what]) => `a handshake with ${what}`,
        "refused",
        (arena, way, [, fields, method = "GET", body]) =>
          nothingArrives(arena, async () =>
            refusal(
              await arena.ask(way, { method, fields, ...(body === undefined ? {} : { body }) }),
              "bad_websocket_handshake",
            ),
          ),
      ),
    ],
  },
  {
    number: 29,
    title: "A 101 that nobody asked for, or that accepts something else; smuggling after a refused upgrade",
    defence: "502, and the connection is destroyed; a refused upgrade stays HTTP",
    attempts: [
      ...each(
        lies,
        ["CONNECT", "absolute form", "redirected TLS"],
        ([what]) => `a 101 with ${what}`,
        "refused",
        async (arena, way, [, linesOf]) => {
          arena.target(way).upstream.on("/lie", (request) => {
            const lines = linesOf(request).map((line) => `${line}\r\n`);
            request.write(
              `HTTP/1.1 101 Switching Protocols\r\n${lines.join("")}\r\nraw ${arena.credentials.key}`,
            );
          });
          return refusal(
            await arena.ask(way, { path: "/lie", fields: [...handshake, authorization] }),
            "upstream_response_invalid",
          );
        },
      ),
      ...by(
        ["CONNECT", "absolute form", "CONNECT, HTTP/2"],
        "a 101 to a plain GET",
        "refused",
        async (arena, way) => {
          arena.target(way).upstream.on("/unasked", async (request) => {
            await request.body();
            accepts(request);
            request.write("raw");
          });
          return refusal(await arena.ask(way, { path: "/unasked" }), "upstream_response_invalid");
        },
      ),
      ...by(
        ["CONNECT", "absolute form", "SOCKS5"],
        "a request behind an upgrade that is refused",
        "neutralised",
        async (arena, way) => {
          const { authority, upstream } = arena.target(way);
          upstream.on("/refuses", async (request) => {
            await request.body();
            await pause(5);
            hold(
              request.reader.unread.length === 0,
              "bytes behind the handshake got through before its answer",
            );
            request.write("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
          });
          const opened = await open(arena, way, { authority });
          if ("reply" in opened) return refusal(opened.reply);
          const { client } = opened;
          const before = upstream.count("/smuggled");
          const lines = handshake.map(([name, value]) => `${name}: ${value}\r\n`).join("");
          const target = way === "absolute form" ? `http://${authority}` : "";
          const bad = "GET /smuggled HTTP/1.1\r\nHost: denied.test\r\n\r\n";
          client.send(`GET ${target}/refuses HTTP/1.1\r\nHost: ${authority}\r\n${lines}\r\n${bad}`);
          hold((await client.answer())?.status === 403, "the upgrade was not refused");
          const next = replyOf(arena, await client.answer());
          hold(upstream.count("/smuggled") === before, "the request behind it was made");
          return `what is behind it is a request of its own: ${refusal(next)}`;
        },
      ),
    ],
  },
  {
    number: 30,
    title: "A placeholder in `Sec-WebSocket-Key`, of which the upstream returns a hash",
    defence: "handshake fields are never searched",
    attempts: by(
      ["CONNECT", "SOCKS5", "redirected TLS", "absolute form"],
      "the placeholder in fields of the handshake",
      "refused",
      async (arena, way) => {
        const path = `/handshake/${encodeURIComponent(way)}`;
        const { upstream } = arena.target(way);
        const [, placeholder = ""] = authorization[1].split(" ");
        const fields: Field[] = [
          ...without("Sec-WebSocket-Key"),
          ["Sec-WebSocket-Key", placeholder],
          ["Sec-WebSocket-Protocol", placeholder],
        ];
        const reply = await arena.ask(way, { path, fields });
        const got = upstream.received.filter(({ target }) => target === path).map(({ head }) => head);
        hold(!got.some((head) => head.includes(arena.credentials.key)), "the credential is in the handshake");
        return refusal(reply, "bad_websocket_handshake", "placeholder_misused");
      },
    ),
  },
  {
    number: 31,
    title: "Compressed WebSocket frames hide placeholders",
    defence:
      "nothing is substituted inside frames; where answers are searched, compression is not negotiated",
    attempts: by(
      ["CONNECT", "SOCKS5", "redirected TLS", "absolute form"],
      "an offer of permessage-deflate",
      "neutralised",
      async (arena, way) => {
        const { authority, upstream } = arena.target(way);
        upstream.on("/deflate", (request) => accepts(request));
        const opened = await open(arena, way, { authority });
        if ("reply" in opened) return refusal(opened.reply);
        const fields: Field[] = [
          ...handshake,
          authorization,
          ["Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"],
        ];
        const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join("");
        const target = way === "absolute form" ? `http://${authority}` : "";
        opened.client.send(`GET ${target}/deflate HTTP/1.1\r\nHost: ${authority}\r\n${lines}\r\n`);
        const head = await within("an answer", opened.client.reader.until("\r\n\r\n"));
        hold(head?.startsWith("HTTP/1.1 101 ") === true, `answered with ${head?.slice(0, 12)}`);
        const got = upstream.received.findLast(
          (one) => one.method === "GET" && one.head.includes("/deflate"),
        );
        hold(
          valueOf(got?.fields ?? [], "authorization") === `Bearer ${arena.credentials.key}`,
          "the handshake has no credential",
        );
        hold(valuesOf(got?.fields ?? [], "sec-websocket-extensions").length === 0, "compression was offered");
        return "not offered to the upstream";
      },
    ),
  },
];
