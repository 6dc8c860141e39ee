// Attacks 37, 40 and 45: an allowed host shows what it got.
import { valuesOf, type Field } from "../../e2e/harness/message.ts";
import { eventually, within } from "../../e2e/harness/wait.ts";
import { type Arena, authorization, refusal, sharpPlaceholder } from "../arena.ts";
import { type Attack, type Attempt, by, each, hold } from "../attack.ts";
import { h2Places, places, socketEcho } from "../echo.ts";
import { messagesIn } from "../frames.ts";
import { allWays, open, type Way } from "../workload.ts";

const credentialed: readonly Field[] = [authorization, ["X-Sharp", sharpPlaceholder]];

/** Asks for an answer that shows everything. That it does not is seen by whoever searches what arrives. */
async function shown(arena: Arena, way: Way, path: string): Promise<string> {
  arena.target(way).upstream.on(path, places[path] as (typeof places)[string]);
  return judged(await arena.ask(way, { path, fields: credentialed }));
}

async function shownByH2(arena: Arena, way: Way, path: string): Promise<string> {
  arena.h2.on(path, h2Places[path] as (typeof h2Places)[string]);
  return judged(await arena.ask(way, { authority: arena.h2Authority, path, fields: credentialed }));
}

function judged(reply: Awaited<ReturnType<Arena["ask"]>>): string {
  hold(
    reply.status >= 200 && reply.reason === undefined,
    `answered with ${reply.status} ${reply.reason ?? ""}`,
  );
  hold(reply.complete, "the answer was cut");
  const replaced = /placeholder-of-the/.test(
    reply.body.toString() + reply.fields.map((field) => field.join(": ")).join("\n"),
  );
  return replaced ? "it came back as the placeholder" : "it came back without it";
}

/** Few places by all ways, all places by few. */
function echoes(): Attempt[] {
  const everywhere = ["/echo/fields", "/echo/body", "/echo/bytes", "/echo/error"];
  const title = (path: string): string => path.replace("/echo/", "an echo: ");
  const rest = Object.keys(places).filter((path) => !everywhere.includes(path) && path !== "/echo/redirect");
  return [
    ...each(everywhere, [...allWays], title, "neutralised", (arena, way, path) => shown(arena, way, path)),
    ...each(
      rest,
      ["CONNECT", "absolute form", "redirected TLS, HTTP/2"],
      title,
      "neutralised",
      (arena, way, path) => shown(arena, way, path),
    ),
    ...each(
      Object.keys(h2Places),
      ["CONNECT", "SOCKS5", "CONNECT, HTTP/2", "redirected TLS, HTTP/2"],
      (path) => `${title(path)}, from an HTTP/2 upstream`,
      "neutralised",
      (arena, way, path) => shownByH2(arena, way, path),
    ),
    ...by(
      ["CONNECT", "SOCKS5", "redirected TLS", "absolute form", "SOCKS5 without TLS"],
      "an echo in frames of a WebSocket",
      "neutralised",
      sockets,
    ),
    ...each(
      ["compress", "exi", "gzip, compress"],
      ["CONNECT", "CONNECT, HTTP/2"],
      (coding) => `an echo in the coding ${coding}, which nobody here can read`,
      "refused",
      async (arena, way, coding) => {
        arena.target(way).upstream.on("/echo/unknown", async (request) => {
          await request.body();
          request.write(`HTTP/1.1 200 OK\r\nContent-Encoding: ${coding}\r\nContent-Length: 3\r\n\r\n???`);
        });
        return refusal(
          await arena.ask(way, { path: "/echo/unknown", fields: credentialed }),
          "unscrubbable_encoding",
        );
      },
    ),
    ...by(
      ["CONNECT", "redirected TLS, HTTP/2"],
      "an echo to a later request, without any credential",
      "neutralised",
      async (arena, way) => {
        arena.target(way).upstream.on("/echo/remembered", async (request) => {
          await request.body();
          const body = `remembered: ${arena.credentials.key}`;
          request.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
        });
        await arena.ask(way, { path: "/", fields: credentialed });
        return judged(await arena.ask(way, { path: "/echo/remembered" }));
      },
    ),
  ];
}

async function sockets(arena: Arena, way: Way): Promise<string> {
  const { authority, upstream } = arena.target(way);
  upstream.on("/echo/socket", socketEcho);
  const opened = await open(arena, way, { authority });
  if ("reply" in opened) return refusal(opened.reply);
  const { client } = opened;
  const fields = [
    ...credentialed,
    ["Connection", "Upgrade"],
    ["Upgrade", "websocket"],
    ["Sec-WebSocket-Version", "13"],
    ["Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="],
    ["Sec-WebSocket-Extensions", "permessage-deflate"],
  ].map(([name, value]) => `${name}: ${value}`);
  const target = way === "absolute form" ? `http://${authority}/echo/socket` : "/echo/socket";
  client.send(`GET ${target} HTTP/1.1\r\nHost: ${authority}\r\n${fields.join("\r\n")}\r\n\r\n`);
  const head = await within("an answer to the handshake", client.reader.until("\r\n\r\n"));
  hold(head?.startsWith("HTTP/1.1 101 ") === true, `answered with ${head?.slice(0, 12)}`);
  const bytes: Buffer[] = [client.reader.release()];
  client.socket.on("data", (chunk: Buffer) => void bytes.push(chunk)).resume();
  const { messages } = await eventually("the close frame", () => {
    const read = messagesIn(Buffer.concat(bytes));
    return read.isClosed && read;
  });
  for (const message of [...messages, ...bytes]) arena.hunt.take(message);
  client.close();
  return `${messages.length} messages without it`;
}

export const echoAttacks: readonly Attack[] = [
  {
    number: 37,
    title: "Ranges and HEAD read a scrubbed body in slices",
    defence: "what is scrubbed is asked for as a whole and in codings that can be decoded; HEAD has no body",
    attempts: [
      ...each(
        ["bytes=0-3", "bytes=-4", "bytes=0-3,4-7", "items=1"],
        ["CONNECT", "SOCKS5", "CONNECT, HTTP/2", "redirected TLS", "absolute form"],
        (range) => `Range: ${range}`,
        "neutralised",
        async (arena, way, range) => {
          const path = `/ranges/${encodeURIComponent(`${way} ${range}`)}`;
          const reply = await arena.ask(way, {
            path,
            fields: [authorization, ["Range", range], ["If-Range", '"x"']],
          });
          hold(reply.status === 200, `answered with ${reply.status}`);
          const { fields } = await arena.target(way).upstream.request(path);
          hold(
            valuesOf(fields, "range").length + valuesOf(fields, "if-range").length === 0,
            "the range was asked for",
          );
          return "the whole was asked for";
        },
      ),
      ...each(
        ["compress", "gzip;q=0, dcb", "*"],
        ["CONNECT", "redirected TLS, HTTP/2"],
        (coding) => `Accept-Encoding: ${coding}`,
        "neutralised",
        async (arena, way, coding) => {
          const path = `/codings/${encodeURIComponent(`${way} ${coding}`)}`;
          await arena.ask(way, { path, fields: [authorization, ["Accept-Encoding", coding]] });
          const sent = valuesOf(
            (await arena.target(way).upstream.request(path)).fields,
            "accept-encoding",
          ).join(", ");
          hold(!/compress|dcb|\*/.test(sent), `${sent} was asked for`);
          return `asked for as ${sent}`;
        },
      ),
    ],
  },
  {
    number: 40,
    title: "An allowed host echoes what it got",
    defence:
      "what went out is replaced in what comes back, in every place and form ([scrubbing.md](scrubbing.md))",
    attempts: echoes(),
  },
  {
    number: 45,
    title: "A redirect takes the credential elsewhere",
    defence: "redirects go back to the client, without the credential; its next request is a new decision",
    attempts: by(
      allWays,
      "a redirect to another host, the credential in its URL",
      "neutralised",
      async (arena, way) => {
        const queries = arena.world.dns.queries.length;
        const said = await shown(arena, way, "/echo/redirect");
        hold(!arena.world.dns.queries.slice(queries).includes("evil.test"), "it was followed");
        return `not followed, and ${said}`;
      },
    ),
  },
];
