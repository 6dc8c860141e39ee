// node bench/grpc-origin.ts PORT CERT KEY: answers every unary call with a message of 100 bytes and status OK.
import { readFileSync } from "node:fs";
import { createSecureServer, type ServerHttp2Stream } from "node:http2";

const [port = "0", cert = "", key = ""] = process.argv.slice(2);
const message = Buffer.alloc(105, "m");
message.writeUInt8(0, 0);
message.writeUInt32BE(100, 1);

const server = createSecureServer({ cert: readFileSync(cert), key: readFileSync(key) });
server.on("stream", (stream: ServerHttp2Stream, headers) => {
  stream.on("error", () => {});
  // UNAUTHENTICATED is no 2xx here, so that the load generator sees it.
  if (/^$|placeholder/.test(headers.authorization ?? "")) {
    stream.respond({ ":status": 401 }, { endStream: true });
    return;
  }
  stream.resume();
  stream.on("end", () => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.end(message);
  });
});
server.listen(Number(port), "localhost");
