import type { BodySink, BodySource } from "./body.ts";

/** Bytes both ways on a connection or a stream that has stopped being HTTP: after a 101, or an accepted CONNECT. */
export interface Channel {
  /** What the peer sends; its end is the peer's half-close. */
  readonly source: BodySource;
  /** What goes to the peer; `end` half-closes, `abort` resets. */
  readonly sink: BodySink;
  /** Called when the sink takes bytes again after it answered false. */
  onDrain: (() => void) | undefined;
}
