import http from "node:http";
import { Duplex } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import type { Pair } from "./recorder.ts";

/** What node's own parser makes of a message. */
export interface PeerMessage {
  /** Method and target, or status and reason phrase. */
  start: [string, string];
  headers: Pair[];
  body: string;
  trailers: Pair[];
  complete: boolean;
}

/** One end of a connection in memory; what the other side writes goes nowhere. */
class Wire extends Duplex {
  override _read(): void {}
  override _write(_chunk: unknown, _encoding: string, done: () => void): void {
    done();
  }
  /** Part of a socket that node's HTTP calls. */
  setTimeout(): this {
    return this;
  }
  setNoDelay(): this {
    return this;
  }
  setKeepAlive(): this {
    return this;
  }
  ref(): this {
    return this;
  }
  unref(): this {
    return this;
  }
}

const maxHeaderSize = 1 << 20;

/** The requests that node's HTTP server reads from these bytes, each answered at once. */
export async function nodeRequests(input: Buffer): Promise<PeerMessage[]> {
  const messages: PeerMessage[] = [];
  const wire = new Wire();
  const take = (request: http.IncomingMessage, response: http.ServerResponse): void => {
    messages.push(follow(request, [request.method ?? "", request.url ?? ""]));
    request.on("end", () => response.end());
  };
  const server = http.createServer({ maxHeaderSize }, take);
  server.on("checkContinue", take);
  server.on("checkExpectation", take);
  server.on("connect", (request: http.IncomingMessage) => {
    messages.push({ ...follow(request, [request.method ?? "", request.url ?? ""]), complete: true });
  });
  server.on("clientError", () => wire.destroy());
  server.emit("connection", wire);
  wire.push(input);
  await settle();
  wire.destroy();
  server.close();
  return messages;
}

/** The heads that node's HTTP client reads from these bytes as the answer to one request; 1xx come first. */
export async function nodeResponses(input: Buffer, method: string): Promise<PeerMessage[]> {
  const messages: PeerMessage[] = [];
  const wire = new Wire();
  const headers = { Host: "h" };
  const request = http.request({ method, path: "/", headers, createConnection: () => wire, maxHeaderSize });
  const take = (response: http.IncomingMessage): void => {
    messages.push(follow(response, [String(response.statusCode), response.statusMessage ?? ""]));
  };
  const takeWithoutBody = (response: http.IncomingMessage): void => {
    take(response);
    (messages.at(-1) as PeerMessage).complete = true;
  };
  request.on("response", take);
  request.on("connect", takeWithoutBody);
  request.on("upgrade", takeWithoutBody);
  request.on("information", (info: http.InformationEvent) => {
    const start: [string, string] = [String(info.statusCode), info.statusMessage];
    messages.push({ start, headers: pairs(info.rawHeaders), body: "", trailers: [], complete: false });
  });
  request.on("error", () => {});
  request.end();
  await settle();
  wire.push(input);
  await settle();
  wire.push(null);
  await settle();
  wire.destroy();
  return messages;
}

function follow(message: http.IncomingMessage, start: [string, string]): PeerMessage {
  const followed: PeerMessage = {
    start,
    headers: pairs(message.rawHeaders),
    body: "",
    trailers: [],
    complete: false,
  };
  message.on("data", (bytes: Buffer) => (followed.body += bytes.toString("latin1")));
  message.on("end", () => {
    followed.complete = true;
    followed.trailers = pairs(message.rawTrailers);
  });
  message.on("error", () => {});
  return followed;
}

function pairs(raw: readonly string[]): Pair[] {
  return Array.from({ length: raw.length / 2 }, (_, index) => [
    raw[index * 2] as string,
    raw[index * 2 + 1] as string,
  ]);
}

/** Streams deliver in ticks before the next turn of the loop; a few turns are all of them. */
async function settle(): Promise<void> {
  for (let turns = 0; turns < 3; turns++) await turn();
}
