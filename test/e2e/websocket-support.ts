// What the tests of WebSocket are made of: a handshake, upstreams that accept it, and what is read of the answer.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import type { ClientHttp2Stream } from "node:http2";
import type { Client } from "./harness/client.ts";
import { type Field, valueOf } from "./harness/message.ts";
import type { Script, Scripted } from "./harness/upstream.ts";
import { within } from "./harness/wait.ts";

export const key = "dGhlIHNhbXBsZSBub25jZQ==";
export const handshake = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"];
export const fields = [...handshake, `Sec-WebSocket-Key: ${key}`];

/** What accepts a handshake: made of its key (RFC 6455 section 4.2.2). */
export function acceptOf(fieldsOfRequest: readonly Field[]): string {
  const sent = valueOf(fieldsOfRequest, "sec-websocket-key") ?? "";
  return createHash("sha1").update(`${sent}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
}

/** Accepts, and says `behind` in the same write. */
export function accept(request: Scripted, behind = "", ...more: string[]): void {
  const lines = [
    "Upgrade: websocket",
    "Connection: Upgrade",
    `Sec-WebSocket-Accept: ${acceptOf(request.fields)}`,
    ...more,
  ];
  request.write(
    `HTTP/1.1 101 Switching Protocols\r\n${lines.map((one) => `${one}\r\n`).join("")}\r\n${behind}`,
  );
}

/** Accepts, with the subprotocol that is offered, and hands back every byte until the client ends; then ends as well. */
export const echo: Script = async (request) => {
  const offered = valueOf(request.fields, "sec-websocket-protocol");
  accept(request, "", ...(offered === undefined ? [] : [`Sec-WebSocket-Protocol: ${offered}`]));
  for (;;) {
    const bytes = await request.reader.take(1);
    if (bytes.length === 0) break;
    request.write(Buffer.concat([bytes, await request.reader.take(request.reader.unread.length)]));
  }
  request.write("bye");
  request.end();
};

/** The next bytes of a stream, as text. */
export async function textOf(stream: ClientHttp2Stream, length: number): Promise<string> {
  let text = "";
  while (text.length < length) {
    const [chunk] = (await within("data", once(stream, "data"))) as [Buffer];
    text += chunk.toString();
  }
  return text;
}

export async function upgraded(client: Client, path: string, more: readonly string[] = []): Promise<string> {
  client.send(client.text("GET", path, { fields: [...fields, ...more] }));
  const head = await within("an answer to the handshake", client.reader.until("\r\n\r\n"));
  assert.match(head ?? "", /^HTTP\/1\.1 101 /);
  return head as string;
}

export function reasonOf(answer: { fields: readonly Field[] }): string | undefined {
  return valueOf(answer.fields, "sallyport-reason");
}
