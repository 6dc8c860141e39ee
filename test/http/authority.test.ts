import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import {
  AuthorityError,
  hostFromConfig,
  isLoopbackHost,
  makeAuthority,
  parseAuthority,
  parseHost,
} from "../../src/http/authority.ts";
import { addressBytes, addressText } from "../../src/http/ip-literal.ts";

test("I1: a host has one canonical form", () => {
  const table: [text: string, name: string, kind: string][] = [
    ["api.example.com", "api.example.com", "name"],
    ["API.Example.COM", "api.example.com", "name"],
    ["localhost", "localhost", "name"],
    ["a_b._srv.example", "a_b._srv.example", "name"],
    ["xn--bcher-kva.example", "xn--bcher-kva.example", "name"],
    ["1.2.3.4a", "1.2.3.4a", "name"],
    ["3com.com", "3com.com", "name"],
    ["0xg", "0xg", "name"],
    ["192.0.2.1", "192.0.2.1", "ipv4"],
    ["0.0.0.0", "0.0.0.0", "ipv4"],
    ["[2001:db8::1]", "2001:db8::1", "ipv6"],
    ["2001:db8::1", "2001:db8::1", "ipv6"],
    ["[2001:DB8:0:0:0:0:0:1]", "2001:db8::1", "ipv6"],
    ["[0:0:0:0:0:0:0:0]", "::", "ipv6"],
    ["[1:0:0:2:0:0:0:3]", "1:0:0:2::3", "ipv6"],
    ["[1:0:0:2:3:0:0:4]", "1::2:3:0:0:4", "ipv6"],
    ["[1:2:0:4:5:6:7:8]", "1:2:0:4:5:6:7:8", "ipv6"],
    ["[1:2:3:4:5:6:7::]", "1:2:3:4:5:6:7:0", "ipv6"],
    ["[64:ff9b::192.0.2.1]", "64:ff9b::c000:201", "ipv6"],
    ["[::192.0.2.1]", "::c000:201", "ipv6"],
  ];
  for (const [text, name, kind] of table) assert.deepEqual(parseHost(text), { name, kind }, text);
});

test("attack 7: exactly one trailing dot is dropped", () => {
  assert.equal(parseHost("metadata.google.internal.").name, "metadata.google.internal");
  assert.deepEqual(parseHost("127.0.0.1."), { name: "127.0.0.1", kind: "ipv4" });
  for (const text of ["localhost..", ".", "..", "[::1]."])
    assert.throws(() => parseHost(text), AuthorityError, text);
});

test("attack 12: an IPv4-mapped address is the IPv4 address it reaches", () => {
  for (const text of ["[::ffff:127.0.0.1]", "[::FFFF:7f00:1]", "[0:0:0:0:0:ffff:7f00:0001]"]) {
    assert.deepEqual(parseHost(text), { name: "127.0.0.1", kind: "ipv4" }, text);
  }
});

const refusedHosts: [attack: string, ...texts: string[]][] = [
  ["attack 8: control bytes", "evil\0.google.com", "a\tb", "a\r\nb", "a b", " a", "a ", "a\x7f"],
  [
    "attack 9: brackets around anything but IPv6",
    "[host]",
    "[[::1]]",
    "[::1",
    "::1]",
    "[]",
    "[127.0.0.1]",
    "[::1]x",
  ],
  ["attack 9: the address forms of RFC 3986 that nobody uses", "[v1.fe80]"],
  [
    "attack 10: anything that is not ASCII",
    "b\u00fccher.example",
    "ex\u3002com",
    "\u212aelvin.example",
    "\uff41.com",
  ],
  [
    "attack 11: numbers that some read as addresses",
    "2130706433",
    "0177.0.0.1",
    "127.1",
    "0x7f.1",
    "0x7f000001",
  ],
  [
    "attack 11: numbers in the last label",
    "1.2.3.4.5",
    "256.1.1.1",
    "1.2.3.04",
    "example.0x",
    "a.1",
    "0X7F.1",
    "1.2.3",
  ],
  ["attack 12: zone ids", "[fe80::1%eth0]", "[fe80::1%25eth0]", "fe80::1%1"],
  ["attack 13: user information", "user@host", "user:pw@host", "@host"],
  ["percent-escapes", "ex%61mple.com", "%00.com"],
  ["empty labels and stray hyphens", "", "a..b", ".a", "-a.com", "a-.com", "a.-"],
  ["what ends a host", "a/b", "a?b", "a#b", "a\\b", "a:b", "a;b", "*", "*.a.com", "a,b"],
  ["lengths over RFC 1035", `${"a".repeat(64)}.com`, `${"a.".repeat(127)}aa`],
];

for (const [name, ...texts] of refusedHosts) {
  test(`refuses in a host ${name}`, () => {
    for (const text of texts) {
      assert.throws(() => parseHost(text), AuthorityError, JSON.stringify(text));
      assert.throws(() => parseAuthority(`${text}:443`, undefined), AuthorityError, JSON.stringify(text));
    }
  });
}

test("accepts names up to the lengths of RFC 1035", () => {
  const longest = `${`${"a".repeat(63)}.`.repeat(3)}${"a".repeat(61)}`;
  assert.equal(longest.length, 253);
  assert.equal(parseHost(longest).name, longest);
  assert.equal(parseHost(`${longest}.`).name, longest);
});

test("I1: an authority has one text, default port filled in", () => {
  const table: [text: string, defaultPort: number | undefined, expected: string][] = [
    ["api.example.com", 443, "api.example.com:443"],
    ["api.example.com", 80, "api.example.com:80"],
    ["API.example.com.:443", 80, "api.example.com:443"],
    ["api.example.com:8443", undefined, "api.example.com:8443"],
    ["192.0.2.1:1", 443, "192.0.2.1:1"],
    ["[::1]", 443, "[::1]:443"],
    ["[0::1]:65535", undefined, "[::1]:65535"],
    ["[::ffff:192.0.2.1]:80", undefined, "192.0.2.1:80"],
  ];
  for (const round of ["parsed", "remembered"]) {
    for (const [text, defaultPort, expected] of table) {
      assert.equal(parseAuthority(text, defaultPort).text, expected, `${text} ${round}`);
    }
  }
});

test("refuses ports that are missing, empty, out of range or oddly written", () => {
  const ports = [
    "",
    "0",
    "65536",
    "99999",
    "100000",
    "-1",
    "+1",
    "0443",
    " 443",
    "443 ",
    "4_43",
    "0x1bb",
    "443a",
    "1e2",
  ];
  for (const port of ports) {
    assert.throws(() => parseAuthority(`host:${port}`, 443), AuthorityError, JSON.stringify(port));
    assert.throws(() => parseAuthority(`[::1]:${port}`, 443), AuthorityError, JSON.stringify(port));
  }
  for (const text of ["host", "[::1]"])
    assert.throws(() => parseAuthority(text, undefined), /port is missing/);
  for (const port of [0, 65536, 1.5, Number.NaN]) {
    assert.throws(() => makeAuthority(parseHost("host"), port), AuthorityError);
  }
});

test("refuses authorities with more than one colon outside brackets", () => {
  for (const text of ["::1", "::1:443", "host:80:80", "host::80", "[::1]:80:80", "[::1]80", "host]:80"]) {
    assert.throws(() => parseAuthority(text, 443), AuthorityError, text);
  }
});

test("a remembered text without a port does not lend its port to another default", () => {
  assert.equal(parseAuthority("remembered.example", 443).port, 443);
  assert.throws(() => parseAuthority("remembered.example", undefined), AuthorityError);
  assert.equal(parseAuthority("remembered.example", 80).port, 80);
  assert.equal(parseAuthority("remembered.example", 443).port, 443);
});

test("I12: a repeated text is parsed once, but not remembered for ever", () => {
  const first = parseAuthority("first.example", 443);
  assert.equal(parseAuthority("first.example", 443), first);
  for (let index = 0; index < 3000; index++) {
    assert.equal(parseAuthority(`h${index}.example`, 443).text, `h${index}.example:443`);
  }
  assert.notEqual(parseAuthority("first.example", 443), first);
  assert.deepEqual(parseAuthority("first.example", 443), first);
});

test("I14: the message never repeats what was sent", () => {
  for (const text of ["canary@host", "canary canary", "canary\0", "canary:99999", "[canary]"]) {
    assert.throws(
      () => parseAuthority(text, 443),
      (error: unknown) => error instanceof AuthorityError && !error.message.includes("canary"),
    );
  }
});

test("attack 10: names in the configuration go through IDNA, and mixed scripts are refused", () => {
  const table: [text: string, name: string][] = [
    ["b\u00fccher.example", "xn--bcher-kva.example"],
    ["B\u00dcCHER.example.", "xn--bcher-kva.example"],
    ["\u65e5\u672c\u8a9e.jp", "xn--wgv71a119e.jp"],
    ["\u0440\u0444.example", "xn--p1ai.example"],
    ["api\u3002example\u3002com", "api.example.com"],
    ["xn--pple-43d.com", "xn--pple-43d.com"],
    ["API.example.com", "api.example.com"],
  ];
  for (const [text, name] of table) assert.deepEqual(hostFromConfig(text), { name, kind: "name" }, text);
  const refused = [
    "\u0430pple.com", // Cyrillic first letter
    "g\u03bf\u03bfgle.com", // Greek omicron
    "\u00e9%2e.com",
    "\u00e9:80",
    "\u00e9*.com",
    "\u00e9/x",
    "\u00e9@host",
    "\uff11\uff12\uff17.0.0.1", // fullwidth digits
    "\u00e9..com",
    "\ud800.com",
    "",
  ];
  for (const text of refused) assert.throws(() => hostFromConfig(text), AuthorityError, text);
});

test("I6: knows the hosts that are this machine", () => {
  const here = [
    "localhost",
    "LOCALHOST.",
    "api.localhost",
    "127.0.0.1",
    "127.255.0.9",
    "[::1]",
    "[::ffff:127.0.0.2]",
  ];
  const elsewhere = ["localhost.example.com", "notlocalhost", "128.0.0.1", "127.example", "[::2]", "0.0.0.0"];
  for (const text of here) assert.equal(isLoopbackHost(parseHost(text)), true, text);
  for (const text of elsewhere) assert.equal(isLoopbackHost(parseHost(text)), false, text);
});

const label = fc.stringMatching(/^[a-zA-Z0-9_](?:[a-zA-Z0-9_-]{0,10}[a-zA-Z0-9_])?$/);
const name = fc
  .tuple(fc.array(label, { maxLength: 4 }), fc.stringMatching(/^[a-zA-Z]{2,8}$/))
  .map(([labels, last]) => [...labels, last].join("."));
const host = fc.oneof(
  name,
  fc.ipV4(),
  fc.ipV6().map((address) => `[${address}]`),
);

test("I1: parsing the canonical text gives the same authority", () => {
  fc.assert(
    fc.property(host, fc.integer({ min: 1, max: 65535 }), (text, port) => {
      const authority = parseAuthority(text, port);
      assert.deepEqual(parseAuthority(authority.text, undefined), authority);
      assert.deepEqual(parseHost(authority.host.name), authority.host);
      assert.deepEqual(makeAuthority(parseHost(text), port), authority);
    }),
  );
});

test("I1: whatever is accepted is in canonical form", () => {
  const alphabet = fc.constantFrom(
    ...Array.from("aZ09.-_:[]@%x/\\ \0\u00e9"),
    "::",
    "ffff",
    "127.0.0.1",
    "0x7f",
  );
  fc.assert(
    fc.property(fc.array(alphabet, { maxLength: 8 }), (pieces) => {
      let authority;
      try {
        authority = parseAuthority(pieces.join(""), 443);
      } catch (error) {
        assert.ok(error instanceof AuthorityError);
        return;
      }
      const { name, kind } = authority.host;
      if (kind === "ipv6") assert.equal(name, addressText(addressBytes(name) ?? new Uint8Array(4)));
      else assert.match(name, /^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$/);
    }),
    { numRuns: 2000 },
  );
});

test("an address keeps its value through bytes and text", () => {
  const bytes = fc.oneof(
    fc.uint8Array({ minLength: 4, maxLength: 4 }),
    fc.uint8Array({ minLength: 16, maxLength: 16 }).filter((value) => value[0] !== 0),
    // Mostly zeros, for the gap.
    fc
      .array(fc.constantFrom(0, 0, 0, 1), { minLength: 16, maxLength: 16 })
      .map((values) => Uint8Array.from([0x20, ...values.slice(1)])),
  );
  fc.assert(fc.property(bytes, (value) => assert.deepEqual(addressBytes(addressText(value)), value)));
});
