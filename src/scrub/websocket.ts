import type { BodySource } from "../http/body.ts";
import { ChannelFilter } from "../http/channel-filter.ts";
import type { Channel } from "../http/channel.ts";
import { firstControlOpcode, type FrameHead, FrameHeadReader, frameHead } from "../http/websocket-frame.ts";
import type { Automaton } from "./automaton.ts";
import type { Exposed } from "./forms.ts";
import { Rewriter, scrubBytes } from "./rewriter.ts";

export interface ScrubbedFramesOptions {
  readonly automaton: () => Automaton;
  readonly found: (exposed: Exposed) => void;
}

/** Frames that cannot be searched. */
export class FrameError extends Error {
  override readonly name = "FrameError";
}

/** A channel of WebSocket frames (RFC 6455 section 5) whose answers are scrubbed. No extension may have been negotiated. */
export function scrubbedChannel(channel: Channel, options: ScrubbedFramesOptions): Channel {
  return {
    source: new ScrubbedFrames(channel.source, options),
    sink: channel.sink,
    get onDrain() {
      return channel.onDrain;
    },
    set onDrain(drained) {
      channel.onDrain = drained;
    },
  };
}

/** Bytes of a frame that are gathered before they go on as a fragment. */
const maxGathered = 64 * 1024;
const maxControl = 125;

/**
 * The frames of a server. A value may be cut anywhere in a message, whose frames are made anew; a frame that comes at once leaves as
 * one frame. In binary messages, and in control frames, what replaces a value has its length.
 */
class ScrubbedFrames extends ChannelFilter {
  readonly #options: ScrubbedFramesOptions;
  readonly #heads = new FrameHeadReader();
  #frame: FrameHead | undefined;
  /** Payload of the frame that is still missing. */
  #left = 0;
  #control: Uint8Array[] = [];
  /** The message under way, which control frames may interrupt. */
  #message: { opcode: number; readonly rewriter: Rewriter } | undefined;
  #parts: Uint8Array[] = [];
  #size = 0;

  constructor(source: BodySource, options: ScrubbedFramesOptions) {
    super(source);
    this.#options = options;
  }

  override get length(): undefined {
    return undefined;
  }

  protected override take(bytes: Uint8Array): void {
    let at = 0;
    while (!this.over && (at < bytes.length || (this.#frame !== undefined && this.#left === 0))) {
      at = this.#frame === undefined ? this.#takeHead(bytes, at) : this.#takePayload(this.#frame, bytes, at);
    }
  }

  protected override release(): void {
    this.#message?.rewriter.cancel();
  }

  #takeHead(bytes: Uint8Array, at: number): number {
    const read = this.#heads.read(bytes, at);
    if (read === undefined) return bytes.length;
    const { frame, next } = read;
    const problem = this.#problemOf(frame);
    if (problem !== undefined) return this.#fail(problem);
    this.#frame = frame;
    this.#left = frame.length;
    if (frame.opcode === 1 || frame.opcode === 2) this.#message = this.#open(frame.opcode);
    return next;
  }

  #problemOf({ opcode, isLast, isExtended, mask, length }: FrameHead): string | undefined {
    if (isExtended) return "sent a frame of an extension that was not negotiated";
    if (mask.length > 0) return "sent a masked frame";
    if (!Number.isSafeInteger(length)) return "sent a frame that is too long";
    if (opcode >= firstControlOpcode)
      return isLast && length <= maxControl ? undefined : "sent a control frame that is too long";
    if (opcode > 2) return "sent a frame of an unknown kind";
    return (opcode === 0) === (this.#message === undefined) ? "sent frames out of order" : undefined;
  }

  #open(opcode: number): { opcode: number; rewriter: Rewriter } {
    const { automaton, found } = this.#options;
    const emit = (bytes: Uint8Array): void => {
      this.#parts.push(bytes);
      this.#size += bytes.length;
    };
    return { opcode, rewriter: new Rewriter({ automaton, found, emit, keepLength: opcode === 2 }) };
  }

  #takePayload(frame: FrameHead, bytes: Uint8Array, at: number): number {
    const part = bytes.subarray(at, at + this.#left);
    this.#left -= part.length;
    const isDone = this.#left === 0;
    if (frame.opcode >= firstControlOpcode) {
      this.#control.push(part);
      if (isDone) this.#sendControl(frame.opcode);
    } else {
      this.#message?.rewriter.write(part);
      if (isDone && frame.isLast) this.#message?.rewriter.end();
      if (isDone || this.#size >= maxGathered) this.#sendFragment(isDone && frame.isLast);
    }
    if (isDone) this.#frame = undefined;
    return at + part.length;
  }

  #sendControl(opcode: number): void {
    const { automaton, found } = this.#options;
    const payload = Buffer.concat(this.#control.splice(0));
    this.#send(opcode, true, scrubBytes(payload, automaton(), found, true));
  }

  #sendFragment(isLast: boolean): void {
    const message = this.#message;
    if (message === undefined || (this.#size === 0 && !isLast)) return;
    const [only, ...more] = this.#parts;
    const payload = only !== undefined && more.length === 0 ? only : Buffer.concat(this.#parts, this.#size);
    this.#parts = [];
    this.#size = 0;
    this.#send(message.opcode, isLast, payload);
    message.opcode = 0;
    if (isLast) this.#message = undefined;
  }

  #send(opcode: number, isLast: boolean, payload: Uint8Array): void {
    this.send(frameHead(opcode, isLast, payload.length));
    if (payload.length > 0) this.send(payload);
  }

  /** Returns a position past every byte, so that reading stops. */
  #fail(problem: string): number {
    this.fail(new FrameError(`the upstream ${problem}`));
    return Number.POSITIVE_INFINITY;
  }
}
