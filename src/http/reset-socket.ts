import type { Socket } from "node:net";

/**
 * Cuts a connection with a reset where there is a way to: an orderly end would say that what was sent is all there is.
 * node resets TCP sockets only, so inside TLS it is the socket below that is reset; where that is none, TLS without its
 * close_notify (RFC 8446 section 6.1) says the same.
 */
export function resetSocket(socket: Socket): void {
  const below = (socket as Socket & { readonly _parent?: Socket | null })._parent;
  const tcp = below ?? socket;
  if ("encrypted" in socket && (below === undefined || below === null)) socket.destroy();
  else tcp.resetAndDestroy();
  if (tcp !== socket) socket.destroy();
}
