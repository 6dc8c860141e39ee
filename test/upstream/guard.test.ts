import assert from "node:assert/strict";
import { networkInterfaces } from "node:os";
import { test } from "node:test";
import { standardDenyCidrs } from "../../src/config/defaults.ts";
import { createGuard } from "../../src/upstream/guard.ts";
import { parseNetwork } from "../../src/upstream/network.ts";

const standard = createGuard({ denyCidrs: standardDenyCidrs, allowMetadata: false, ownAddresses: () => [] });
const open = createGuard({ denyCidrs: [], allowMetadata: true, ownAddresses: () => [] });

const deniedByDefault = [
  // this machine, in every spelling that a resolver or a literal can bring (attacks 5 and 12)
  "0.0.0.0",
  "0.1.2.3",
  "127.0.0.1",
  "127.255.255.254",
  "::",
  "::1",
  "0:0:0:0:0:0:0:1",
  "::ffff:127.0.0.1",
  "::ffff:0.0.0.0",
  "::ffff:7f00:1",
  "::127.0.0.1",
  "::ffff:0:127.0.0.1",
  "::1%lo",
  "::1%25lo",
  // link-local
  "169.254.0.1",
  "169.254.169.252",
  "fe80::1",
  "fe80::1%eth0",
  "febf::1",
  // NAT64, both prefixes and every layout of the second
  "64:ff9b::127.0.0.1",
  "64:ff9b::7f00:1",
  "64:ff9b::a9fe:a9fe",
  "64:ff9b:1::127.0.0.1",
  "64:ff9b:1:7f00:0:100::",
  "64:ff9b:1:7f00:0:100::9",
  "64:ff9b:1:7f:0:1::",
  "64:ff9b:1:0:7f:0:100::",
  // 6to4
  "2002:7f00:1::",
  "2002:a9fe:a9fe::1",
  // Teredo: client 127.0.0.1 inverted, server 127.0.0.1
  "2001:0:4136:e378:8000:63bf:80ff:fffe",
  "2001:0:7f00:1::",
  // metadata
  "169.254.169.254",
  "fd00:ec2::254",
  "169.254.170.2",
  "169.254.170.23",
  "fd20:ce::254",
  "100.100.100.200",
  "::ffff:100.100.100.200",
  "168.63.129.16",
  "64:ff9b::168.63.129.16",
];

for (const address of deniedByDefault) {
  test(`I11 attacks 5 and 12: denies ${address} by default`, () => {
    assert.equal(standard.check(address, 443)?.reason, "upstream_address_denied");
  });
}

const allowedByDefault = [
  "1.1.1.1",
  "10.0.0.1",
  "192.168.1.1",
  "126.255.255.255",
  "128.0.0.0",
  "169.253.255.255",
  "169.255.0.0",
  "100.100.100.201",
  "168.63.129.17",
  "2606:4700::1111",
  "fe7f::1",
  "fec0::1",
  "fd00:ec2::253",
  "::ffff:8.8.8.8",
  "64:ff9b::8.8.8.8",
  "64:ff9b:1::8.8.8.8",
  "64:ff9b:1:808:8:800::",
  "2002:808:808::1",
  "2001:0:808:808:8000:63bf:3fff:fdd2",
  "2001:db8::127.0.0.1",
];

for (const address of allowedByDefault) {
  test(`I11: allows ${address} by default`, () => {
    assert.equal(standard.check(address, 443), undefined);
  });
}

test("I11: denies what is not an address at all", () => {
  for (const text of ["", "localhost", "127.1", "0x7f.1", "2130706433", "[::1]", "1.2.3.4.5"]) {
    assert.equal(open.check(text, 443)?.reason, "upstream_address_denied", text);
  }
});

test("I11: an empty list allows everything but metadata", () => {
  const guard = createGuard({ denyCidrs: [], allowMetadata: false, ownAddresses: () => [] });
  assert.equal(guard.check("127.0.0.1", 443), undefined);
  assert.equal(guard.check("169.254.1.1", 443), undefined);
  assert.equal(guard.check("169.254.169.254", 443)?.reason, "upstream_address_denied");
  assert.equal(guard.check("::ffff:169.254.169.254", 443)?.reason, "upstream_address_denied");
  assert.equal(open.check("169.254.169.254", 443), undefined);
});

test("I11: allow_metadata outweighs a wider network but not an entry for that very address", () => {
  const wide = createGuard({ denyCidrs: standardDenyCidrs, allowMetadata: true, ownAddresses: () => [] });
  assert.equal(wide.check("169.254.169.254", 80), undefined);
  assert.equal(wide.check("169.254.169.253", 80)?.reason, "upstream_address_denied");
  const exact = createGuard({
    denyCidrs: ["169.254.169.254/32"],
    allowMetadata: true,
    ownAddresses: () => [],
  });
  assert.equal(exact.check("169.254.169.254", 80)?.reason, "upstream_address_denied");
});

test("I11: a list of one's own replaces the default, at its exact boundaries", () => {
  const guard = createGuard({
    denyCidrs: ["10.16.0.0/12", "2001:db8::/33", "::ffff:192.0.2.0/120"],
    allowMetadata: false,
    ownAddresses: () => [],
  });
  const denied = ["10.16.0.0", "10.31.255.255", "2001:db8:7fff::1", "192.0.2.255", "64:ff9b::10.20.0.1"];
  const allowed = ["10.15.255.255", "10.32.0.0", "2001:db8:8000::", "192.0.3.0", "127.0.0.1", "::1"];
  for (const address of denied) assert.ok(guard.check(address, 1), address);
  for (const address of allowed) assert.equal(guard.check(address, 1), undefined, address);
});

test("I11: says which network denied an address, for the operator", () => {
  assert.equal(
    standard.check("127.0.0.1", 443)?.detail,
    "denied by upstream_deny_cidrs: 127.0.0.1 is in 127.0.0.0/8",
  );
});

const badNetworks = [
  "",
  "10.0.0.0",
  "10.0.0.0/33",
  "10.0.0.0/-1",
  "10.0.0.0/x",
  "10.0.0/8",
  "::/129",
  "::ffff:10.0.0.0/95",
  "a/8",
];
for (const text of badNetworks) {
  test(`refuses ${JSON.stringify(text)} as a network`, () => {
    assert.throws(() => parseNetwork(text), TypeError);
  });
}

const loops: [listener: string, address: string, port: number, loops: boolean][] = [
  ["127.0.0.1", "127.0.0.1", 8080, true],
  ["127.0.0.1", "::ffff:127.0.0.1", 8080, true],
  ["127.0.0.1", "0.0.0.0", 8080, true],
  ["127.0.0.1", "127.0.0.1", 8081, false],
  ["127.0.0.1", "127.0.0.2", 8080, false],
  ["0.0.0.0", "127.3.2.1", 8080, true],
  ["::", "::1", 8080, true],
  ["::", "127.0.0.1", 8080, true],
  ["::", "::", 8080, true],
  ["0.0.0.0", "192.0.2.77", 8080, false],
  ["192.0.2.77", "192.0.2.77", 8080, true],
];

for (const [listener, address, port, isLoop] of loops) {
  test(`I11: a listener on ${listener}:8080 is ${isLoop ? "" : "not "}reached by ${address}:${port}`, () => {
    const guard = createGuard({
      denyCidrs: [],
      allowMetadata: false,
      ownAddresses: () => [{ address: listener, port: 8080 }],
    });
    assert.equal(guard.check(address, port)?.reason, isLoop ? "proxy_loop" : undefined);
    assert.equal(guard.checkLoop(address, port)?.reason, isLoop ? "proxy_loop" : undefined);
  });
}

test("I11: a listener on all addresses is reached by every address of an interface", () => {
  const guard = createGuard({
    denyCidrs: [],
    allowMetadata: false,
    ownAddresses: () => [{ address: "::", port: 80 }],
  });
  const own = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  assert.ok(own.length > 0);
  for (const { address } of own) assert.equal(guard.check(address, 80)?.reason, "proxy_loop", address);
});
