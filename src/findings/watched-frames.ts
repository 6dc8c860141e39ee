import { BodyAbortedError, type BodySource } from "../http/body.ts";
import { ChannelFilter } from "../http/channel-filter.ts";
import type { Channel } from "../http/channel.ts";
import { firstControlOpcode, type FrameHead, FrameHeadReader } from "../http/websocket-frame.ts";
import type { Automaton } from "../scrub/automaton.ts";
import type { Exposed } from "../scrub/forms.ts";
import { StreamScanner } from "./scan.ts";
import type { Finder } from "./watched-body.ts";

/**
 * A channel of WebSocket frames (RFC 6455 section 5) in which what the client says is searched. It goes on byte for byte; what
 * completes a credential does not, and the channel fails.
 * @param automaton what is looked for now, asked for each message; `undefined` for nothing
 */
export function watchedChannel(
  client: Channel,
  finder: Finder,
  automaton: () => Automaton | undefined,
): Channel {
  return {
    source: new WatchedFrames(client.source, finder, automaton),
    sink: client.sink,
    get onDrain() {
      return client.onDrain;
    },
    set onDrain(drained) {
      client.onDrain = drained;
    },
  };
}

/** Whether the frames are in order is for the server to judge: whatever stands in a frame is searched. */
class WatchedFrames extends ChannelFilter {
  readonly #finder: Finder;
  readonly #automaton: () => Automaton | undefined;
  #blocked = false;
  readonly #heads = new FrameHeadReader();
  #frame: FrameHead | undefined;
  /** Bytes of the frame's payload that have come. */
  #position = 0;
  /** Of the message under way, which control frames may interrupt; `undefined` where it cannot be searched. */
  #message: StreamScanner | undefined;
  #control: StreamScanner | undefined;

  constructor(source: BodySource, finder: Finder, automaton: () => Automaton | undefined) {
    super(source);
    this.#finder = finder;
    this.#automaton = automaton;
  }

  protected override take(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      at = this.#frame === undefined ? this.#takeHead(bytes, at) : this.#takePayload(this.#frame, bytes, at);
    }
    if (this.#blocked) this.fail(new BodyAbortedError("a message holds a credential"));
    else this.send(bytes);
  }

  protected override release(): void {
    this.#finder.report();
  }

  #takeHead(bytes: Uint8Array, at: number): number {
    const read = this.#heads.read(bytes, at);
    if (read === undefined) return bytes.length;
    const { frame, next } = read;
    this.#position = 0;
    if (frame.opcode >= firstControlOpcode) this.#control = this.#scannerFor(frame);
    else if (frame.opcode > 0) this.#message = this.#scannerFor(frame);
    if (frame.length === 0) this.#onEnd(frame);
    else this.#frame = frame;
    return next;
  }

  #scannerFor({ isExtended }: FrameHead): StreamScanner | undefined {
    const automaton = isExtended ? undefined : this.#automaton();
    if (automaton === undefined) return undefined;
    return new StreamScanner(automaton, (exposed) => this.#found(exposed));
  }

  #takePayload(frame: FrameHead, bytes: Uint8Array, at: number): number {
    const part = bytes.subarray(at, at + frame.length - this.#position);
    const scanner = frame.opcode >= firstControlOpcode ? this.#control : this.#message;
    scanner?.write(unmasked(part, frame.mask, this.#position));
    this.#position += part.length;
    if (this.#position === frame.length) this.#onEnd(frame);
    return at + part.length;
  }

  #onEnd({ opcode, isLast }: FrameHead): void {
    this.#frame = undefined;
    if (opcode >= firstControlOpcode) this.#control?.end();
    else if (isLast) this.#message?.end();
    this.#finder.report();
  }

  #found(exposed: Exposed): void {
    if (this.#finder.found(exposed, "frame")) this.#blocked = true;
  }
}

/** @param position of the bytes in their frame */
function unmasked(bytes: Uint8Array, mask: Uint8Array, position: number): Uint8Array {
  if (mask.length === 0) return bytes;
  const plain = new Uint8Array(bytes.length);
  for (let index = 0; index < bytes.length; index++) {
    plain[index] = (bytes[index] as number) ^ (mask[(position + index) & 3] as number);
  }
  return plain;
}
