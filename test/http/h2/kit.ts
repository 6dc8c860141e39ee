// An HTTP/2 server connection on a socket pair, with a client whose every frame is made by hand.
import { once } from "node:events";
import { type ClientHttp2Session, connect } from "node:http2";
import type { Socket } from "node:net";
import type { TestContext } from "node:test";
import { Body, type BodySink, type BodySource } from "../../../src/http/body.ts";
import { Deadlines } from "../../../src/http/h1/deadlines.ts";
import { defaultH1Limits } from "../../../src/http/h1/limits.ts";
import type { BadRequest } from "../../../src/http/h1/server.ts";
import { clientPreface, frameHeader, FrameReader, settingsFrame } from "../../../src/http/h2/frames.ts";
import { HpackDecoder } from "../../../src/http/h2/hpack/decoder.ts";
import { HpackEncoder } from "../../../src/http/h2/hpack/encoder.ts";
import { defaultH2Limits } from "../../../src/http/h2/limits.ts";
import { H2ServerConnection, type H2ServerOptions } from "../../../src/http/h2/server.ts";
import { Headers } from "../../../src/http/headers.ts";
import type { Incoming } from "../../../src/http/incoming.ts";
import { socketPair } from "../../helpers/tls-pair.ts";

export interface Served {
  /** The client's end. */
  readonly client: Socket;
  readonly connection: H2ServerConnection;
  readonly requests: Incoming[];
  readonly bad: BadRequest[];
  /** The server's side has told that it is gone. */
  closed(): boolean;
}

export type Overrides = Partial<Omit<H2ServerOptions, "limits">> & {
  readonly limits?: Partial<H2ServerOptions["limits"]>;
};

export const answerText = (incoming: Incoming, text: string, status = 200): void => {
  const body = Buffer.from(text);
  incoming.respond(
    { status, reason: "", headers: new Headers(), framing: { kind: "length", length: body.length } },
    Body.of(body),
  );
};

export async function serve(
  t: TestContext,
  onRequest: (incoming: Incoming) => void,
  overrides: Overrides = {},
): Promise<Served> {
  const pair = await socketPair();
  t.after(() => pair.close());
  const requests: Incoming[] = [];
  const bad: BadRequest[] = [];
  let isClosed = false;
  const options: H2ServerOptions = {
    deadlines: new Deadlines(),
    headerMs: 10_000,
    bodyMs: 10_000,
    idleMs: 10_000,
    ...overrides,
    limits: { ...defaultH1Limits, ...defaultH2Limits, ...overrides.limits },
  };
  const connection = new H2ServerConnection(pair.server, options, {
    onRequest(incoming) {
      requests.push(incoming);
      onRequest(incoming);
    },
    onBadRequest(request) {
      bad.push(request);
      if (request.status === 0) return undefined;
      return {
        status: request.status,
        reason: "",
        headers: new Headers(),
        body: Buffer.from(request.reason),
      };
    },
    onClose: () => {
      isClosed = true;
    },
  });
  return { client: pair.client, connection, requests, bad, closed: () => isClosed };
}

/** Node's own client on the other end. */
export function nodeClient(t: TestContext, { client }: Served): ClientHttp2Session {
  const session = connect("https://api.example.com", { createConnection: () => client });
  session.on("error", () => {});
  t.after(() => session.destroy());
  return session;
}

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

export const frame = (
  type: number,
  flags: number,
  stream: number,
  payload: Uint8Array = Buffer.alloc(0),
): Buffer => Buffer.concat([frameHeader(payload.length, type, flags, stream), payload]);

export const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
};

/** Speaks frames made by hand. */
export class RawClient {
  readonly socket: Socket;
  readonly frames: Frame[] = [];
  ended = false;
  readonly #encoder = new HpackEncoder();
  readonly #decoder = new HpackDecoder(4096);
  #taken = 0;

  constructor(socket: Socket) {
    this.socket = socket;
    const reader = new FrameReader({
      onData: (stream, bytes, _flow, end) => {
        this.frames.push({ type: 0, flags: end ? 1 : 0, stream, payload: bytes });
      },
      onFrame: (type, flags, stream, payload) => {
        this.frames.push({ type, flags, stream, payload: Buffer.from(payload) });
      },
    });
    socket.on("data", (chunk: Buffer) => reader.execute(chunk));
    socket.on("end", () => {
      this.ended = true;
    });
    socket.on("close", () => {
      this.ended = true;
    });
  }

  send(...bytes: Uint8Array[]): void {
    this.socket.write(Buffer.concat(bytes));
  }

  /** Preface, SETTINGS and the acknowledgement of the server's. */
  begin(settings: readonly (readonly [number, number])[] = []): this {
    this.send(clientPreface, settingsFrame(settings), frame(4, 1, 0));
    return this;
  }

  /** A header block with these fields. */
  block(fields: readonly (readonly [string, string])[]): Buffer {
    this.#encoder.begin(0);
    for (const [name, value] of fields) this.#encoder.field(name, value, false);
    return this.#encoder.end();
  }

  /** HEADERS of a GET, or of what `fields` make of it. */
  headers(
    stream: number,
    { end = true, method = "GET", path = "/", fields = [] }: RequestParts = {},
  ): Buffer {
    const block = this.block([
      [":method", method],
      [":scheme", "https"],
      [":authority", "api.example.com"],
      [":path", path],
      ...fields,
    ]);
    return frame(1, end ? 5 : 4, stream, block);
  }

  /** The next frame that is like this, waiting for it; those before it are passed over. */
  async next(type: number, stream?: number): Promise<Frame> {
    for (const deadline = performance.now() + 5000; performance.now() < deadline; ) {
      while (this.#taken < this.frames.length) {
        const found = this.frames[this.#taken++] as Frame;
        if (found.type === type && (stream === undefined || found.stream === stream)) return found;
      }
      if (this.ended) break;
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    throw new Error(
      `no frame of type ${type}: ${this.frames.map((one) => `${one.type}/${one.stream}`).join(" ")}`,
    );
  }

  /** Error code of the next GOAWAY. */
  async goaway(): Promise<{ last: number; code: number }> {
    const { payload } = await this.next(7);
    return { last: payload.readUInt32BE(0), code: payload.readUInt32BE(4) };
  }

  /** Error code with which the server resets the stream. */
  async reset(stream: number): Promise<number> {
    return (await this.next(3, stream)).payload.readUInt32BE(0);
  }

  /** Fields of the next HEADERS on the stream. They have to be asked for in the order they arrive. */
  async fields(stream: number): Promise<Record<string, string>> {
    const { payload } = await this.next(1, stream);
    const fields: Record<string, string> = {};
    this.#decoder.decode(payload, ({ name, value }) => {
      fields[name] = value;
    });
    return fields;
  }

  async closed(): Promise<void> {
    if (!this.ended) await once(this.socket, "end");
  }
}

export interface RequestParts {
  readonly end?: boolean;
  readonly method?: string;
  readonly path?: string;
  readonly fields?: readonly (readonly [string, string])[];
}

export function rawClient(
  { client }: Served,
  settings: readonly (readonly [number, number])[] = [],
): RawClient {
  return new RawClient(client).begin(settings);
}

/** A sink that says when it wants no more. */
export class Collector implements BodySink {
  size = 0;
  text = "";
  trailers: Headers | undefined;
  ended = false;
  aborted: Error | undefined;
  ready = true;

  write(bytes: Uint8Array): boolean {
    this.size += bytes.length;
    if (this.text.length < 10_000) this.text += Buffer.from(bytes).toString("latin1");
    return this.ready;
  }

  end(trailers: Headers | undefined): void {
    this.ended = true;
    this.trailers = trailers;
  }

  abort(error: Error): void {
    this.aborted = error;
  }
}

/** An answer of any size, made as it is asked for. */
export class Endless implements BodySource {
  readonly length: number;
  /** Bytes given away. */
  sent = 0;
  cancelled = false;
  #sink: BodySink | undefined;

  constructor(length: number) {
    this.length = length;
  }

  start(sink: BodySink): void {
    this.#sink = sink;
    this.resume();
  }

  resume(): void {
    const piece = Buffer.alloc(16_384, "x");
    while (this.sent < this.length && !this.cancelled) {
      const bytes = piece.subarray(0, Math.min(piece.length, this.length - this.sent));
      this.sent += bytes.length;
      if (this.#sink?.write(bytes) === false) return;
    }
    if (!this.cancelled) this.#sink?.end(undefined);
  }

  cancel(): void {
    this.cancelled = true;
  }
}

export async function eventually(what: string, check: () => boolean): Promise<void> {
  for (const deadline = performance.now() + 5000; performance.now() < deadline; ) {
    if (check()) return;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  throw new Error(`never: ${what}`);
}
