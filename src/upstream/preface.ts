import type { Socket } from "node:net";

/** The peer closed the connection where more was expected. */
export class PrefaceClosedError extends Error {
  override readonly name = "PrefaceClosedError";
}

/**
 * Reads what a proxy says before the connection belongs to someone else, byte by byte where that matters. What
 * was read too far goes back into the socket.
 */
export class PrefaceReader {
  readonly #socket: Socket;
  readonly #signal: AbortSignal;
  #bytes: Buffer = Buffer.alloc(0);
  #error: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(socket: Socket, signal: AbortSignal) {
    this.#socket = socket;
    this.#signal = signal;
    socket.on("data", this.#onData);
    socket.on("error", this.#onError);
    socket.on("end", this.#onEnd);
    socket.on("close", this.#onEnd);
    signal.addEventListener("abort", this.#onAbort);
    if (signal.aborted) this.#onAbort();
  }

  /**
   * The next bytes, at least one.
   * @throws {PrefaceClosedError} or what went wrong with the socket, or the signal's reason
   */
  async some(): Promise<Buffer> {
    while (this.#bytes.length === 0) {
      if (this.#error) throw this.#error;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
    const bytes = this.#bytes;
    this.#bytes = Buffer.alloc(0);
    return bytes;
  }

  /** Exactly so many bytes; throws as {@link some} does. */
  async exactly(length: number): Promise<Buffer> {
    let bytes = await this.some();
    while (bytes.length < length) bytes = Buffer.concat([bytes, await this.some()]);
    this.putBack(bytes.subarray(length));
    return bytes.subarray(0, length);
  }

  putBack(bytes: Buffer): void {
    this.#bytes = this.#bytes.length === 0 ? bytes : Buffer.concat([bytes, this.#bytes]);
  }

  /** Gives the socket up, paused, with everything unread in it. */
  release(): void {
    const socket = this.#socket;
    socket.off("data", this.#onData);
    socket.off("error", this.#onError);
    socket.off("end", this.#onEnd);
    socket.off("close", this.#onEnd);
    this.#signal.removeEventListener("abort", this.#onAbort);
    if (socket.destroyed) return;
    socket.pause();
    if (this.#bytes.length > 0) socket.unshift(this.#bytes);
  }

  readonly #onData = (bytes: Buffer): void => {
    this.#bytes = this.#bytes.length === 0 ? bytes : Buffer.concat([this.#bytes, bytes]);
    this.#wake?.();
  };

  readonly #onError = (error: Error): void => {
    this.#error ??= error;
    this.#wake?.();
  };

  readonly #onEnd = (): void => {
    this.#onError(new PrefaceClosedError("closed"));
  };

  readonly #onAbort = (): void => {
    this.#onError(this.#signal.reason as Error);
  };
}
