// What is on the other side of the gateway, as a process of its own: HTTPS, HTTP, a port that nobody redirects, and the
// resolver of the operator. Writes one line for each thing that arrives.
import { createSocket } from "node:dgram";
import { createServer as createHttp, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createHttps } from "node:https";
import { createServer } from "node:net";
import * as packet from "dns-packet";

const { INTERNET_CERT: cert = "", INTERNET_KEY: key = "", INTERNET_A = "", INTERNET_AAAA = "" } = process.env;

function say(what: string, from: string | undefined): void {
  process.stdout.write(`${what} ${from?.replace("::ffff:", "")}\n`);
}

const answer = (what: string) => (request: IncomingMessage, response: ServerResponse) => {
  say(`${what} ${request.headers.host} ${request.headers["authorization"]}`, request.socket.remoteAddress);
  response.end("the internet\n");
};

createHttps({ cert, key }, answer("https")).listen(443, "::");
createHttp(answer("http")).listen(80, "::");
createServer((socket) => {
  say("tcp", socket.remoteAddress);
  socket.on("error", () => {});
  socket.end("out\n");
}).listen(8080, "::");
const udp = createSocket("udp6");
udp.on("message", (_, { address }) => say("udp", address));
udp.bind(443);
const dns = createSocket("udp6");
dns.on("message", (message, peer) => {
  const { id = 0, questions = [] } = packet.decode(message);
  const [question] = questions;
  if (question === undefined) return;
  say(`dns ${question.name}`, peer.address);
  const type = question.type === "AAAA" ? "AAAA" : "A";
  const data = type === "A" ? INTERNET_A : INTERNET_AAAA;
  const answers: packet.Answer[] = [{ type, name: question.name, ttl: 1, data }];
  const flags = packet.RECURSION_DESIRED | packet.RECURSION_AVAILABLE;
  dns.send(packet.encode({ type: "response", id, flags, questions, answers }), peer.port, peer.address);
});
dns.bind(53, undefined, () => process.stdout.write("ready\n"));
