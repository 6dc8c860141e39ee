import type { Headers } from "../http/headers.ts";
import { limitAcceptEncoding } from "./codings.ts";

/**
 * Makes a request one whose answer can be scrubbed: the whole of it, for what is cut into ranges by whoever asks cannot be searched
 * (attack 37), and in codings that can be decoded.
 */
export function prepareRequest(headers: Headers, keepsRange: boolean): void {
  if (!keepsRange) {
    remove(headers, "range");
    remove(headers, "if-range");
  }
  limitAcceptEncoding(headers);
  // An extension of WebSocket compresses or changes what is in the frames.
  remove(headers, "sec-websocket-extensions");
  // Messages of gRPC and of Connect streams are compressed one by one.
  for (const key of ["grpc-accept-encoding", "connect-accept-encoding"]) {
    if (headers.indexOf(key) >= 0) headers.set(key, "identity");
  }
}

/** Nearly always there is nothing to remove. @param key in lower case */
function remove(headers: Headers, key: string): void {
  if (headers.indexOf(key) >= 0) headers.delete(key);
}
