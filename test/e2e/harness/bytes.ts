// Reads a socket by marks and counts. Nothing here knows the codec under test.
import type { Socket } from "node:net";

/** How the other side ended: an orderly close, or a reset or a socket that just went away. */
export type Ending = "end" | "cut";

/** What arrives on a socket, in order, kept until somebody takes it. */
export class ByteReader {
  readonly socket: Socket;
  /** Set once nothing more can arrive. */
  ended: Ending | undefined;
  #bytes: Buffer = Buffer.alloc(0);
  #wake: (() => void)[] = [];
  readonly #onData: (chunk: Buffer) => void;

  /** @param onBytes sees every chunk as it arrives */
  constructor(socket: Socket, onBytes: (chunk: Buffer) => void = () => {}) {
    this.socket = socket;
    this.#onData = (chunk) => {
      onBytes(chunk);
      this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
      this.#stir();
    };
    const onEnd = (ending: Ending) => {
      this.ended ??= ending;
      this.#stir();
    };
    socket.on("data", this.#onData);
    socket.on("end", () => onEnd("end"));
    socket.on("error", () => onEnd("cut"));
    socket.on("close", () => onEnd("cut"));
  }

  /** Bytes that arrived and were not taken. */
  get unread(): Buffer {
    return this.#bytes;
  }

  /** Text up to and with the mark; `undefined` when the stream ends without it, which takes nothing. */
  async until(mark: string): Promise<string | undefined> {
    for (;;) {
      const at = this.#bytes.indexOf(mark, 0, "latin1");
      if (at >= 0) return this.#shift(at + mark.length).toString("latin1");
      if (this.ended !== undefined) return undefined;
      await this.#more();
    }
  }

  /** So many bytes, fewer when the stream ends before. */
  async take(count: number): Promise<Buffer> {
    while (this.#bytes.length < count && this.ended === undefined) await this.#more();
    return this.#shift(Math.min(count, this.#bytes.length));
  }

  /** Everything up to the end of the stream. */
  async rest(): Promise<Buffer> {
    while (this.ended === undefined) await this.#more();
    return this.#shift(this.#bytes.length);
  }

  /** Stops reading and gives what was not taken, so that somebody else can go on with the socket. */
  release(): Buffer {
    this.socket.off("data", this.#onData);
    this.socket.pause();
    return this.#shift(this.#bytes.length);
  }

  #shift(count: number): Buffer {
    const taken = this.#bytes.subarray(0, count);
    this.#bytes = this.#bytes.subarray(count);
    return taken;
  }

  #more(): Promise<void> {
    return new Promise((resolve) => this.#wake.push(resolve));
  }

  #stir(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}
