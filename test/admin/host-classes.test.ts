import assert from "node:assert/strict";
import { test } from "node:test";
import { HostClasses } from "../../src/admin/host-classes.ts";
import { parseHost } from "../../src/http/authority.ts";

const classes = new HostClasses([
  "*.example.com",
  "API.example.com:8443",
  "*.eu.example.com",
  "git*.example.org:*",
  "10.0.0.0/8",
  "10.1.2.3",
  "not a pattern/",
]);

for (const [host, label] of [
  ["api.example.com", "api.example.com"],
  ["www.example.com", "*.example.com"],
  ["example.com", "*.example.com"],
  ["a.eu.example.com", "*.eu.example.com"],
  ["github.example.org", "git*.example.org"],
  ["www.example.org", "other"],
  ["10.9.9.9", "10.0.0.0/8"],
  ["10.1.2.3", "10.1.2.3"],
  ["192.0.2.1", "other"],
  ["[2001:db8::1]", "other"],
  ["made-up-by-a-workload.test", "other"],
] as const) {
  test(`${host} counts as ${label}`, () => assert.equal(classes.labelOf(parseHost(host)), label));
}

test("a rule for every host is a label of its own", () => {
  assert.equal(new HostClasses(["*", "a.test"]).labelOf(parseHost("b.test")), "*");
  assert.equal(new HostClasses(["*", "a.test"]).labelOf(parseHost("a.test")), "a.test");
});
