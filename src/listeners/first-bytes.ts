import type { Socket } from "node:net";
import type { Deadlines, Timed } from "../http/h1/deadlines.ts";

/** Who looks at the first bytes of a connection. */
export interface FirstBytesReader {
  /** Gives what is to be done with the connection once enough was seen; nothing while more is needed. */
  onBytes(chunk: Buffer): (() => void) | undefined;
  /** The peer closed, reset or kept silent before it was clear what it wants. */
  onGiveUp(why: "closed" | "timeout"): void;
}

/**
 * Reads from a connection until the reader has seen enough. The socket is paused then and nobody listens to it;
 * the bytes are with the reader, who puts them back with `unshift`.
 */
export function readFirstBytes(
  socket: Socket,
  deadlines: Deadlines,
  timeoutMs: number,
  reader: FirstBytesReader,
): void {
  const timed: Timed = {
    deadline: performance.now() + timeoutMs,
    onDeadline() {
      detach();
      reader.onGiveUp("timeout");
    },
  };
  const onData = (chunk: Buffer) => {
    const then = reader.onBytes(chunk);
    if (then === undefined) return;
    detach();
    socket.pause();
    then();
  };
  const onClosed = () => {
    detach();
    reader.onGiveUp("closed");
  };
  const ignore = () => {};
  const detach = () => {
    deadlines.delete(timed);
    socket.off("data", onData);
    socket.off("end", onClosed);
    socket.off("close", onClosed);
    socket.off("error", ignore);
  };
  deadlines.add(timed);
  socket.on("error", ignore);
  socket.on("data", onData);
  socket.on("end", onClosed);
  socket.on("close", onClosed);
  socket.resume();
}
