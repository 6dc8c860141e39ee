import type { Headers } from "../http/headers.ts";
import { limitAcceptEncoding } from "./codings.ts";

/**
 * Makes a request one whose answer can be scrubbed: the whole of it, for what is cut into ranges by whoever asks cannot be searched
 * (attack 37), and in codings that can be decoded.
 */
export function prepareRequest(headers: Headers, keepsRange: boolean): void {
  if (!keepsRange) {
    headers.delete("range");
    headers.delete("if-range");
  }
  limitAcceptEncoding(headers);
  // An extension of WebSocket compresses or changes what is in the frames.
  headers.delete("sec-websocket-extensions");
  // Messages of gRPC are compressed one by one.
  if (headers.has("grpc-accept-encoding")) headers.set("grpc-accept-encoding", "identity");
}
