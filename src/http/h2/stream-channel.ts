import { BodyAbortedError, type BodySink, type BodySource } from "../body.ts";
import type { Channel } from "../channel.ts";
import { codes, malformed } from "./errors.ts";
import type { Stream, StreamEnd, StreamOwner } from "./stream.ts";

/** A stream that a CONNECT of ours opened, and that carries anything from now on (RFC 9113 section 8.5). */
export class StreamChannel implements Channel, BodySource, BodySink, StreamOwner {
  readonly source: BodySource = this;
  readonly sink: BodySink = this;
  readonly length = undefined;
  onDrain: (() => void) | undefined;
  readonly #stream: Stream;
  #to: BodySink | undefined;
  /** Bytes that arrived before anyone read; no more than the stream's window. */
  #waiting: Buffer[] = [];
  /** Bytes that the reader took, but is not ready for more of. */
  #held = 0;
  #ended = false;
  #error: Error | undefined;

  /** Becomes the owner of the stream. */
  constructor(stream: Stream) {
    this.#stream = stream;
    stream.owner = this;
  }

  start(sink: BodySink): void {
    this.#to = sink;
    for (const bytes of this.#waiting.splice(0)) this.#pass(sink, bytes);
    if (this.#error !== undefined) sink.abort(this.#error);
    else if (this.#ended) sink.end(undefined);
  }

  resume(): void {
    const held = this.#held;
    this.#held = 0;
    this.#stream.consumed(held);
  }

  cancel(): void {
    this.#stream.reset(codes.cancel);
  }

  write(bytes: Uint8Array): boolean {
    return bytes.length === 0 || this.#stream.closed || this.#stream.write(bytes);
  }

  end(): void {
    this.#stream.end();
  }

  /** As the reset of a connection: an end would say that what was sent is all there is (RFC 8441 section 5). */
  abort(_error: Error): void {
    this.#stream.reset(codes.cancel);
  }

  onFields(): void {
    throw malformed("HEADERS on a stream that is a tunnel");
  }

  onBytes(bytes: Buffer): void {
    if (this.#to === undefined) this.#waiting.push(bytes);
    else this.#pass(this.#to, bytes);
  }

  onEnd(): void {
    this.#ended = true;
    this.#to?.end(undefined);
  }

  onWritable(): void {
    this.onDrain?.();
  }

  onSent(): void {}

  onCut({ code, message }: StreamEnd): void {
    // It has said everything, and wants to hear no more (RFC 9113 section 8.1): that is an end, not a cut.
    if (this.#ended && code === codes.noError) return;
    this.#error = new BodyAbortedError(message);
    // One direction may have ended before.
    this.#to?.abort(this.#error);
  }

  #pass(sink: BodySink, bytes: Buffer): void {
    if (sink.write(bytes)) this.#stream.consumed(bytes.length);
    else this.#held += bytes.length;
  }
}
