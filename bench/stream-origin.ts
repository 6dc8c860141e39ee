// node bench/stream-origin.ts PORT CERT KEY: event streams under /events, WebSockets that echo under /ws.
import { readFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { createServer } from "node:https";
import { WebSocketServer } from "ws";

/** Milliseconds between two events of a stream. */
const everyMs = 500;

const [port = "0", cert = "", key = ""] = process.argv.slice(2);
const streams = new Set<ServerResponse>();
const server = createServer({ cert: readFileSync(cert), key: readFileSync(key) }, (_request, response) => {
  response.writeHead(200, { "Content-Type": "text/event-stream" });
  response.flushHeaders();
  streams.add(response);
  response.on("close", () => streams.delete(response));
});
const sockets = new WebSocketServer({ server, perMessageDeflate: false });
sockets.on("connection", (socket) => {
  socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
});
// Spread over the time, so that what is measured is the delay of an event and not a queue of a thousand.
let turn = 0;
const turns = 50;
setInterval(() => {
  turn = (turn + 1) % turns;
  let index = 0;
  for (const stream of streams) {
    if (index++ % turns === turn) stream.write(`data: ${process.hrtime.bigint()}\n\n`);
  }
}, everyMs / turns);
server.listen(Number(port), "localhost");
