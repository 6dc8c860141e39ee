// Run inside namespaces by nftables.test.ts: the internet of the example. Says "ready", then a line for each thing asked of it.
import { createSocket } from "node:dgram";
import { readFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { createServer } from "node:https";
import { decode, encode } from "dns-packet";

const [certPath = "", keyPath = ""] = process.argv.slice(2);
const say = (text: string) => void process.stdout.write(`${text}\n`);

// Without a certificate it is only "elsewhere".
const api =
  certPath === "" ? undefined : createServer({ cert: readFileSync(certPath), key: readFileSync(keyPath) });
api?.on("request", (request, response) => {
  say(`https ${request.headers.host} ${request.headers.authorization ?? "without a credential"}`);
  response.end("hello from the upstream\n");
});
// On every address, the loopback interface's too: nobody who is confined may get here.
const elsewhere = createHttpServer((_, response) => {
  say("elsewhere was reached");
  response.end();
});
const dns = createSocket("udp4", (message, from) => {
  const query = decode(message);
  const [question] = query.questions ?? [];
  say(`dns ${question?.type} ${question?.name}`);
  const answers =
    question?.type === "A" ? [{ type: "A" as const, name: question.name, ttl: 1, data: "203.0.113.10" }] : [];
  const answer = { type: "response" as const, id: query.id ?? 0, questions: query.questions ?? [], answers };
  dns.send(encode(answer), from.port, from.address);
});

await new Promise<void>((resolve) => elsewhere.listen(8080, "0.0.0.0", resolve));
if (api !== undefined) {
  await new Promise<void>((resolve) => api.listen(443, "203.0.113.10", resolve));
  await new Promise<void>((resolve) => dns.bind(53, "203.0.113.53", resolve));
}
say("ready");
