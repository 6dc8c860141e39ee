import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { test, type TestContext } from "node:test";
import * as dns from "dns-packet";
import { UpstreamError } from "../../src/upstream/index.ts";
import { createResolver } from "../../src/upstream/resolver.ts";
import { pause } from "./kit.ts";

interface Zone {
  /** Addresses by name and type; a name that is absent does not exist, a type that is absent has no records. */
  readonly [name: string]:
    | { readonly A?: readonly string[]; readonly AAAA?: readonly string[] }
    | "silent"
    | "broken"
    | "truncated";
}

interface DnsServer {
  readonly address: string;
  readonly questions: string[];
}

/** A DNS server on loopback, UDP and TCP. `delays` holds answers of one type back, in milliseconds. */
async function serveDns(
  t: TestContext,
  zone: Zone,
  delays: Readonly<Record<string, number>> = {},
): Promise<DnsServer> {
  const questions: string[] = [];
  const answer = (packet: dns.Packet, tcp: boolean): dns.Packet | undefined => {
    const question = packet.questions?.[0];
    if (!question) return undefined;
    questions.push(`${question.type} ${question.name}${tcp ? " tcp" : ""}`);
    const entry = zone[question.name.toLowerCase()];
    if (entry === "silent") return undefined;
    const base: dns.Packet = {
      type: "response",
      id: packet.id ?? 0,
      questions: [question],
      flags: dns.RECURSION_DESIRED,
    };
    if (entry === "broken") return { ...base, flags: 2 };
    if (entry === undefined) return { ...base, flags: 3 };
    if (entry === "truncated") {
      if (!tcp) return { ...base, flags: dns.TRUNCATED_RESPONSE };
      return {
        ...base,
        answers: question.type === "A" ? [{ type: "A", name: question.name, data: "192.0.2.99" }] : [],
      };
    }
    const data = question.type === "A" ? entry.A : question.type === "AAAA" ? entry.AAAA : undefined;
    const type = question.type === "A" ? "A" : "AAAA";
    return {
      ...base,
      answers: (data ?? []).map((address) => ({ type, name: question.name, ttl: 60, data: address })),
    };
  };
  const held = new Set<NodeJS.Timeout>();
  const udp = createSocket("udp4");
  udp.on("message", (message, peer) => {
    const packet = dns.decode(message);
    const reply = answer(packet, false);
    const send = (): void => {
      if (reply) udp.send(dns.encode(reply), peer.port, peer.address);
    };
    const delay = delays[packet.questions?.[0]?.type ?? ""] ?? 0;
    if (delay > 0) held.add(setTimeout(send, delay));
    else send();
  });
  const tcp = createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", (bytes: Buffer) => {
      const reply = answer(dns.decode(bytes.subarray(2)), true);
      if (reply) socket.write(dns.streamEncode(reply));
    });
  });
  t.after(() => {
    for (const timer of held) clearTimeout(timer);
    udp.close();
    tcp.close();
  });
  // A port that is free for TCP nearly always is for UDP too, where hardly anything listens.
  tcp.listen(0, "127.0.0.1");
  await once(tcp, "listening");
  const { port } = tcp.address() as AddressInfo;
  udp.bind(port, "127.0.0.1");
  await once(udp, "listening");
  return { address: `127.0.0.1:${port}`, questions };
}

function resolverFor(
  t: TestContext,
  server: string | undefined,
  options: { timeoutMs?: number; keepMs?: number } = {},
) {
  const resolver = createResolver({ server, timeoutMs: 2000, keepMs: 2000, ...options });
  t.after(() => resolver.close());
  return resolver;
}

const zone: Zone = {
  "both.example": { A: ["192.0.2.1", "192.0.2.2"], AAAA: ["2001:db8::1"] },
  "four.example": { A: ["192.0.2.4"] },
  "six.example": { AAAA: ["2001:db8::6"] },
  "none.example": {},
  "silent.example": "silent",
  "broken.example": "broken",
  "large.example": "truncated",
};

const answers: [name: string, addresses: string[]][] = [
  ["both.example", ["2001:db8::1", "192.0.2.1", "192.0.2.2"]],
  ["four.example", ["192.0.2.4"]],
  ["six.example", ["2001:db8::6"]],
];

for (const [name, addresses] of answers) {
  test(`dns.upstream_resolver: ${name} gives ${addresses.join(" ")}`, async (t) => {
    const server = await serveDns(t, zone);
    assert.deepEqual(
      [...(await resolverFor(t, server.address).resolve(name))].toSorted(),
      addresses.toSorted(),
    );
  });
}

test("dns.upstream_resolver: asks again over TCP when the answer was truncated", async (t) => {
  const server = await serveDns(t, zone);
  assert.deepEqual(await resolverFor(t, server.address).resolve("large.example"), ["192.0.2.99"]);
  assert.ok(server.questions.includes("A large.example tcp"));
});

test("RFC 8305: a family that does not answer holds the other one up only for a moment", async (t) => {
  const server = await serveDns(t, zone, { AAAA: 900 });
  const began = performance.now();
  assert.deepEqual(await resolverFor(t, server.address).resolve("both.example"), ["192.0.2.1", "192.0.2.2"]);
  assert.ok(performance.now() - began < 600);
});

const failures: [name: string, message: RegExp][] = [
  ["missing.example", /^missing\.example could not be resolved: no such name\.$/],
  ["none.example", /no such name/],
  ["broken.example", /the resolver failed/],
  ["silent.example", /did not answer/],
];

for (const [name, message] of failures) {
  test(`a name that cannot be resolved says why: ${name}`, async (t) => {
    const server = await serveDns(t, zone);
    const resolver = resolverFor(t, server.address, { timeoutMs: 150 });
    await assert.rejects(
      async () => resolver.resolve(name),
      (error: unknown) => {
        assert.ok(error instanceof UpstreamError);
        assert.deepEqual(
          [error.reason, error.leg, error.status],
          ["upstream_resolve_failed", "resolve", 502],
        );
        assert.match(error.message, message);
        assert.doesNotMatch(
          error.message,
          /127\.0\.0\.1/,
          "the resolver's address is none of the workload's business",
        );
        return true;
      },
    );
  });
}

test("looks a name up once for all who ask at the same time, and keeps the answer briefly", async (t) => {
  const server = await serveDns(t, zone);
  const resolver = resolverFor(t, server.address, { keepMs: 60 });
  const lookups = await Promise.all([1, 2, 3].map(async () => resolver.resolve("four.example")));
  assert.equal(new Set(lookups).size, 1);
  assert.deepEqual(await resolver.resolve("four.example"), ["192.0.2.4"]);
  assert.equal(server.questions.filter((question) => question.startsWith("A ")).length, 1);
  await pause(90);
  await resolver.resolve("four.example");
  assert.equal(server.questions.filter((question) => question.startsWith("A ")).length, 2);
});

test("a failure is not kept", async (t) => {
  const changing: Record<string, Zone[string]> = {};
  const server = await serveDns(t, changing);
  const resolver = resolverFor(t, server.address);
  await assert.rejects(async () => resolver.resolve("late.example"));
  changing["late.example"] = { A: ["192.0.2.7"] };
  assert.deepEqual(await resolver.resolve("late.example"), ["192.0.2.7"]);
});

test("I12: so many names at a time, and no more", async (t) => {
  const server = await serveDns(t, new Proxy({}, { get: () => "silent" }));
  const resolver = resolverFor(t, server.address, { timeoutMs: 100 });
  const results: Promise<unknown>[] = [];
  for (let index = 0; index < 256; index++) {
    results.push(Promise.resolve(resolver.resolve(`n${index}.example`)).catch(() => "failed"));
  }
  assert.throws(() => resolver.resolve("one-more.example"), /too many other names/);
  assert.equal(
    resolver.resolve("n0.example") instanceof Promise,
    true,
    "one already asked for may be waited for",
  );
  await Promise.allSettled([...results, resolver.resolve("n0.example")]);
  await assert.rejects(async () => resolver.resolve("one-more.example"), /did not answer/);
});

test("localhost is this machine without asking anyone (RFC 6761)", async (t) => {
  const server = await serveDns(t, {
    localhost: { A: ["192.0.2.66"] },
    "x.localhost": { A: ["192.0.2.66"] },
  });
  for (const resolver of [resolverFor(t, server.address), resolverFor(t, undefined)]) {
    for (const name of ["localhost", "x.localhost"]) {
      assert.deepEqual(await resolver.resolve(name), ["127.0.0.1", "::1"]);
    }
  }
  assert.deepEqual(server.questions, []);
});

test("the system's resolver says that a name does not exist", async (t) => {
  await assert.rejects(async () => resolverFor(t, undefined).resolve("does-not-exist.invalid"), {
    reason: "upstream_resolve_failed",
  });
});

const badServers = ["dns.example.com:53", "10.0.0.2:x", "10.0.0.2:", "10.0.0.2:99999", "", "::1:53x", "[::1"];
for (const server of badServers) {
  test(`refuses ${JSON.stringify(server)} as the address of a DNS server`, () => {
    assert.throws(() => createResolver({ server, timeoutMs: 1, keepMs: 1 }), /write IP:PORT/);
  });
}

for (const server of ["10.0.0.2", "10.0.0.2:53", "[2001:db8::1]:53", "2001:db8::1"]) {
  test(`takes ${server} as the address of a DNS server`, () => {
    createResolver({ server, timeoutMs: 1, keepMs: 1 }).close();
  });
}
