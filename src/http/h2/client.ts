import type { Socket } from "node:net";
import { requestBlock, type RequestFields } from "./encode.ts";
import { codes, type SessionError } from "./errors.ts";
import { largest31, settings } from "./frames.ts";
import { clientWindow, type H2Limits, maxOwnStreams } from "./limits.ts";
import { Session, type SessionHandler } from "./session.ts";
import type { Stream, StreamOwner } from "./stream.ts";

/** Whoever keeps a connection to a server. */
export interface H2ClientHandler {
  /** The server's SETTINGS have arrived. */
  onSettings(): void;
  /** It takes no more requests; those that are on it may still end. */
  onGoingAway(): void;
  /** Nothing is on it. */
  onIdle(): void;
  /** The socket is closed. Called once, after the streams were cut. */
  onClose(): void;
}

/** A connection to a server that speaks HTTP/2: requests share it. */
export class H2ClientConnection implements SessionHandler {
  readonly session: Session;
  readonly #handler: H2ClientHandler;
  #goingAway = false;
  #settled = false;

  constructor(socket: Socket, limits: Omit<H2Limits, "maxStreams" | "maxResets">, handler: H2ClientHandler) {
    this.#handler = handler;
    this.session = new Session(
      socket,
      {
        role: "client",
        limits: { ...limits, maxStreams: 0, maxResets: Number.POSITIVE_INFINITY },
        settings: [[settings.enablePush, 0]],
        window: clientWindow,
        credit: "receipt",
      },
      this,
    );
  }

  /** Whether it takes another request now. */
  get free(): boolean {
    const { session } = this;
    if (this.#goingAway || session.dead || session.lastOwnStream > largest31 - 4) return false;
    return session.streams.size < Math.min(session.peerMaxStreams, maxOwnStreams);
  }

  /** Whether the server takes extended CONNECT (RFC 8441); `undefined` while its SETTINGS are on their way. */
  get takesConnect(): boolean | undefined {
    return this.#settled ? this.session.peerConnectProtocol : undefined;
  }

  /** It may take another request later. */
  get open(): boolean {
    return !this.#goingAway && !this.session.dead;
  }

  /**
   * Sends the head of a request.
   * @param end nothing follows the head
   * @throws {TypeError} when a part does not match its grammar; nothing was sent then
   */
  request(fields: RequestFields, end: boolean, owner: StreamOwner): Stream {
    const { session } = this;
    const block = requestBlock(session.sender.encoder, fields);
    const id = session.lastOwnStream === 0 ? 1 : session.lastOwnStream + 2;
    session.lastOwnStream = id;
    const stream = session.adopt(id, owner, false);
    stream.sendFields(block, end);
    return stream;
  }

  /** Takes no more requests, and closes when those that are on it have ended. */
  retire(): void {
    if (this.session.dead) return;
    if (!this.#goingAway) {
      this.#goingAway = true;
      this.session.goaway(0, codes.noError);
      this.#handler.onGoingAway();
    }
    if (this.session.streams.size === 0) this.#close();
  }

  destroy(): void {
    this.session.destroy();
  }

  onStream(): void {
    // Servers open no streams: PUSH_PROMISE is refused.
  }

  onSettings(): void {
    this.#settled = true;
    this.#handler.onSettings();
  }

  onGoaway(): void {
    if (!this.#goingAway) {
      this.#goingAway = true;
      this.#handler.onGoingAway();
    }
    if (this.session.streams.size === 0) this.#close();
  }

  onIdle(): void {
    if (this.#goingAway) this.#close();
    else this.#handler.onIdle();
  }

  onDrain(): void {}

  onPong(): void {}

  onFault(_error: SessionError): void {
    this.#goingAway = true;
    this.#handler.onGoingAway();
    this.#close();
  }

  onClose(): void {
    this.#goingAway = true;
    this.#handler.onClose();
  }

  /** Nothing is awaited, so that nothing is lost with what may still be on its way here. */
  #close(): void {
    this.session.output.flush();
    this.session.socket.destroySoon();
  }
}
