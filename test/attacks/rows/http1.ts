// Attacks 20 to 23, 26, 29, 32 and 34 to 38: bytes of HTTP/1.1 that two readers could take for different messages.
import { ambiguousFields, ambiguousPaths, badChunks, badRequestLines } from "../../e2e/harness/hostile.ts";
import { type Field, valueOf, valuesOf } from "../../e2e/harness/message.ts";
import type { Script } from "../../e2e/harness/upstream.ts";
import { pause } from "../../e2e/harness/wait.ts";
import { type Arena, authorization, nothingArrives, refusal } from "../arena.ts";
import { type Attack, type Attempt, by, each, hold } from "../attack.ts";
import { allWays, byteWays, isH2, open, type Reply, replyOf, textOf, type Way } from "../workload.ts";

/** A request to smuggle, behind the end of a chunked body. */
const smuggled = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: plain.localhost\r\n\r\n";

/** Sends these bytes and gives the first answer. */
async function say(arena: Arena, way: Way, bytes: (authority: string) => string): Promise<Reply> {
  const { authority } = arena.target(way);
  const opened = await open(arena, way, { authority });
  if ("reply" in opened) return opened.reply;
  opened.client.send(bytes(authority));
  const reply = replyOf(arena, await opened.client.answer());
  opened.client.close();
  return reply;
}

function framings(number: number): Attempt[] {
  const rows = ambiguousFields.filter(([attack]) => attack === `attack ${number}`);
  return each(
    rows,
    byteWays,
    ([, what]) => what,
    "refused",
    (arena, way, [, , lines]) =>
      nothingArrives(arena, async () => {
        const target = (authority: string): string =>
          way === "absolute form" ? `http://${authority}/framing` : "/framing";
        const reply = await say(
          arena,
          way,
          (authority) =>
            `POST ${target(authority)} HTTP/1.1\r\nHost: ${authority}\r\n${lines.join("\r\n")}\r\n\r\n${smuggled}`,
        );
        return refusal(reply, "malformed_request", "invalid_host");
      }),
  );
}

/** Answers of an upstream that two readers could take for different ones. */
const answers: readonly (readonly [what: string, text: string])[] = [
  ["both lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
  ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 9\r\n\r\n"],
  ["a coding on top of chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"],
  ["a bare LF", "HTTP/1.1 200 OK\r\nX-A: b\nContent-Length: 0\r\n\r\n"],
  ["a space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n"],
  ["a folded line", "HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 0\r\n\r\n"],
];

const poison: Script = async (request) => {
  await request.body();
  const one = (body: string): string => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  request.write(one("mine"));
  if (request.target.endsWith("later")) await pause(3);
  request.write(one("poison"));
};

async function byteByByte(arena: Arena, way: Way): Promise<string> {
  const { authority, upstream } = arena.target(way);
  const path = `/slowly/${encodeURIComponent(way)}`;
  const opened = await open(arena, way, { authority });
  if ("reply" in opened) return refusal(opened.reply);
  const { client } = opened;
  const two =
    textOf(way, { authority, path, method: "POST", body: "one" }) +
    textOf(way, { authority, path, fields: [authorization] });
  for (const byte of Buffer.from(two, "latin1")) {
    client.send(Buffer.of(byte));
    await new Promise((resolve) => setImmediate(resolve));
  }
  for (let count = 0; count < 2; count++)
    hold((await client.answer())?.status === 200, "it was not answered");
  const got = upstream.received.filter(({ target }) => target === path);
  hold(got.length === 2, `${got.length} requests arrived, not 2`);
  const [first, second] = got.map(({ fields }) => valueOf(fields, "authorization"));
  hold(
    first === undefined && second === `Bearer ${arena.credentials.key}`,
    "the credential is in the wrong one",
  );
  return "two requests, each decided on by itself";
}

async function inner(arena: Arena, way: Way): Promise<string> {
  const { authority, upstream } = arena.target(way);
  const path = `/outer/${encodeURIComponent(way)}`;
  const body = `GET http://${authority}/inner HTTP/1.1\r\nHost: ${authority}\r\nAuthorization: Bearer x\r\n\r\n`;
  const reply = await arena.ask(way, { path, method: "POST", body });
  hold(reply.status === 200, `answered with ${reply.status}`);
  hold(upstream.count("/inner") === 0, "the request inside the body was made");
  hold((await upstream.request(path)).body.toString() === body, "the body was changed");
  return "it stays a body";
}

/** Request fields that say another method than the request line. */
const overrides: readonly Field[] = [
  ["X-HTTP-Method-Override", "DELETE"],
  ["X-HTTP-Method", "DELETE"],
  ["X-Method-Override", "DELETE"],
];

export const http1: readonly Attack[] = [
  {
    number: 20,
    title:
      "Content-Length with Transfer-Encoding, repeated, or in spellings that two parsers read differently",
    defence:
      "400, the connection closes, nothing reaches the upstream; what goes upstream is built from parsed parts",
    attempts: [
      ...framings(20),
      ...each(
        answers,
        ["CONNECT", "absolute form", "CONNECT, HTTP/2"],
        ([what]) => `an answer with ${what}`,
        "refused",
        async (arena, way, [, text]) => {
          arena.target(way).upstream.on("/ambiguous", async (request) => {
            await request.body();
            request.write(text);
          });
          return refusal(await arena.ask(way, { path: "/ambiguous" }), "upstream_response_invalid");
        },
      ),
    ],
  },
  {
    number: 21,
    title: "Chunk extensions, bare LF, `0x` and `+` sizes, folded lines",
    defence: "refused; extensions are dropped and chunks made anew",
    attempts: [
      ...framings(21),
      ...each(
        badRequestLines,
        ["CONNECT", "SOCKS5 without TLS", "redirected TLS"],
        ([what]) => `a request line with ${what}`,
        "refused",
        (arena, way, [, line]) =>
          nothingArrives(arena, async () =>
            refusal(
              await say(arena, way, (authority) => `${line}\r\nHost: ${authority}\r\n\r\n`),
              "400",
              "505",
              "malformed_request",
              "invalid_target",
              "version_not_supported",
            ),
          ),
      ),
      ...each(
        badChunks,
        ["CONNECT", "absolute form"],
        ([what]) => `a chunked body with ${what}`,
        "refused",
        async (arena, way, [, body]) => {
          const { upstream } = arena.target(way);
          const before = upstream.received.length;
          const reply = await say(
            arena,
            way,
            (authority) =>
              textOf(way, {
                authority,
                path: "/chunks",
                method: "POST",
                fields: [["Transfer-Encoding", "chunked"]],
              }) + body,
          );
          const said = refusal(reply, "malformed_request");
          await pause(1);
          hold(
            !upstream.received.slice(before).some(({ complete }) => complete),
            "it reached the upstream as a whole",
          );
          return said;
        },
      ),
    ],
  },
  {
    number: 22,
    title: "Pipelined and split requests that escape a decision",
    defence: "one state machine over all bytes, tried with every cut and against another parser",
    attempts: by(byteWays, "two requests, a byte at a time", "neutralised", byteByByte),
  },
  {
    number: 23,
    title: "Two requests, one decision",
    defence: "policy, credentials and forwarding share one parsed request",
    attempts: by(allWays, "a request inside a body", "neutralised", inner),
  },
  {
    number: 32,
    title: "A spare response that waits for the next request",
    defence:
      "bytes that nobody asked for destroy the connection; it is used again only in the next turn of the event loop",
    attempts: each(
      ["/poison", "/poison-later"],
      ["CONNECT", "absolute form", "CONNECT, HTTP/2", "redirected TLS"],
      (path) => `two answers to one request${path.endsWith("later") ? ", the second a moment later" : ""}`,
      "neutralised",
      async (arena, way, path) => {
        arena.target(way).upstream.on(path, poison);
        hold(
          (await arena.ask(way, { path })).body.toString() === "mine",
          "the first answer is not the first",
        );
        if (path.endsWith("later")) await pause(10);
        for (let count = 0; count < 2; count++) {
          hold(
            (await arena.ask(way, { path: "/innocent" })).body.toString() === "ok",
            "the next request got it",
          );
        }
        return "the next request has an answer of its own";
      },
    ),
  },
  {
    number: 34,
    title: "Dot segments, `..;`, backslashes and double encoding against path rules",
    defence: "refused with `ambiguous_path`; rules see the canonical form of the path that is sent",
    attempts: each(
      ambiguousPaths,
      ["CONNECT", "absolute form", "redirected TLS, HTTP/2"],
      (path) => `the path ${path}`,
      "refused",
      (arena, way, path) =>
        nothingArrives(arena, async () =>
          refusal(await arena.ask(way, { path, fields: [authorization] }), "ambiguous_path"),
        ),
    ),
  },
  {
    number: 35,
    title: "Methods in other casing, methods overridden by a header",
    defence:
      "methods are compared exactly as sent. A request that says it is another one (`X-HTTP-Method-Override` and its like, `_method` in the query) has to be allowed as both",
    attempts: [
      ...each(
        overrides,
        ["CONNECT", "redirected TLS", "SOCKS5", "CONNECT, HTTP/2"],
        ([name]) => `${name} on a GET`,
        "refused",
        (arena, way, field) =>
          nothingArrives(arena, async () =>
            refusal(
              await arena.ask(way, { authority: limited(arena), path: "/ok/1", fields: [field] }),
              "request_not_allowed",
            ),
          ),
      ),
      ...by(["CONNECT", "CONNECT, HTTP/2"], "_method in the query", "refused", (arena, way) =>
        nothingArrives(arena, async () =>
          refusal(
            await arena.ask(way, { authority: limited(arena), path: "/ok/1?_method=DELETE" }),
            "request_not_allowed",
          ),
        ),
      ),
      ...each(
        ["get", "Get", "GETX"],
        ["CONNECT", "redirected TLS, HTTP/2"],
        (method) => `the method ${method}`,
        "refused",
        (arena, way, method) =>
          nothingArrives(arena, async () =>
            refusal(
              await arena.ask(way, { authority: limited(arena), path: "/ok/1", method }),
              "request_not_allowed",
            ),
          ),
      ),
    ],
  },
  {
    number: 36,
    title: "TRACE shows the headers that arrived",
    defence: "refused",
    attempts: by(
      allWays.filter((way) => !isH2(way)),
      "TRACE",
      "refused",
      (arena, way) =>
        nothingArrives(arena, async () =>
          refusal(
            await arena.ask(way, { method: "TRACE", fields: [authorization, ["Max-Forwards", "0"]] }),
            "method_not_allowed",
          ),
        ),
    ),
  },
  {
    number: 38,
    title: "`Connection: authorization` removes the credential",
    defence: "hop-by-hop fields go first, credentials are attached last",
    attempts: by(
      ["CONNECT", "SOCKS5", "redirected TLS"],
      "the injected field as a hop-by-hop one",
      "neutralised",
      async (arena, way) => {
        const path = `/injected/${encodeURIComponent(way)}`;
        const fields: Field[] = [["Connection", "authorization, x-api-key, keep-alive"]];
        const reply = await arena.ask(way, {
          authority: `other.e2e.test:${arena.world.secure.port}`,
          path,
          fields,
        });
        hold(reply.status === 200, `answered with ${reply.status} ${reply.reason ?? ""}`);
        const sent = valuesOf((await arena.world.secure.request(path)).fields, "authorization");
        hold(sent.length === 1 && sent[0]?.startsWith("Basic ") === true, "the credential is not on it");
        return "the credential is on it";
      },
    ),
  },
];

/** Only GET of /ok/* is allowed there. */
function limited(arena: Arena): string {
  return `deep.api.e2e.test:${arena.world.secure.port}`;
}
