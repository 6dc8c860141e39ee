import type { Socket } from "node:net";

/**
 * Cuts a connection with a reset where there is a way to: an orderly end would say that what was sent is all there is.
 * node resets TCP sockets only, so inside TLS it is the socket below that is reset; where that is none, TLS without its
 * close_notify (RFC 8446 section 6.1) says the same. A socket whose own end is just being sent is closed: its peer was
 * told already that this is all.
 */
export function resetSocket(socket: Socket): void {
  const below = (socket as Socket & { readonly _parent?: Socket | null })._parent;
  const tcp = below ?? socket;
  if (isEnding(socket) || ("encrypted" in socket && (below === undefined || below === null)))
    socket.destroy();
  else tcp.resetAndDestroy();
  if (tcp !== socket) socket.destroy();
}

/** libuv does not reset a socket in its shutdown, and node then loses its descriptor for good. */
function isEnding({ writableEnded, writableLength, writableFinished }: Socket): boolean {
  return writableEnded && writableLength === 0 && !writableFinished;
}
