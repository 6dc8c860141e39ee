import type { Socket } from "node:net";
import { BodyAbortedError, type BodySink, type BodySource } from "./body.ts";
import type { Channel } from "./channel.ts";
import type { Headers } from "./headers.ts";
import { resetSocket } from "./reset-socket.ts";

/** How long a peer may take none of what is left to be sent after our half-close, in milliseconds. */
const unreadMs = 60_000;

/** A socket that HTTP is over on, as a channel. It must allow half-open connections, or a half-close ends both ways. */
export function socketChannel(socket: Socket): Channel {
  return new SocketChannel(socket);
}

class SocketChannel implements Channel, BodySource, BodySink {
  readonly source: BodySource = this;
  readonly sink: BodySink = this;
  readonly length = undefined;
  onDrain: (() => void) | undefined;
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("drain", () => this.onDrain?.());
    // "close" follows; without a listener the error would end the process.
    socket.on("error", () => {});
  }

  start(sink: BodySink): void {
    const socket = this.#socket;
    let ended = false;
    socket.on("data", (bytes: Buffer) => {
      if (!sink.write(bytes)) socket.pause();
    });
    socket.on("end", () => {
      ended = true;
      sink.end(undefined);
    });
    socket.on("close", () => {
      // One direction may be over while the other is cut.
      if (!ended || !socket.writableFinished) sink.abort(new BodyAbortedError("the connection was cut"));
    });
    if (socket.destroyed) sink.abort(new BodyAbortedError("the connection was cut"));
    else socket.resume();
  }

  resume(): void {
    this.#socket.resume();
  }

  cancel(): void {
    this.#socket.destroy();
  }

  write(bytes: Uint8Array): boolean {
    return this.#socket.destroyed || this.#socket.write(bytes);
  }

  end(_trailers: Headers | undefined): void {
    const socket = this.#socket;
    socket.end();
    if (socket.writableLength === 0) return;
    socket.setTimeout(unreadMs, () => {
      if (socket.writableLength > 0) socket.destroy();
      else socket.setTimeout(0);
    });
  }

  /** A reset: a plain FIN would say that what was sent is all there is. */
  abort(_error: Error): void {
    resetSocket(this.#socket);
  }
}
