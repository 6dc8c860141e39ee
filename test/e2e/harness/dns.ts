// A DNS responder whose answers the test decides, for `dns.upstream_resolver`.
import { createSocket } from "node:dgram";
import { once } from "node:events";
import * as packet from "dns-packet";

/** Addresses of a name (each query for an A record may get others), no such name, or no answer at all. */
export type NameAnswer = readonly string[] | "nxdomain" | "silent" | (() => readonly string[]);

export interface DnsResponder {
  /** `127.0.0.1:port` */
  readonly address: string;
  /** Names asked for, one entry for each query. */
  readonly queries: string[];
  set(name: string, answer: NameAnswer): void;
  close(): Promise<void>;
}

/** @param otherwise for names that were not set */
export async function startDns(otherwise: (name: string) => NameAnswer): Promise<DnsResponder> {
  const names = new Map<string, NameAnswer>();
  const queries: string[] = [];
  const socket = createSocket("udp4");
  socket.on("message", (message, peer) => {
    const query = packet.decode(message);
    const question = query.questions?.[0];
    if (question === undefined) return;
    const name = question.name.toLowerCase();
    queries.push(name);
    const answer = names.get(name) ?? otherwise(name);
    if (answer === "silent") return;
    const type = question.type === "AAAA" ? "AAAA" : "A";
    const wanted = addressesOf(answer, type).filter((one) => one.includes(":") === (type === "AAAA"));
    const response = packet.encode({
      type: "response",
      id: query.id ?? 0,
      flags: packet.RECURSION_DESIRED | packet.RECURSION_AVAILABLE | (answer === "nxdomain" ? 3 : 0),
      questions: [question],
      answers: wanted.map((data) => ({ type, name: question.name, ttl: 1, data })),
    });
    socket.send(response, peer.port, peer.address);
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return {
    address: `127.0.0.1:${socket.address().port}`,
    queries,
    set: (name, answer) => void names.set(name, answer),
    async close() {
      socket.close();
      await once(socket, "close");
    },
  };
}

function addressesOf(answer: Exclude<NameAnswer, "silent">, type: "A" | "AAAA"): readonly string[] {
  if (answer === "nxdomain") return [];
  if (typeof answer === "function") return type === "A" ? answer() : [];
  return answer;
}
