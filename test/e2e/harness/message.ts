// HTTP/1.1 messages as they are on the wire, read by something other than the codec under test.
import type { ByteReader } from "./bytes.ts";

export type Field = readonly [name: string, value: string];

/** One message as received: nothing folded, sorted or renamed. */
export interface Message {
  /** Start line and field lines, latin1, with the empty line. */
  readonly head: string;
  readonly startLine: string;
  readonly fields: readonly Field[];
  readonly body: Buffer;
  /** Lines of the trailer section. */
  readonly trailers: readonly string[];
  /** Sizes of the chunks the body came in. */
  readonly chunks: readonly number[];
  /** False when the stream ended before the message did. */
  readonly complete: boolean;
}

/** An answer: its interim responses came before it. */
export interface Answer extends Message {
  readonly status: number;
  readonly reason: string;
  readonly interim: readonly string[];
}

export interface Head {
  readonly text: string;
  readonly startLine: string;
  readonly fields: readonly Field[];
}

/** The next head; `undefined` when the stream ends before one is complete. */
export async function readHead(reader: ByteReader): Promise<Head | undefined> {
  const text = await reader.until("\r\n\r\n");
  if (text === undefined) return undefined;
  const [startLine = "", ...lines] = text.slice(0, -4).split("\r\n");
  const fields = lines.map((line): Field => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon), line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, "")];
  });
  return { text, startLine, fields };
}

/** First value of a field, whatever its casing. */
export function valueOf(fields: readonly Field[], name: string): string | undefined {
  return fields.find(([one]) => one.toLowerCase() === name.toLowerCase())?.[1];
}

export function valuesOf(fields: readonly Field[], name: string): string[] {
  return fields.filter(([one]) => one.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
}

type BodyPart = Pick<Message, "body" | "trailers" | "chunks" | "complete">;
const noBody: BodyPart = { body: Buffer.alloc(0), trailers: [], chunks: [], complete: true };

/** The body these fields announce; without an announcement none, or all that comes until the end. */
export async function readBody(
  reader: ByteReader,
  fields: readonly Field[],
  unannounced: "none" | "close",
): Promise<BodyPart> {
  if (valueOf(fields, "transfer-encoding") !== undefined) return readChunks(reader);
  const length = valueOf(fields, "content-length");
  if (length !== undefined) {
    const body = await reader.take(Number(length));
    return { ...noBody, body, complete: body.length === Number(length) };
  }
  if (unannounced === "none") return noBody;
  const body = await reader.rest();
  return { ...noBody, body, complete: reader.ended === "end" };
}

async function readChunks(reader: ByteReader): Promise<BodyPart> {
  const parts: Buffer[] = [];
  const chunks: number[] = [];
  const cut = (): BodyPart => ({ body: Buffer.concat(parts), trailers: [], chunks, complete: false });
  for (;;) {
    const line = await reader.until("\r\n");
    if (line === undefined) return cut();
    const size = Number.parseInt(line, 16);
    if (size === 0) break;
    const part = await reader.take(size);
    parts.push(part);
    chunks.push(size);
    if ((await reader.until("\r\n")) !== "\r\n") return cut();
  }
  const trailers: string[] = [];
  for (;;) {
    const line = await reader.until("\r\n");
    if (line === undefined) return cut();
    if (line === "\r\n") return { body: Buffer.concat(parts), trailers, chunks, complete: true };
    trailers.push(line.slice(0, -2));
  }
}

/** The next final answer with the interim ones before it; `undefined` when the stream ends before its head. */
export async function readAnswer(reader: ByteReader, method = "GET"): Promise<Answer | undefined> {
  const interim: string[] = [];
  for (;;) {
    const head = await readHead(reader);
    if (head === undefined) return undefined;
    const [, code = "", reason = ""] = /^HTTP\/1\.[01] (\d{3}) ?(.*)$/.exec(head.startLine) ?? [];
    const status = Number(code);
    if (status >= 100 && status < 200 && status !== 101) {
      interim.push(head.text);
      continue;
    }
    const hasBody = method !== "HEAD" && status !== 204 && status !== 304 && status !== 101;
    const body = hasBody ? await readBody(reader, head.fields, "close") : noBody;
    return {
      ...body,
      head: head.text,
      startLine: head.startLine,
      fields: head.fields,
      status,
      reason,
      interim,
    };
  }
}
