import assert from "node:assert/strict";
import { test } from "node:test";
import { ask, query, start, udp } from "./kit.ts";

const section =
  "proxy_ip: 192.0.2.1\nrefuse_denied: true\nrecords: [{name: fixed.test, type: A, value: 192.0.2.9}]";
const admits = (host: string, port: number): boolean => host === "api.test" && port === 443;

for (const late of [false, true]) {
  test(`I8: a refused name does not exist, and says why; policy ${late ? "takes its time" : "answers at once"}`, async () => {
    const { server, records } = await start(section, { admits, late });
    const kit = { server, records, warnings: [] };
    const answer = await ask(kit, { name: "EVIL.test", edns: 1232 });
    assert.equal(answer.rcode, "NXDOMAIN");
    // RFC 8914: code 15, "Blocked".
    assert.match(answer.raw.toString("latin1"), /\0\x0f\0\x12\0\x0fhost_not_allowed$/);
    assert.deepEqual(
      records.map(({ method, host, action, status, reason, rejectedBy }) => ({
        method,
        host,
        action,
        status,
        reason,
        rejectedBy,
      })),
      [
        {
          method: "DNS",
          host: "evil.test",
          action: "reject",
          status: 0,
          reason: "host_not_allowed",
          rejectedBy: "allowlist",
        },
      ],
    );
    assert.match(records[0]?.remoteAddress ?? "", /^127\.0\.0\.1:\d+$/);
    assert.equal(server.stats.refused, 1);
  });
}

test("I2: a name that policy admits is answered, and leaves no record: its connection will", async () => {
  const asked: string[] = [];
  const kit = await start(section, { admits, asked });
  assert.deepEqual((await ask(kit, { name: "api.test" })).answers, ["A 192.0.2.1"]);
  assert.deepEqual(asked, ["api.test:443"]);
  assert.deepEqual(kit.records, []);
});

test("a name is refused only where none of the ports that lead here is admitted", async () => {
  const asked: string[] = [];
  const kit = await start(section, { admits: (_, port) => port === 8443, asked });
  assert.equal((await ask(kit, { name: "other.test" })).rcode, "NOERROR");
  assert.deepEqual(asked, ["other.test:443", "other.test:80", "other.test:8443"]);
});

test("policy is not asked about records of ours", async () => {
  const kit = await start(section, { admits });
  assert.deepEqual((await ask(kit, { name: "fixed.test" })).answers, ["A 192.0.2.9"]);
});

test("without refuse_denied policy is not asked", async () => {
  const asked: string[] = [];
  const kit = await start("proxy_ip: 192.0.2.1", { admits, asked });
  assert.equal((await ask(kit, { name: "evil.test" })).rcode, "NOERROR");
  assert.deepEqual(asked, []);
});

test("I12 I13: fifty records a second; the log says how many more there were", async () => {
  const kit = await start(`${section}\nmax_queries_per_client: 2000`, { admits: () => false });
  await Promise.all(Array.from({ length: 60 }, (_, index) => ask(kit, { name: `n${index}.test` })));
  await new Promise((resolve) => {
    setTimeout(resolve, 1010);
  });
  await ask(kit, { name: "last.test" });
  // The sixty may have fallen into two seconds.
  assert.ok(kit.records.length === 61 || kit.warnings.includes("refused names without an audit record"));
});

test("I12: a client over its rate is not answered over UDP", async () => {
  const kit = await start("proxy_ip: 192.0.2.1\nmax_queries_per_client: 3");
  for (let left = 3; left > 0; left--) await ask(kit, { name: "a.test" });
  assert.equal(await udp(kit, query({ name: "a.test" }), 50), undefined);
  assert.equal(kit.server.stats.limited, 1);
});
