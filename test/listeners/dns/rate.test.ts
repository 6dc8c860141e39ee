import assert from "node:assert/strict";
import { test } from "node:test";
import { createRateLimit } from "../../../src/listeners/dns/rate.ts";

/** How many of so many queries pass. */
function passed(limit: { take(address: string): boolean }, addresses: readonly string[]): number {
  return addresses.filter((address) => limit.take(address)).length;
}

const times = (count: number, address: string): string[] => Array.from({ length: count }, () => address);

test("I12: a client has a second's worth at once, and then its rate", () => {
  let now = 0;
  const limit = createRateLimit({ inAll: 1000, perClient: 10, now: () => now });
  assert.equal(passed(limit, times(30, "192.0.2.1")), 10);
  assert.equal(passed(limit, times(5, "192.0.2.2")), 5);
  now += 500;
  assert.equal(passed(limit, times(30, "192.0.2.1")), 5);
  now += 3_600_000;
  assert.equal(passed(limit, times(30, "192.0.2.1")), 10);
});

test("I12: all clients together have a rate", () => {
  const limit = createRateLimit({ inAll: 20, perClient: 10, now: () => 0 });
  const many = Array.from({ length: 100 }, (_, index) => `10.0.0.${index}`);
  assert.equal(passed(limit, many), 20);
});

test("what one client has too much is not taken from the others", () => {
  const limit = createRateLimit({ inAll: 20, perClient: 10, now: () => 0 });
  assert.equal(passed(limit, times(1000, "192.0.2.1")), 10);
  assert.equal(passed(limit, times(10, "192.0.2.2")), 10);
});

test("the addresses of one IPv6 network are one client", () => {
  const limit = createRateLimit({ inAll: 1000, perClient: 10, now: () => 0 });
  const many = Array.from({ length: 100 }, (_, index) => `2001:db8::${index.toString(16)}`);
  assert.equal(passed(limit, many), 10);
  assert.equal(passed(limit, ["2001:db8:0:1::1"]), 1);
});
