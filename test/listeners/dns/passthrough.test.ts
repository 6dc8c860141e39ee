import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { test } from "node:test";
import * as packet from "dns-packet";
import {
  answerTo,
  ask,
  type FakeResolver,
  framed,
  type Kit,
  query,
  read,
  type Reply,
  start,
  startResolver,
  tcp,
} from "./kit.ts";

async function startBoth(reply: Reply, more = ""): Promise<{ kit: Kit; resolver: FakeResolver }> {
  const resolver = await startResolver(reply);
  const kit = await start(
    `proxy_ip: 192.0.2.1\npassthrough: ["*.real.test"]\nupstream_resolver: ${resolver.address}\n${more}`,
  );
  return { kit, resolver };
}

const a = (name: string, data: string): packet.Answer => ({ type: "A", name, data, ttl: 7 });

test("a name that is let through has its real addresses; other names never reach the resolver", async () => {
  const { kit, resolver } = await startBoth((query) => answerTo(query, [a("www.real.test", "203.0.113.5")]));
  const answer = await ask(kit, { name: "www.real.test" });
  assert.deepEqual(answer.answers, ["A 203.0.113.5"]);
  assert.deepEqual(
    answer.message.answers?.map((record) => Reflect.get(record, "ttl")),
    [7],
    "the answer is the resolver's",
  );
  assert.deepEqual((await ask(kit, { name: "api.test" })).answers, ["A 192.0.2.1"]);
  assert.equal(resolver.queries.length, 1);
});

test("every type and every response code of the resolver passes", async () => {
  const { kit } = await startBoth((query) => {
    const question = packet.decode(query).questions?.at(0);
    if (question?.type === "TXT") {
      return answerTo(query, [{ type: "TXT", name: question.name, data: ["text"], ttl: 1 }]);
    }
    return answerTo(query, [], { flags: packet.RECURSION_DESIRED | 3 });
  });
  assert.equal((await ask(kit, { name: "a.real.test", type: "TXT" })).answers.length, 1);
  assert.equal((await ask(kit, { name: "a.real.test" })).rcode, "NXDOMAIN");
});

test("an answer that was cut is asked for again over TCP", async () => {
  const many = Array.from({ length: 40 }, (_, index) => a("big.real.test", `203.0.113.${index}`));
  const { kit, resolver } = await startBoth((query, transport) =>
    transport === "udp"
      ? answerTo(query, [], { flags: packet.TRUNCATED_RESPONSE | packet.RECURSION_DESIRED })
      : answerTo(query, many),
  );
  const whole = await ask(kit, { name: "big.real.test", edns: 1232 });
  assert.equal(whole.answers.length, 40);
  assert.deepEqual(
    resolver.queries.map(({ transport }) => transport),
    ["udp", "tcp"],
  );
  const cut = await ask(kit, { name: "big.real.test" });
  assert.deepEqual([cut.truncated, cut.answers], [true, []], "it does not fit without EDNS");
  const client = await tcp(kit);
  assert.equal((await client.ask({ name: "big.real.test" })).answers.length, 40);
  client.socket.destroy();
});

test("over TCP a client that has closed its side still gets the answer it waits for", async () => {
  const { kit } = await startBoth(async (query) => {
    await new Promise((resolve) => {
      setTimeout(resolve, 50);
    });
    return answerTo(query, [a("www.real.test", "203.0.113.5")]);
  });
  const client = await tcp(kit);
  client.socket.end(framed(query({ name: "www.real.test" })));
  assert.deepEqual(read((await client.next()) as Buffer).answers, ["A 203.0.113.5"]);
  assert.equal(await client.next(), undefined, "and then the connection ends");
});

test("I12: a client that has gone, or reset, while its question is under way leaves nothing behind", async () => {
  const { kit } = await startBoth((query) => answerTo(query, []));
  for (const how of ["destroy", "resetAndDestroy"] as const) {
    const client = await tcp(kit);
    client.socket.write(framed(query({ name: "www.real.test" })));
    client.socket[how]();
  }
  assert.deepEqual((await ask(kit, { name: "api.test" })).answers, ["A 192.0.2.1"]);
});

test("HTTPS records are those of names that are let through only", async () => {
  const https = (owner: string): packet.Answer => ({
    type: "UNKNOWN_65" as "NULL",
    name: owner,
    data: Buffer.of(0, 1, 0),
    ttl: 1,
  });
  const { kit } = await startBoth((query) => {
    const name = packet.decode(query).questions?.[0]?.name ?? "";
    return answerTo(query, [https(name.startsWith("bad") ? "api.test" : name)]);
  });
  const type = "UNKNOWN_65" as "A";
  assert.equal((await ask(kit, { name: "good.real.test", type })).answers.length, 1);
  assert.deepEqual((await ask(kit, { name: "bad.real.test", type })).answers, []);
});

test("what stands in the additional section stays here", async () => {
  const extra: packet.Answer = { type: "A", name: "api.test", data: "203.0.113.66", ttl: 1 };
  const { kit } = await startBoth((query) =>
    answerTo(query, [a("www.real.test", "203.0.113.5")], { additionals: [extra] }),
  );
  const answer = await ask(kit, { name: "www.real.test" });
  assert.deepEqual(answer.answers, ["A 203.0.113.5"]);
  assert.deepEqual(answer.message.additionals, []);
});

test("a forged answer is not taken: another id, another question, no response", async () => {
  const { kit } = await startBoth((query) => {
    const forged = answerTo(query, [a("www.real.test", "198.51.100.66")]);
    const otherId = Buffer.from(forged);
    otherId.writeUInt16BE(otherId.readUInt16BE(0) ^ 1, 0);
    const otherName = Buffer.from(forged);
    otherName[13] = "x".charCodeAt(0);
    const otherType = Buffer.from(forged);
    // 65, which is an "A" where letters are looked for.
    otherType[12 + 15 + 1] = 0x61;
    const noResponse = Buffer.from(forged);
    noResponse[2] = 0x01;
    return [otherId, otherName, otherType, noResponse, answerTo(query, [a("www.real.test", "203.0.113.5")])];
  });
  assert.deepEqual((await ask(kit, { name: "www.real.test" })).answers, ["A 203.0.113.5"]);
});

test("an answer from another port is not taken", async () => {
  const stranger = createSocket("udp4");
  const both = await startBoth(async (query) => {
    const port = both.resolver.queries.at(-1)?.port ?? 0;
    const forged = answerTo(query, [a("www.real.test", "198.51.100.66")]);
    await new Promise((resolve) => {
      stranger.send(forged, port, "127.0.0.1", resolve);
    });
    return answerTo(query, [a("www.real.test", "203.0.113.5")]);
  });
  assert.deepEqual((await ask(both.kit, { name: "www.real.test" })).answers, ["A 203.0.113.5"]);
  stranger.close();
});

test("a resolver that does not answer is a server failure, in good time", async () => {
  const { kit } = await startBoth(() => undefined);
  const answer = await ask(kit, { name: "www.real.test" });
  assert.equal(answer.rcode, "SERVFAIL");
  assert.equal(kit.server.stats.failed, 1);
});

test("ids and ports differ from question to question", async () => {
  const { kit, resolver } = await startBoth((query) => answerTo(query, []));
  for (let index = 0; index < 12; index++) await ask(kit, { name: `n${index}.real.test` });
  const ids = new Set(resolver.queries.map(({ message }) => message.readUInt16BE(0)));
  const ports = new Set(resolver.queries.map(({ port }) => port));
  assert.ok(ids.size > 8 && ports.size > 8, `${ids.size} ids, ${ports.size} ports`);
  assert.ok(!ids.has(0x1234), "not the client's");
});

test("a server that does not keep the spelling is asked again over TCP", async () => {
  const { kit, resolver } = await startBoth((query) => {
    const answer = answerTo(query, [a("www.real.test", "203.0.113.5")]);
    return Buffer.from(
      answer.toString("latin1").replaceAll("WwW.", "www.").replaceAll("WwW", "www"),
      "latin1",
    );
  });
  const answer = await ask(kit, { name: "WwW.real.test" });
  assert.deepEqual(answer.answers, ["A 203.0.113.5"]);
  assert.equal(answer.question?.name, "WwW.real.test");
  assert.equal(resolver.queries.at(-1)?.transport, "tcp");
});

test("a CNAME of ours that leads to a real name brings its addresses", async () => {
  const { kit } = await startBoth(
    (query) => answerTo(query, [a("www.real.test", "203.0.113.5")]),
    "records: [{name: alias.test, type: CNAME, value: www.real.test}]",
  );
  assert.deepEqual((await ask(kit, { name: "alias.test" })).answers, [
    "CNAME www.real.test",
    "A 203.0.113.5",
  ]);
});

test("an answer that cannot be read is a server failure", async () => {
  const { kit } = await startBoth((query) =>
    answerTo(query, [a("www.real.test", "203.0.113.5")]).subarray(0, -2),
  );
  assert.equal((await ask(kit, { name: "www.real.test" })).rcode, "SERVFAIL");
  assert.deepEqual(kit.warnings, ["dns passthrough lookup failed"]);
});

test("no forwarding loop: the server never asks itself", async () => {
  const resolver = await startResolver(() => undefined);
  const kit = await start(
    `proxy_ip: 192.0.2.1\npassthrough: ["*"]\nupstream_resolver: ${resolver.address}`,
    undefined,
    () => true,
  );
  assert.equal((await ask(kit, { name: "a.test" })).rcode, "SERVFAIL");
  assert.deepEqual(resolver.queries, []);
});

test("one question under way is asked once, however many ask it", async () => {
  const { kit, resolver } = await startBoth((query) => answerTo(query, [a("www.real.test", "203.0.113.5")]));
  await Promise.all(Array.from({ length: 20 }, () => ask(kit, { name: "www.real.test" })));
  assert.ok(resolver.queries.length < 20);
});
