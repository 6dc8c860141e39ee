import { hash, randomBytes } from "node:crypto";
import type { Headers } from "./headers.ts";
import { fieldHasToken, switchesTo } from "./hop-by-hop.ts";
import type { RequestHead, ResponseHead } from "./message.ts";

/** A request that asks to speak WebSocket (RFC 6455 section 4.1, RFC 8441 over HTTP/2). */
export interface Handshake {
  /** `Sec-WebSocket-Key` as the upstream gets it; made here for a client of HTTP/2, which sends none. */
  readonly key: string;
}

/** A handshake that is refused with 400; the message says what is wrong with it. */
export class HandshakeError extends Error {
  override readonly name = "HandshakeError";
}

/**
 * The WebSocket handshake that a request is, or `undefined` for any other request. An `Upgrade` in HTTP/1.0 does not count
 * (RFC 9110 section 7.8). Whatever a server might take for a handshake and another might not is refused: those two would
 * disagree about what the bytes behind it are.
 * @throws {HandshakeError}
 */
export function webSocketHandshake(head: RequestHead): Handshake | undefined {
  const { headers } = head;
  if (head.protocol !== undefined) {
    if (head.protocol !== "websocket") return undefined;
    checkVersion(headers, true);
    return { key: randomBytes(16).toString("base64") };
  }
  if (head.version < 11 || !fieldHasToken(headers, "upgrade", "websocket")) return undefined;
  if (head.method !== "GET") throw new HandshakeError("A WebSocket handshake is a GET request.");
  if (head.framing.kind !== "none") throw new HandshakeError("A WebSocket handshake has no body.");
  if (!switchesTo(headers, "websocket")) {
    throw new HandshakeError("Upgrade: websocket without Connection: Upgrade.");
  }
  checkVersion(headers, false);
  const key = only(headers, "sec-websocket-key");
  // 16 bytes in base64: 22 characters and the padding.
  if (key === undefined || !/^[A-Za-z0-9+/]{22}==$/.test(key)) {
    throw new HandshakeError("Sec-WebSocket-Key is not one field of 16 bytes in base64.");
  }
  return { key };
}

function checkVersion(headers: Headers, optional: boolean): void {
  if (optional && !headers.has("sec-websocket-version")) return;
  if (only(headers, "sec-websocket-version") !== "13") {
    throw new HandshakeError("Sec-WebSocket-Version is not 13, the only version there is.");
  }
}

/** Puts the fields of the handshake among those of a request that goes over HTTP/1.1; hop-by-hop fields are gone from there. */
export function writeHandshake(headers: Headers, { key }: Handshake): void {
  headers.append("Upgrade", "websocket");
  headers.append("Connection", "Upgrade");
  if (!headers.has("sec-websocket-version")) headers.append("Sec-WebSocket-Version", "13");
  if (headers.get("sec-websocket-key") !== key) headers.set("Sec-WebSocket-Key", key);
}

/** Makes the fields of a 101, hop-by-hop ones gone, those of the answer to the client (RFC 6455 section 4.2.2, RFC 8441 section 5). */
export function writeAcceptance(headers: Headers, clientVersion: number): void {
  if (clientVersion < 20) {
    headers.append("Upgrade", "websocket");
    headers.append("Connection", "Upgrade");
    return;
  }
  for (const name of ["sec-websocket-accept", "content-length", "transfer-encoding"]) headers.delete(name);
}

/** The fields of a handshake as those of an extended CONNECT, which has no use for some (RFC 8441 section 5). */
export function connectFields(handshake: Headers): Headers {
  const headers = handshake.clone();
  for (const name of ["upgrade", "connection", "sec-websocket-key"]) headers.delete(name);
  return headers;
}

/**
 * A 2xx to an extended CONNECT, as the 101 that accepts the same handshake: the stream proves what the key would
 * (RFC 8441 section 5), and content has no place there (RFC 9110 section 9.3.6).
 * @param handshake fields of the request as HTTP/1.1 has them
 */
export function connectAcceptance(head: ResponseHead, handshake: Headers): ResponseHead {
  const { headers } = head;
  headers.delete("content-length");
  headers.append("Upgrade", "websocket");
  headers.append("Connection", "Upgrade");
  headers.set("Sec-WebSocket-Accept", acceptFor(handshake.get("sec-websocket-key") ?? ""));
  return { ...head, status: 101, framing: { kind: "none" } };
}

const acceptSuffix = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** What a server that understood the key answers with (RFC 6455 section 4.2.2). */
export function acceptFor(key: string): string {
  return hash("sha1", key + acceptSuffix, "base64");
}

/**
 * What is wrong with a 101, or `undefined` where it accepts what was asked for: the right `Sec-WebSocket-Accept`, and no
 * subprotocol and no extension that was not offered (RFC 6455 section 4.1; attack 29).
 * @param sent fields of the request as they went upstream
 */
export function acceptanceProblem({ key }: Handshake, sent: Headers, answered: Headers): string | undefined {
  if (only(answered, "sec-websocket-accept") !== acceptFor(key)) {
    return "its Sec-WebSocket-Accept does not answer the key";
  }
  const protocols = answered.getAll("sec-websocket-protocol");
  const offered = listOf(sent, "sec-websocket-protocol");
  if (protocols.length > 1 || protocols.some((protocol) => !offered.includes(protocol.trim()))) {
    return "it chose a subprotocol that was not offered";
  }
  const extensions = namesOf(sent, "sec-websocket-extensions");
  if (namesOf(answered, "sec-websocket-extensions").some((name) => !extensions.includes(name))) {
    return "it chose an extension that was not offered";
  }
  return undefined;
}

/** The value of a field that stands there once; `undefined` where it is absent or repeated. */
function only(headers: Headers, key: string): string | undefined {
  const index = headers.indexOf(key);
  if (index < 0 || headers.indexOf(key, index + 1) >= 0) return undefined;
  return headers.valueAt(index);
}

/** Members of a comma list that may span several fields; a comma in a quoted string separates nothing. */
function listOf(headers: Headers, key: string): string[] {
  return headers
    .getAll(key)
    .flatMap((value) => value.match(/(?:[^,"]|"(?:[^"\\]|\\.)*"?)+/g) ?? [])
    .map((member) => member.trim())
    .filter((member) => member !== "");
}

/** The same without parameters, in lower case. */
function namesOf(headers: Headers, key: string): string[] {
  return listOf(headers, key).map((member) => (member.split(";")[0] as string).trim().toLowerCase());
}
