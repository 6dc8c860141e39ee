import assert from "node:assert/strict";
import * as packet from "dns-packet";
import { compileZone } from "../../../src/listeners/dns/zone.ts";
import { createResponder } from "../../../src/listeners/dns/responder.ts";
import { readAnswer } from "../../../src/listeners/dns/resolver-answer.ts";
import { MessageError, readQuery } from "../../../src/listeners/dns/message.ts";
import { Pipeline } from "../../../src/pipeline/pipeline.ts";
import { dnsOf } from "../../helpers/config.ts";
import type { Random } from "../random.ts";

export const name = "dns";

const zone = compileZone(
  dnsOf(`proxy_ip: 192.0.2.1
proxy_ip6: "2001:db8::1"
refuse_denied: true
passthrough: ["*.real.test"]
records:
  - {name: db.test, type: A, value: 192.0.2.7}
  - {name: alias.test, type: CNAME, value: db.test}
  - {name: real.alias.test, type: CNAME, value: www.real.test}`),
);
const pipeline = new Pipeline([
  {
    name: "allowlist",
    onTunnel: ({ authority }) =>
      authority.host.name.startsWith("evil")
        ? { kind: "reject", status: 403, reason: "host_not_allowed" }
        : undefined,
  },
]);

/**
 * Whatever arrives, nothing is thrown; what is answered is a well-formed answer to that question, by another's
 * decoder, and no larger than it may be. An answer of a resolver is relayed well-formed or not at all.
 */
export async function run(random: Random): Promise<void> {
  const query = random.keep(mutated(random, anyQuery(random)));
  let upstream: Buffer | undefined;
  const responder = createResponder({
    zone: () => zone,
    pipeline: () => pipeline,
    ports: [443, 80],
    forwarder: {
      async ask({ id, question }) {
        upstream = mutated(random, anyAnswer(random, id, question));
        const answer = readAnswer(upstream, id, question);
        if (answer === undefined || answer === "respelled" || answer.truncated)
          throw new MessageError("no answer");
        return answer;
      },
      close() {},
    },
    rate: { take: () => true },
    audit: { write() {}, writeFinding() {}, healthy: true, reopen() {}, close: async () => {} },
    nextId: () => "id",
    warn() {},
    debug() {},
  });
  const transport = random.pick(["udp", "tcp"] as const);
  const answer = await responder.respond(query, { ip: "192.0.2.9", port: 5353, transport });
  const received = readQuery(query);
  if (received.kind === "ignored") {
    assert.equal(answer, undefined);
    return;
  }
  assert.ok(answer !== undefined);
  assert.ok(answer.length <= (transport === "udp" ? 1232 : 0xffff), "larger than it may be");
  assert.equal(answer.readUInt16BE(0), query.readUInt16BE(0));
  assert.equal(answer.readUInt16BE(2) & 0x8000, 0x8000);
  // The data of a resolver's records is its own affair, and this decoder looks into that.
  if (upstream === undefined) assert.equal(packet.decode(answer).questions?.length, answer.readUInt16BE(4));
  if (received.kind === "mistake") {
    assert.ok(answer.length <= query.length + 11, "larger than the question");
    return;
  }
  const { question } = received.query;
  assert.deepEqual(answer.subarray(12, 12 + question.length), question);
}

const names = [
  "api.test",
  "evil.test",
  "db.test",
  "alias.test",
  "real.alias.test",
  "www.real.test",
  "WwW.ReAl.TeSt",
  "localhost",
  "_dns.resolver.arpa",
  ".",
  "a.b.c.d.e.f.g",
  `${"a".repeat(63)}.${"b".repeat(63)}.${"c".repeat(63)}.${"d".repeat(61)}`,
];

function anyQuery(random: Random): Buffer {
  const type = random.pick(["A", "AAAA", "CNAME", "TXT", "SRV", "AXFR", "OPT", "UNKNOWN_65", "UNKNOWN_255"]);
  return packet.encode({
    type: "query",
    id: random.below(0x10000),
    flags: random.once(4) ? random.below(0x10000) & 0x7fff : packet.RECURSION_DESIRED,
    questions: Array.from({ length: random.once(12) ? random.below(3) : 1 }, () => ({
      type: type as "A",
      class: random.once(10) ? "CH" : "IN",
      name: random.pick(names),
    })),
    additionals: random.once(2) ? [opt(random)] : [],
  });
}

function opt(random: Random): packet.Answer {
  return {
    type: "OPT",
    name: ".",
    udpPayloadSize: random.pick([0, 512, 700, 1232, 4096, 65_535]),
    extendedRcode: 0,
    ednsVersion: random.once(8) ? 1 : 0,
    flags: 0,
    flag_do: random.once(2),
    options: [],
  };
}

function anyAnswer(random: Random, id: number, question: Buffer): Buffer {
  const records = random.below(random.once(4) ? 60 : 4);
  const head = Buffer.alloc(12);
  head.writeUInt16BE(id, 0);
  head.writeUInt16BE(0x8180 | random.pick([0, 2, 3]), 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(records, 6);
  const body = Array.from({ length: records }, () =>
    Buffer.concat([
      random.pick([Buffer.of(0xc0, 12), Buffer.of(0), Buffer.of(1, 0x61, 0xc0, 12)]),
      Buffer.of(0, random.pick([1, 5, 16, 28, 65]), 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 9),
    ]),
  );
  return Buffer.concat([head, question, ...body]);
}

function mutated(random: Random, message: Buffer): Buffer {
  const bytes = Buffer.from(message);
  for (let left = random.pick([0, 0, 0, 1, 1, 2, 5]); left > 0 && bytes.length > 0; left--) {
    const at = random.once(2) ? random.below(Math.min(bytes.length, 24)) : random.below(bytes.length);
    bytes[at] = random.once(2) ? random.below(256) : (bytes[at] ?? 0) + random.pick([1, 255]);
  }
  if (random.once(10)) return bytes.subarray(0, random.below(bytes.length + 1));
  return random.once(12) ? Buffer.concat([bytes, random.bytes(random.between(1, 20))]) : bytes;
}
