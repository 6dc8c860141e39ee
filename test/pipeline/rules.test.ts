import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAuthority } from "../../src/http/authority.ts";
import { compile, facts, sound } from "./rules-support.ts";

/** Checks a pattern against authorities it matches and authorities it does not. */
function checkHosts(host: string, matching: readonly string[], others: readonly string[]): void {
  const rules = sound([{ host }]);
  for (const authority of matching)
    assert.equal(rules.match(facts(authority)), true, `${host} on ${authority}`);
  for (const authority of others)
    assert.equal(rules.match(facts(authority)), false, `${host} on ${authority}`);
  for (const authority of [...matching, ...others]) {
    assert.equal(
      rules.admits(parseAuthority(authority, 443), undefined),
      matching.includes(authority),
      `tunnel to ${authority}`,
    );
    assert.equal(
      rules.describe(facts(authority)).matched,
      matching.includes(authority),
      `described ${authority}`,
    );
  }
}

test("a host without wildcards matches itself, however it is spelled", () => {
  checkHosts(
    "API.example.com.",
    ["api.example.com", "API.EXAMPLE.COM", "api.example.com."],
    ["example.com", "x.api.example.com"],
  );
  checkHosts("B\u00fccher.example", ["xn--bcher-kva.example"], ["bucher.example"]);
});

test("attack 6: *.suffix matches the bare domain and any depth below, never a look-alike", () => {
  checkHosts(
    "*.example.com",
    ["example.com", "a.example.com", "a.b.c.example.com", "A.Example.Com."],
    ["evil-example.com", "evilexample.com", "example.com.evil.net", "com", "xample.com", "example.org"],
  );
  checkHosts("**.example.com", ["example.com", "a.b.example.com"], ["evilexample.com"]);
});

test("attack 6: a wildcard inside a label never crosses a dot", () => {
  checkHosts("api.*.com", ["api.x.com"], ["api.x.attacker.com", "api.com", "x.api.y.com"]);
  checkHosts(
    "git*.example.com",
    ["git.example.com", "github.example.com"],
    ["git.evil.example.com", "x.git.example.com"],
  );
  checkHosts("*example.com", ["example.com", "fooexample.com"], ["foo.example.com", "a.fooexample.com"]);
  checkHosts("git*", ["git", "github"], ["git.evil.net"]);
  checkHosts("a?.example.com", ["ab.example.com"], ["a.example.com", "a.b.example.com", "abc.example.com"]);
  checkHosts("[a-c]x.example.com", ["ax.example.com", "cx.example.com"], ["dx.example.com", "x.example.com"]);
  checkHosts("[^A-C]x.example.com", ["dx.example.com"], ["ax.example.com", "x.example.com"]);
  checkHosts(
    "*.git*.example.com",
    ["git1.example.com", "a.b.git1.example.com"],
    ["example.com", "git1.a.example.com"],
  );
});

test("* matches every name and address", () => {
  checkHosts("*", ["example.com", "localhost", "192.0.2.1", "[2001:db8::1]"], []);
});

test("IP literals match in every spelling, and name patterns never match addresses", () => {
  checkHosts("192.0.2.1", ["192.0.2.1", "[::ffff:192.0.2.1]"], ["192.0.2.10", "192.0.2.1.example"]);
  checkHosts("[2001:DB8:0::1]", ["[2001:db8::1]", "[2001:db8::1]:8443"], ["[2001:db8::2]"]);
  checkHosts("2001:db8::1", ["[2001:db8::1]"], ["[2001:db8::2]"]);
  checkHosts("10.0.0.*", ["10.0.0.7", "[::ffff:10.0.0.7]"], ["10.0.1.7", "10.0.0.example"]);
  checkHosts("*.*.*.*", ["a.b.c.d", "x.a.b.c.d"], ["10.0.0.7"]);
});

test("cidr matches literal addresses only, IPv4-mapped ones as IPv4", () => {
  const rules = sound([{ cidr: "10.1.0.0/20" }, { cidr: "2001:db8::/33" }, { cidr: "::ffff:192.0.2.0/120" }]);
  const inside = [
    "10.1.0.0",
    "10.1.15.255:22",
    "[::ffff:10.1.2.3]",
    "[2001:db8::1]:5432",
    "[2001:db8:7fff::]",
    "192.0.2.9",
  ];
  const outside = [
    "10.1.16.0",
    "10.0.255.255",
    "[2001:db8:8000::1]",
    "192.0.3.1",
    "ten.example",
    "[::10.1.0.1]",
  ];
  for (const authority of inside) assert.equal(rules.match(facts(authority)), true, authority);
  for (const authority of outside) assert.equal(rules.match(facts(authority)), false, authority);
  assert.equal(sound([{ cidr: "0.0.0.0/0" }]).match(facts("[2001:db8::1]")), false);
  assert.equal(sound([{ cidr: "192.0.2.7/24" }]).match(facts("192.0.2.200")), true);
});

test("I6 attack 15: a rule without a port means 443 and 80", () => {
  for (const host of ["api.example.com", "*.example.com", "api*.example.com", "*"]) {
    checkHosts(
      host,
      ["api.example.com:443", "api.example.com:80"],
      ["api.example.com:8443", "api.example.com:22", "api.example.com:6379"],
    );
  }
});

test("I6: a rule with a port means that port, and :* every port", () => {
  checkHosts("api.example.com:8443", ["api.example.com:8443"], ["api.example.com:443", "api.example.com:80"]);
  checkHosts("*.example.com:8443", ["example.com:8443"], ["example.com:443"]);
  checkHosts("*:8443", ["a.example:8443"], ["a.example:443"]);
  checkHosts("api.example.com:*", ["api.example.com:22", "api.example.com:443"], ["example.com:22"]);
  checkHosts("*:*", ["a.example:22", "10.0.0.1:22"], []);
  checkHosts("[::1]:443", ["[::1]:443"], ["[::1]:80"]);
  checkHosts("127.0.0.1:8080", ["127.0.0.1:8080"], ["127.0.0.1:443"]);
  checkHosts("localhost:3000", ["localhost:3000"], ["localhost:443"]);
});

test("I6: for this machine, addresses and networks no port means any", () => {
  checkHosts("localhost", ["localhost:3000", "localhost:443"], ["localhost.example.com:443"]);
  checkHosts("*.localhost", ["localhost:3000", "a.localhost:1"], ["localhost.example:443"]);
  checkHosts("a*.localhost", ["api.localhost:3000"], ["localhost:443"]);
  checkHosts("192.0.2.1", ["192.0.2.1:5000"], []);
  checkHosts("10.0.0.*", ["10.0.0.1:5000"], []);
});

test("I6: rule_ports any gives back rules that are blind to ports, except where one is written", () => {
  const rules = sound([{ host: "api.example.com" }, { host: "b.example.com:8443" }], "any");
  assert.equal(rules.match(facts("api.example.com:22")), true);
  assert.equal(rules.match(facts("b.example.com:8443")), true);
  assert.equal(rules.match(facts("b.example.com:443")), false);
});

test("attack 35: methods are upper-cased in the configuration and compared as sent", () => {
  const rules = sound([{ host: "a.example", methods: ["get", "POST", "M-SEARCH"] }]);
  for (const method of ["GET", "POST", "M-SEARCH"])
    assert.equal(rules.match(facts("a.example", method)), true, method);
  for (const method of ["get", "post", "PUT", "HEAD", "GETX", ""]) {
    assert.equal(rules.match(facts("a.example", method)), false, method);
  }
  for (const methods of [undefined, [], ["*"]]) {
    assert.equal(sound([{ host: "a.example", methods }]).match(facts("a.example", "PURGE")), true);
  }
  assert.equal(sound([{ host: "a.example", methods: ["GET", "*"] }]).match(facts("a.example", "PUT")), false);
});

const pathTable: [pattern: string, matching: string[], others: string[]][] = [
  ["/*", ["/", "/a", "/a/b", "//", "*", ""], []],
  [
    "/v1/*",
    ["/v1", "/v1/", "/v1/a", "/v1/a/b", "/v1//a"],
    ["/v10", "/v", "/", "//v1/a", "/V1/a", "*", "/v1%2Fa"],
  ],
  ["/health", ["/health"], ["/health/", "/health/deep", "/healthy", "/"]],
  ["/", ["/"], ["//", "/a", "", "*"]],
  ["/v1/", ["/v1/"], ["/v1", "/v1/a"]],
  [
    "/repos/*/issues",
    ["/repos/a/issues", "/repos//issues", "/repos/a%2Fb/issues"],
    ["/repos/a/b/issues", "/repos/issues", "/repos/a/issues/1"],
  ],
  [
    "/repos/*/issues/*",
    ["/repos/a/issues", "/repos/a/issues/", "/repos/a/issues/1/2"],
    ["/repos/a/b/issues/1", "/repos/a/issue"],
  ],
  ["/a*", ["/a", "/abc", "/a%2Fb"], ["/b", "/a/b", "/"]],
  ["/*.json", ["/.json", "/a.json"], ["/a/b.json", "/a.jsonx"]],
  ["/a?c", ["/abc", "/a%2Fc"], ["/ac", "/abbc", "/a/c"]],
  ["/[a-c0]x", ["/ax", "/0x"], ["/dx", "/x", "/%20x"]],
  ["/[^a]x", ["/bx", "/%20x"], ["/ax", "//x", "/x"]],
  ["/[\\]\\-]", ["/]", "/-"], ["/\\", "/a"]],
  ["/a\\*b", ["/a*b"], ["/aXb", "/ab"]],
  ["/a\\?b", ["/a%3Fb"], ["/aXb"]],
  ["/%41%2f%7e", ["/A%2F~"], ["/A/~", "/%41%2F~"]],
  ["/caf\u00e9/*", ["/caf%C3%A9", "/caf%C3%A9/x"], ["/cafe"]],
  ["/a b#c", ["/a%20b%23c"], ["/a b#c"]],
  ["/*a*b*c*", ["/abc", "/xaxbxcx", "/aabbcc"], ["/acb", "/ab/c"]],
];

test("path patterns stay within a segment, except a final /*", () => {
  for (const [pattern, matching, others] of pathTable) {
    const rules = sound([{ host: "a.example", paths: [pattern] }]);
    for (const path of matching)
      assert.equal(rules.match(facts("a.example", "GET", path)), true, `${pattern} on ${path}`);
    for (const path of others)
      assert.equal(rules.match(facts("a.example", "GET", path)), false, `${pattern} on ${path}`);
  }
});

test("no paths means all, several mean any of them", () => {
  assert.equal(sound([{ host: "a.example", paths: [] }]).match(facts("a.example", "GET", "/x")), true);
  const rules = sound([{ host: "a.example", paths: ["/a", "/b/*"] }]);
  assert.deepEqual(
    ["/a", "/b/c", "/c"].map((path) => rules.match(facts("a.example", "GET", path))),
    [true, true, false],
  );
});

test("I2: admits asks about host and port only", () => {
  const rules = sound([{ host: "a.example", methods: ["POST"], paths: ["/v1/*"] }]);
  assert.equal(rules.admits(parseAuthority("a.example:443", undefined), undefined), true);
  assert.equal(rules.admits(parseAuthority("a.example:22", undefined), undefined), false);
  assert.equal(rules.match(facts("a.example")), false);
});

test("a list matches when any rule does, and no rules match nothing", () => {
  const rules = sound([
    { host: "a.example", methods: ["GET"] },
    { host: "*.example", methods: ["POST"] },
    { host: "b.example" },
  ]);
  assert.equal(rules.size, 3);
  assert.equal(rules.match(facts("a.example", "POST")), true);
  assert.equal(rules.match(facts("b.example", "PUT")), true);
  assert.equal(rules.match(facts("a.example", "PUT")), false);
  for (const none of [undefined, []]) {
    const empty = compile(none).rules;
    assert.equal(empty.size, 0);
    assert.equal(empty.match(facts("a.example")), false);
    assert.equal(empty.admits(parseAuthority("a.example", 443), undefined), false);
    assert.deepEqual(empty.describe(facts("a.example")), { matched: false, text: "there are no rules" });
  }
});

test("describe says which rule matches, or what each rule for the host objects to", () => {
  const rules = sound([
    { host: "a.example", methods: ["get", "head"] },
    { host: "*.example:8443" },
    { host: "*.example", methods: ["POST"], paths: ["/v1/*", "/v2"] },
  ]);
  const table: [authority: string, method: string, path: string, matched: boolean, text: string][] = [
    ["b.example", "POST", "/v1/x", true, "rule 3 (*.example POST /v1/*, /v2) matches"],
    ["a.example", "GET", "/", true, "rule 1 (a.example GET, HEAD) matches"],
    [
      "a.example",
      "POST",
      "/x",
      false,
      "rule 1: host matches, method POST is not one of GET, HEAD; rule 2: host matches, port 443 is not 8443; " +
        "rule 3: host matches, path /x is not one of /v1/*, /v2",
    ],
    ["c.test", "GET", "/", false, "no rule is for the host c.test"],
  ];
  for (const [authority, method, path, matched, text] of table) {
    assert.deepEqual(rules.describe(facts(authority, method, path)), { matched, text });
  }
});

test("I12: describe gives reasons for a few rules and counts the others", () => {
  const rules = sound(
    Array.from({ length: 20 }, (_, index) => ({ host: "a.example", paths: [`/${index}`] })),
  );
  assert.match(rules.describe(facts("a.example")).text, /; 15 more rules for this host do not match$/);
});
