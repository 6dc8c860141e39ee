// Run as a program: an upstream that reads uploads to their end before it answers, and holds none of them (nginx would
// write a large one to disk). It takes any credential but a placeholder.
// node bench/upload-sink.ts CERTIFICATE KEY
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";

const [cert = "", key = ""] = process.argv.slice(2).map((file) => readFileSync(file, "utf8"));
const server = createServer({ cert, key }, (request, response) => {
  const { authorization = "placeholder" } = request.headers;
  let bytes = 0;
  request.on("data", (chunk: Buffer) => (bytes += chunk.length));
  request.on("end", () => {
    response.writeHead(/placeholder/i.test(authorization) ? 401 : 200).end(String(bytes));
  });
});
server.listen(0, "localhost", () => {
  console.error(`listening on ${(server.address() as AddressInfo).port}`);
});
