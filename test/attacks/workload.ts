// The hostile workload: it says what it likes by every way in, and keeps all it gets.
import { once } from "node:events";
import { type ClientHttp2Session, connect, type IncomingHttpHeaders } from "node:http2";
import * as zlib from "node:zlib";
import type { ByteReader } from "../e2e/harness/bytes.ts";
import {
  type Client,
  type ClientContext,
  openRaw,
  startTls,
  type TlsChoices,
} from "../e2e/harness/client.ts";
import { type Answer, type Field, readBody, readHead, valueOf } from "../e2e/harness/message.ts";
import type { Address, Sallyport } from "../e2e/harness/sallyport.ts";
import { within } from "../e2e/harness/wait.ts";
import type { Hunt } from "./hunt.ts";

export const tlsWays = [
  "CONNECT",
  "SOCKS5",
  "redirected TLS",
  "CONNECT, HTTP/2",
  "SOCKS5, HTTP/2",
  "redirected TLS, HTTP/2",
] as const;
export const plainWays = ["absolute form", "CONNECT without TLS", "SOCKS5 without TLS"] as const;
export type Way = (typeof tlsWays)[number] | (typeof plainWays)[number];
/** Those on which bytes of HTTP/1.1 can be written by hand. */
export const byteWays = [
  "CONNECT",
  "SOCKS5",
  "redirected TLS",
  ...plainWays,
] as const satisfies readonly Way[];
/** Those of HTTP/2. */
export const h2Ways = tlsWays.slice(3) as readonly Way[];
export const allWays: readonly Way[] = [...tlsWays, ...plainWays];

export interface Asked {
  /** `host:port` */
  readonly authority: string;
  readonly path?: string;
  readonly method?: string;
  readonly fields?: readonly Field[];
  readonly body?: string;
  /** Proxy credentials, a password of the user `sbx`. */
  readonly token?: string;
  readonly tls?: TlsChoices;
  /** What CONNECT, absolute form or SOCKS names, where it is not {@link authority}. */
  readonly tunnel?: string;
}

/** What came back, from whichever layer said no. */
export interface Reply {
  /** Of HTTP; 0 where it did not come to that. */
  readonly status: number;
  /** `Sallyport-Reason`, or what another layer said: `SOCKS reply 2`, `TLS alert`. */
  readonly reason: string | undefined;
  readonly fields: readonly Field[];
  /** Without framing and compression. */
  readonly body: Buffer;
  readonly complete: boolean;
}

export interface Side {
  readonly context: ClientContext;
  readonly hunt: Hunt;
  readonly proxy: Sallyport;
}

/** A connection on which requests can be written, or the reply that there is none. */
export type Opened = { readonly client: Client } | { readonly reply: Reply };

export function isH2(way: Way): boolean {
  return way.endsWith("HTTP/2");
}

export function isPlain(way: Way): boolean {
  return (plainWays as readonly Way[]).includes(way);
}

function silent(reason: string): Reply {
  return { status: 0, reason, fields: [], body: Buffer.alloc(0), complete: false };
}

/** Gets as far as a connection that requests can be written on, TLS included. */
export async function open(side: Side, way: Way, asked: Asked): Promise<Opened> {
  const { proxy, context } = side;
  const { tunnel, http, https } = proxy.addresses;
  const at = way.startsWith("redirected") ? https : way === "absolute form" ? http : tunnel;
  const client = await openRaw(context, at as Address, asked.authority);
  const to = asked.tunnel ?? asked.authority;
  if (way.startsWith("CONNECT")) {
    client.send(`CONNECT ${to} HTTP/1.1\r\nHost: ${to}\r\n${proxyAuthorization(asked)}\r\n`);
    const refusal = await tunnelRefusal(client.reader);
    if (refusal !== undefined) return { reply: refusal };
  }
  if (way.startsWith("SOCKS5")) {
    const code = await socks(client, to, asked.token);
    if (code !== 0) return { reply: silent(`SOCKS reply ${code}`) };
  }
  if (isPlain(way)) return { client };
  try {
    const choices = { ALPNProtocols: [isH2(way) ? "h2" : "http/1.1"], ...asked.tls };
    return { client: await startTls(context, client, choices) };
  } catch (error) {
    return {
      reply: silent(`TLS: ${(error as Error).message.replace(/^.*:SSL routines:/, "").slice(0, 60)}`),
    };
  }
}

/** One request by one way, and all that came of it. */
export async function ask(side: Side, way: Way, asked: Asked): Promise<Reply> {
  const opened = await open(side, way, asked);
  if ("reply" in opened) return opened.reply;
  const { client } = opened;
  try {
    if (isH2(way)) return await askH2(side, client, asked);
    client.send(textOf(way, asked));
    return replyOf(side, await client.answer(asked.method));
  } finally {
    client.close();
  }
}

/** The text of a request as this way has it. */
export function textOf(way: Way, asked: Asked): string {
  const { authority, path = "/", method = "GET", fields = [], body } = asked;
  const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  const host = valueOf(fields, "host") === undefined ? `Host: ${authority}\r\n` : "";
  const length = body === undefined ? "" : `Content-Length: ${Buffer.byteLength(body, "latin1")}\r\n`;
  const isAbsolute = way === "absolute form";
  const target = isAbsolute ? `http://${asked.tunnel ?? authority}${path}` : path;
  const proof = isPlain(way) && isAbsolute ? proxyAuthorization(asked) : "";
  return `${method} ${target} HTTP/1.1\r\n${host}${proof}${lines}${length}\r\n${body ?? ""}`;
}

/** An answer of HTTP/1.1 as a reply; everything in it is searched. */
export function replyOf({ hunt }: Side, answer: Answer | undefined): Reply {
  if (answer === undefined) return silent("closed");
  const body = decoded(answer.body, valueOf(answer.fields, "content-encoding"));
  hunt.take(body);
  return {
    status: answer.status,
    reason: valueOf(answer.fields, "sallyport-reason"),
    fields: answer.fields,
    body,
    complete: answer.complete,
  };
}

/** A session of node's own client. */
export function sessionOn(client: Client): ClientHttp2Session {
  const unread = client.reader.release();
  if (unread.length > 0) client.socket.unshift(unread);
  const session = connect(`https://${client.authority}`, { createConnection: () => client.socket });
  session.on("error", () => {});
  return session;
}

async function askH2({ hunt }: Side, client: Client, asked: Asked): Promise<Reply> {
  const session = sessionOn(client);
  try {
    const { authority, path = "/", method = "GET", fields = [], body, token } = asked;
    const headers: Record<string, string | string[]> = {
      ":authority": authority,
      ":path": path,
      ":method": method,
    };
    for (const [name, value] of fields) {
      const before = headers[name.toLowerCase()];
      headers[name.toLowerCase()] = before === undefined ? value : [before, value].flat();
    }
    if (token !== undefined) headers["proxy-authorization"] = basicOf(token);
    const stream = session.request(headers);
    const fieldsOf = (more: IncomingHttpHeaders): void => hunt.take(textOfHeaders(more));
    stream.on("headers", fieldsOf).on("trailers", fieldsOf);
    const chunks: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => void chunks.push(chunk));
    let failure: Error | undefined;
    stream.on("error", (error) => (failure = error));
    let head: IncomingHttpHeaders = {};
    stream.on("response", (response) => {
      head = response;
      fieldsOf(response);
    });
    const closed = once(stream, "close").catch(() => {});
    stream.end(body);
    await within(`an answer to ${method}`, closed);
    const text = decoded(Buffer.concat(chunks), head["content-encoding"]);
    hunt.take(text);
    const all = Object.entries(head).map(([name, value]): Field => [name, String(value)]);
    const reason = head["sallyport-reason"] ?? (head[":status"] === undefined ? failure?.message : undefined);
    const status = Number(head[":status"] ?? 0);
    return { status, reason: reason?.toString(), fields: all, body: text, complete: failure === undefined };
  } finally {
    session.destroy();
  }
}

function textOfHeaders(headers: IncomingHttpHeaders): string {
  return Object.entries(headers)
    .map(([name, value]) => `${name}: ${String(value)}\n`)
    .join("");
}

/** What a client makes of a coding; nothing where it is not what it says. */
export function decoded(body: Buffer, coding: string | undefined): Buffer {
  const cut = { finishFlush: zlib.constants.Z_SYNC_FLUSH };
  try {
    if (coding === "gzip") return zlib.gunzipSync(body, cut);
    if (coding === "deflate") return zlib.inflateSync(body, cut);
    if (coding === "br") return zlib.brotliDecompressSync(body);
    if (coding === "zstd") return zlib.zstdDecompressSync(body);
  } catch {
    return Buffer.alloc(0);
  }
  return body;
}

async function tunnelRefusal(reader: ByteReader): Promise<Reply | undefined> {
  const head = await within("an answer to CONNECT", readHead(reader));
  if (head === undefined) return silent("closed");
  const status = Number(head.startLine.split(" ")[1]);
  if (status === 200) return undefined;
  const { body, complete } = await within("its body", readBody(reader, head.fields, "none"));
  return { status, reason: valueOf(head.fields, "sallyport-reason"), fields: head.fields, body, complete };
}

/** RFC 1928 with a name, and RFC 1929 where there is a token. Gives the code of whatever said no, or 0. */
async function socks(client: Client, authority: string, token: string | undefined): Promise<number> {
  client.send(Buffer.of(5, 1, token === undefined ? 0 : 2));
  const method = (await within("a SOCKS method", client.reader.take(2)))[1] ?? 255;
  if (method === 255) return method;
  if (method === 2) {
    const secret = Buffer.from(token ?? "");
    client.send(Buffer.concat([Buffer.of(1, 3), Buffer.from("sbx"), Buffer.of(secret.length), secret]));
    const verdict = (await within("a SOCKS verdict", client.reader.take(2)))[1] ?? 1;
    if (verdict !== 0) return verdict;
  }
  const colon = authority.lastIndexOf(":");
  const name = Buffer.from(authority.slice(0, colon).replace(/^\[(.*)\]$/, "$1"), "latin1");
  const port = Number(authority.slice(colon + 1));
  client.send(Buffer.concat([Buffer.of(5, 1, 0, 3, name.length), name, Buffer.of(port >> 8, port & 255)]));
  const reply = await within("a SOCKS reply", client.reader.take(10));
  return reply[1] ?? 255;
}

export function basicOf(token: string): string {
  return `Basic ${Buffer.from(`sbx:${token}`).toString("base64")}`;
}

function proxyAuthorization({ token }: Asked): string {
  return token === undefined ? "" : `Proxy-Authorization: ${basicOf(token)}\r\n`;
}
