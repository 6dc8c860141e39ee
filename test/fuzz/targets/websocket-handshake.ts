import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { Headers } from "../../../src/http/headers.ts";
import { RequestParser } from "../../../src/http/h1/parser.ts";
import { defaultH1Limits } from "../../../src/http/h1/limits.ts";
import { H1Error } from "../../../src/http/h1/errors.ts";
import type { RequestHead } from "../../../src/http/message.ts";
import {
  acceptanceProblem,
  acceptFor,
  HandshakeError,
  webSocketHandshake,
} from "../../../src/http/websocket.ts";
import { WebSocketServer } from "ws";
import type { Random } from "../random.ts";

export const name = "websocket-handshake";

const key = "dGhlIHNhbXBsZSBub25jZQ==";
const server = new WebSocketServer({ noServer: true });

/**
 * Requests that are nearly handshakes, and 101s that are nearly acceptances. What this proxy takes for a handshake, the
 * ws package does too: the two never disagree about a connection that has changed its protocol.
 */
export function run(random: Random): void {
  const text = requestText(random);
  random.keep(Buffer.from(text, "latin1"));
  const head = parse(text);
  if (head === undefined) return;
  let handshake: ReturnType<typeof webSocketHandshake>;
  try {
    handshake = webSocketHandshake(head);
  } catch (error) {
    assert.ok(error instanceof HandshakeError);
    return;
  }
  if (handshake === undefined) return;
  assert.equal(handshake.key, head.headers.get("sec-websocket-key"));
  assert.ok(isUpgradeForWs(head), "ws takes it for a handshake");
  const answered = answer(random, handshake.key);
  const problem = acceptanceProblem(handshake, head.headers, answered);
  if (problem === undefined) assert.equal(answered.get("sec-websocket-accept"), acceptFor(handshake.key));
}

function parse(text: string): RequestHead | undefined {
  let head: RequestHead | undefined;
  const parser = new RequestParser(defaultH1Limits, {
    onHead: (parsed) => {
      head = parsed;
    },
    onBody: () => {},
    onEnd: () => {},
  });
  try {
    parser.execute(Buffer.from(text, "latin1"));
  } catch (error) {
    assert.ok(error instanceof H1Error);
    return undefined;
  }
  return head;
}

/** Whether ws would answer 101 to these fields. */
function isUpgradeForWs({ method, headers }: RequestHead): boolean {
  let upgraded = false;
  const fields: Record<string, string> = {};
  for (const [field, value] of headers) {
    const lower = field.toLowerCase();
    fields[lower] = fields[lower] === undefined ? value : `${fields[lower]}, ${value}`;
  }
  // The list is this proxy's to shorten: what it sends on is `Upgrade: websocket` alone.
  fields["upgrade"] = "websocket";
  const socket = {
    readable: true,
    writable: true,
    on: () => socket,
    once: () => socket,
    removeListener: () => socket,
    write: (text: string) => {
      upgraded = text.startsWith("HTTP/1.1 101");
    },
    end: () => {},
    destroy: () => {},
    setTimeout: () => {},
    setNoDelay: () => {},
    unshift: () => {},
  } as unknown as Duplex;
  const request = { method, headers: fields, httpVersion: "1.1", url: "/" } as unknown as IncomingMessage;
  server.handleUpgrade(request, socket, Buffer.alloc(0), () => {});
  return upgraded;
}

function requestText(random: Random): string {
  const fields = [
    ["Upgrade", random.pick(["websocket", "WebSocket", "websocket, h2c", "h2c", "websocket/13", ""])],
    [
      "Connection",
      random.pick(["Upgrade", "keep-alive, upgrade", "close", "Upgrade, Sec-WebSocket-Key", ""]),
    ],
    ["Sec-WebSocket-Version", random.pick(["13", "13", "13", "8", "13, 8", ""])],
    ["Sec-WebSocket-Key", random.pick([key, key, key, `${key}=`, "eA==", "", key.replace("d", "%")])],
  ].filter(() => !random.once(12));
  if (random.once(6)) fields.push(random.pick(fields.length > 0 ? fields : [["X", "y"]]));
  if (random.once(4)) fields.push(["Sec-WebSocket-Protocol", random.pick(["chat", "chat, superchat"])]);
  if (random.once(8)) fields.push(["Content-Length", random.pick(["0", "5"])]);
  const lines = fields.map(([field, value]) => `${field}: ${value}\r\n`).join("");
  const method = random.pick(["GET", "GET", "GET", "POST", "get"]);
  return `${method} /ws HTTP/1.${random.pick(["1", "1", "1", "0"])}\r\nHost: a.example\r\n${lines}\r\n`;
}

function answer(random: Random, sent: string): Headers {
  const headers = Headers.of([["Sec-WebSocket-Accept", random.once(3) ? sent : acceptFor(sent)]]);
  if (random.once(3))
    headers.append("Sec-WebSocket-Protocol", random.pick(["chat", "superchat", "other", ""]));
  if (random.once(6)) headers.append("Sec-WebSocket-Accept", acceptFor(sent));
  return headers;
}
