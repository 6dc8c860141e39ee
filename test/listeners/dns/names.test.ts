import assert from "node:assert/strict";
import { test } from "node:test";
import { dnsOf } from "../../helpers/config.ts";
import { ask, type Question, read, query, start, udp } from "./kit.ts";

const section = `proxy_ip: 192.0.2.1
proxy_ip6: "2001:db8::1"
records:
  - {name: db.corp.test, type: A, value: 192.0.2.7}
  - {name: db.corp.test, type: A, value: 192.0.2.8}
  - {name: six.corp.test, type: AAAA, value: "2001:db8::6"}
  - {name: alias.corp.test, type: CNAME, value: db.corp.test}
  - {name: away.corp.test, type: CNAME, value: api.example.com}
  - {name: loop.corp.test, type: CNAME, value: pool.corp.test}
  - {name: pool.corp.test, type: CNAME, value: loop.corp.test}`;
const kit = await start(section);

const table: readonly (readonly [what: string, question: Question, rcode: string, answers: string[]])[] = [
  ["any name has the proxy's IPv4 address", { name: "api.example.com" }, "NOERROR", ["A 192.0.2.1"]],
  ["a name nobody knows, too", { name: "nobody.knows.test" }, "NOERROR", ["A 192.0.2.1"]],
  ["and its IPv6 address", { name: "api.example.com", type: "AAAA" }, "NOERROR", ["AAAA 2001:db8::1"]],
  ["HTTPS of an intercepted name is empty", { name: "api.example.com", type: "HTTPS" as "A" }, "NOERROR", []],
  [
    "SVCB of an intercepted name is empty",
    { name: "api.example.com", type: "UNKNOWN_64" as "A" },
    "NOERROR",
    [],
  ],
  ["MX of an intercepted name is empty", { name: "api.example.com", type: "MX" }, "NOERROR", []],
  ["SRV of a name with underscores is empty", { name: "_http._tcp.example.com", type: "SRV" }, "NOERROR", []],
  ["the root is empty", { name: ".", type: "NS" }, "NOERROR", []],
  ["all A records of a name", { name: "db.corp.test" }, "NOERROR", ["A 192.0.2.7", "A 192.0.2.8"]],
  ["a static name has no other type", { name: "db.corp.test", type: "AAAA" }, "NOERROR", []],
  ["a static AAAA", { name: "six.corp.test", type: "AAAA" }, "NOERROR", ["AAAA 2001:db8::6"]],
  ["a CNAME as itself", { name: "alias.corp.test", type: "CNAME" }, "NOERROR", ["CNAME db.corp.test"]],
  [
    "a CNAME is followed to our records",
    { name: "alias.corp.test" },
    "NOERROR",
    ["CNAME db.corp.test", "A 192.0.2.7", "A 192.0.2.8"],
  ],
  [
    "a CNAME is followed to the proxy",
    { name: "away.corp.test" },
    "NOERROR",
    ["CNAME api.example.com", "A 192.0.2.1"],
  ],
  [
    "a CNAME for another type is there",
    { name: "alias.corp.test", type: "MX" },
    "NOERROR",
    ["CNAME db.corp.test"],
  ],
  [
    "I12: ANY is small",
    { name: "api.example.com", type: "ANY" as "A" },
    "NOERROR",
    ['HINFO {"cpu":"RFC8482","os":""}'],
  ],
  ["localhost is this machine", { name: "x.localhost" }, "NOERROR", ["A 127.0.0.1"]],
  [
    "attack 17: no resolver is offered",
    { name: "_dns.resolver.arpa", type: "UNKNOWN_64" as "A" },
    "NOERROR",
    [],
  ],
  ["attack 17: Firefox keeps to us", { name: "use-application-dns.net" }, "NXDOMAIN", []],
  ["a name that is an address does not exist", { name: "192.0.2.9" }, "NXDOMAIN", []],
  ["a label that begins with a hyphen does not exist", { name: "-a.example.com" }, "NXDOMAIN", []],
  ["another class is refused", { name: "version.bind", type: "TXT", class: "CH" }, "REFUSED", []],
  ["zone transfers are refused", { name: "example.com", type: "AXFR" }, "REFUSED", []],
];

for (const [what, question, rcode, answers] of table) {
  test(what, async () => {
    const answer = await ask(kit, question);
    assert.deepEqual({ rcode: answer.rcode, answers: answer.answers }, { rcode, answers });
    assert.equal(answer.message.flag_aa, rcode !== "REFUSED");
    assert.equal(answer.message.flag_ra, true);
  });
}

test("a chain of CNAMEs that goes round ends", async () => {
  const answer = await ask(kit, { name: "loop.corp.test" });
  assert.equal(answer.rcode, "NOERROR");
  assert.ok(answer.answers.length <= 9);
});

test("names in any case are the same name, and the question keeps its spelling (0x20)", async () => {
  for (const name of ["API.Example.COM", "dB.CoRp.TeSt"]) {
    const answer = await ask(kit, { name });
    assert.equal(answer.question?.name, name);
    assert.equal(answer.answers.length > 0, true);
  }
});

test("without an IPv6 address of the proxy AAAA is empty, not missing", async () => {
  const four = await start("proxy_ip: 192.0.2.1");
  const { rcode, answers } = await ask(four, { name: "api.example.com", type: "AAAA" });
  assert.deepEqual({ rcode, answers }, { rcode: "NOERROR", answers: [] });
});

test("with an IPv6 address alone A is empty", async () => {
  const six = await start('proxy_ip6: "2001:db8::1"');
  assert.deepEqual((await ask(six, { name: "api.example.com" })).answers, []);
  assert.deepEqual((await ask(six, { name: "api.example.com", type: "AAAA" })).answers, ["AAAA 2001:db8::1"]);
});

test("a label with a dot inside is not two labels", async () => {
  // "db.corp" in one label, then "test": no host, whatever it looks like when joined.
  const name = Buffer.from("\u0007db.corp\u0004test\0", "latin1");
  const head = query({ name: "." }).subarray(0, 12);
  const raw = await udp(kit, Buffer.concat([head, name, Buffer.of(0, 1, 0, 1)]));
  assert.equal(read(raw as Buffer).rcode, "NXDOMAIN");
});

test("a reload puts other answers in place, not another port", async () => {
  const changing = await start("proxy_ip: 192.0.2.1");
  changing.server.configure(dnsOf("proxy_ip: 192.0.2.2"));
  assert.deepEqual((await ask(changing, { name: "api.example.com" })).answers, ["A 192.0.2.2"]);
});
