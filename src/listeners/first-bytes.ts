import type { Socket } from "node:net";
import type { Timed } from "../http/h1/deadlines.ts";
import type { ListenerContext } from "./context.ts";

/** Why nothing came of a connection's first bytes. */
export type GaveUp = "closed" | "timeout" | "draining";

/** Who looks at the first bytes of a connection. */
export interface FirstBytesReader {
  /** Gives what is to be done with the connection once enough was seen; nothing while more is needed. */
  onBytes(chunk: Buffer): (() => void) | undefined;
  /** The peer closed, reset or kept silent before it was clear what it wants, or the proxy is being stopped. */
  onGiveUp(why: GaveUp): void;
}

/**
 * Reads from a connection until the reader has seen enough. The socket is paused then and nobody listens to it;
 * the bytes are with the reader, who puts them back with `unshift`.
 */
export function readFirstBytes(
  socket: Socket,
  { serverOptions, connections }: Pick<ListenerContext, "serverOptions" | "connections">,
  timeoutMs: number,
  reader: FirstBytesReader,
): void {
  const { deadlines } = serverOptions;
  const giveUp = (why: GaveUp) => {
    detach();
    reader.onGiveUp(why);
  };
  const waiting: Timed & { drain(): void } = {
    deadline: performance.now() + timeoutMs,
    onDeadline: () => giveUp("timeout"),
    drain: () => giveUp("draining"),
  };
  const onData = (chunk: Buffer) => {
    const then = reader.onBytes(chunk);
    if (then === undefined) return;
    detach();
    socket.pause();
    then();
  };
  const onClosed = () => giveUp("closed");
  const ignore = () => {};
  const detach = () => {
    deadlines.delete(waiting);
    connections.forget(waiting);
    socket.off("data", onData);
    socket.off("end", onClosed);
    socket.off("close", onClosed);
    socket.off("error", ignore);
  };
  deadlines.add(waiting);
  socket.on("error", ignore);
  socket.on("data", onData);
  socket.on("end", onClosed);
  socket.on("close", onClosed);
  connections.serve(waiting);
  socket.resume();
}
