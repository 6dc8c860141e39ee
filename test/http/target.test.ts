import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { canonicalizePath, parseTarget, TargetError } from "../../src/http/target.ts";
import type { TargetReason } from "../../src/http/target.ts";

function refuses(method: string, target: string, reason: TargetReason): void {
  assert.throws(
    () => parseTarget(method, target),
    (error: unknown) => {
      assert.ok(error instanceof TargetError, `${method} ${JSON.stringify(target)}: ${String(error)}`);
      assert.equal(error.reason, reason, `${method} ${JSON.stringify(target)}`);
      return true;
    },
    `${method} ${JSON.stringify(target)} was accepted`,
  );
}

function parts(method: string, target: string): unknown[] {
  const { form, scheme, authority, path, query } = parseTarget(method, target);
  return [form, scheme, authority?.text, path, query];
}

test("takes the four forms of a request target apart", () => {
  const table: [method: string, target: string, ...expected: unknown[]][] = [
    ["GET", "/", "origin", undefined, undefined, "/", undefined],
    ["GET", "/a/b?c=d&e", "origin", undefined, undefined, "/a/b", "c=d&e"],
    ["GET", "/a?", "origin", undefined, undefined, "/a", ""],
    ["GET", "/a??b?", "origin", undefined, undefined, "/a", "?b?"],
    ["GET", "//a//b", "origin", undefined, undefined, "//a//b", undefined],
    ["GET", "/http://other.example/", "origin", undefined, undefined, "/http://other.example/", undefined],
    ["GET", "http://Ex.com/a?b", "absolute", "http", "ex.com:80", "/a", "b"],
    ["GET", "HTTPS://ex.com:8443", "absolute", "https", "ex.com:8443", "/", undefined],
    ["GET", "https://ex.com", "absolute", "https", "ex.com:443", "/", undefined],
    ["GET", "http://ex.com?", "absolute", "http", "ex.com:80", "/", ""],
    ["GET", "http://ex.com?a=/b", "absolute", "http", "ex.com:80", "/", "a=/b"],
    ["GET", "http://[::1]:81//x", "absolute", "http", "[::1]:81", "//x", undefined],
    ["CONNECT", "ex.com:443", "authority", undefined, "ex.com:443", "", undefined],
    ["CONNECT", "[2001:db8::1]:8443", "authority", undefined, "[2001:db8::1]:8443", "", undefined],
    ["OPTIONS", "*", "asterisk", undefined, undefined, "*", undefined],
    ["OPTIONS", "http://ex.com/", "absolute", "http", "ex.com:80", "/", undefined],
  ];
  for (const [method, target, ...expected] of table)
    assert.deepEqual(parts(method, target), expected, target);
});

test("RFC 9112 3.2.4: OPTIONS of a URL without path asks about the server", () => {
  assert.deepEqual(parts("OPTIONS", "http://ex.com:81"), ["absolute", "http", "ex.com:81", "*", undefined]);
});

test("refuses a form that the method does not have", () => {
  for (const target of ["ex.com", "/", "http://ex.com:443/", "ex.com:443/", "*"]) {
    assert.throws(() => parseTarget("CONNECT", target), TargetError, target);
  }
  refuses("CONNECT", "ex.com", "invalid_host");
  refuses("CONNECT", "/", "invalid_target");
  for (const target of [
    "ex.com:443",
    "*",
    "",
    "a",
    "?x",
    "ftp://ex.com/",
    "ws://ex.com/",
    "http:/ex.com",
    "http:ex.com",
  ]) {
    refuses("GET", target, "invalid_target");
  }
  refuses("connect", "ex.com:443", "invalid_target");
  refuses("options", "*", "invalid_target");
  refuses("OPTIONS", "**", "invalid_target");
});

test("attack 13: refuses user information and other odd authorities", () => {
  for (const target of [
    "https://api.stripe.com@evil.com/",
    "https://user:pw@ex.com",
    "https://@ex.com/",
    "https:///path",
    "https://",
    "https://ex.com:/",
    "https://ex.com:0/",
    "https://ex.com\\@evil.com/",
    "https://ex.com;x/",
    "https://ex%2ecom/",
    "http://2130706433/",
  ]) {
    refuses("GET", target, "invalid_host");
  }
  refuses("CONNECT", "user@ex.com:443", "invalid_host");
});

test("refuses fragments and bytes outside 0x21 to 0x7E wherever they stand", () => {
  for (const byte of ["#", " ", "\t", "\r", "\n", "\0", "\x1f", "\x7f", "\x80", "\u00e9", "\uff0f"]) {
    for (const target of [
      `/a${byte}b`,
      `/${byte}`,
      `/a?${byte}`,
      `/a?b${byte}c`,
      `/%41${byte}`,
      `http://h/${byte}`,
    ]) {
      refuses("GET", target, "invalid_target");
    }
  }
  refuses("GET", "http://ex.com#x", "invalid_target");
});

test("refuses malformed percent-escapes in a path, and leaves the query alone", () => {
  for (const path of ["/%", "/%4", "/%zz", "/%4g", "/a%2/b", "/%u002e", "/%%32e", "/%2%65", "/% 41"]) {
    refuses("GET", path, "invalid_target");
  }
  assert.equal(
    parseTarget("GET", "/a?q=1;2&b=%zz&c=/../\\..%2e%00[]{}").query,
    "q=1;2&b=%zz&c=/../\\..%2e%00[]{}",
  );
});

test("I3: rules see the canonical form, the upstream gets every byte as sent", () => {
  const table: [path: string, canonical: string][] = [
    ["/a%2Fb", "/a%2Fb"],
    ["/a%2fb", "/a%2Fb"],
    ["/%41%62%7e%2D%5f", "/Ab~-_"],
    ["/%c3%a9", "/%C3%A9"],
    ["/a%3bb%3f%23", "/a%3Bb%3F%23"],
    ["/a%2Eb", "/a.b"],
    ["/%2Ehidden", "/.hidden"],
    ["/100%25", "/100%25"],
    ["/%2541", "/%2541"],
    ["/%25zz", "/%25zz"],
    ["/a;b=c/d", "/a;b=c/d"],
    ["/[x]|{y}^\"<>`'", "/[x]|{y}^\"<>`'"],
    ["//a//b/", "//a//b/"],
    ["/a%09b", "/a%09b"],
  ];
  for (const [path, canonical] of table) {
    const target = parseTarget("GET", `${path}?x`);
    assert.equal(target.path, path);
    assert.equal(target.canonicalPath, canonical, path);
    assert.equal(canonicalizePath(path), canonical, path);
  }
});

test("I3: dots that are no dot segment are fine", () => {
  for (const path of [
    "/...",
    "/.hidden",
    "/..hidden",
    "/a..b",
    "/a../b",
    "/a./b",
    "/.../x",
    "/a.b/c.d",
    "/.a;b",
    "/a;..",
  ]) {
    assert.equal(canonicalizePath(path), path);
  }
});

const ambiguous: [what: string, ...paths: string[]][] = [
  ["dot segments", "/..", "/.", "/../", "/./", "/a/../b", "/a/./b", "/a/..", "/a/.", "//.."],
  ["encoded dot segments", "/%2e%2e", "/a/%2E./b", "/a/.%2e/b", "/a/%2e/b", "/%2e"],
  [
    "dot segments behind an encoded slash",
    "/a%2f..%2fb",
    "/a%2F..",
    "/..%2fb",
    "/a/.%2Fb",
    "/a%2f.",
    "/a%2f%2e%2e",
  ],
  ["dot segments with parameters", "/..;/b", "/a/..;x=1/b", "/.;", "/a/.;x", "/..%3bx/b", "/a/%2e%2e%3B"],
  ["dot segments before an encoded query or fragment", "/a/..%3fx", "/a/..%23x", "/a/.%3F"],
  ["backslashes", "/a\\b", "/a\\..\\b", "/a%5cb", "/%5C", "/a%5C..%5Cb", "/\\"],
  ["NUL and line breaks", "/%00", "/a%00.png", "/a%0d%0ab", "/%0A", "/%0D"],
  [
    "double encodings",
    "/%252e%252e",
    "/a/%252e/b",
    "/a%255cb",
    "/%2500",
    "/%250d",
    "/..%252fb",
    "/a%252f..",
    "/%2e%252e",
  ],
  [
    "mixed depths",
    "/%252e.",
    "/%25%32%65",
    "/%25252e%2525252e",
    "/%2525%35%63",
    "/%25%2532%2565",
    "/..%253b",
  ],
  [
    "overlong UTF-8",
    "/%c0%ae%c0%ae/",
    "/a%c0%afb",
    "/%C1%9C",
    "/%e0%80%af",
    "/%f0%80%80%ae",
    "/%25c0%25ae",
    "/%c0%80",
  ],
];

for (const [what, ...paths] of ambiguous) {
  test(`I3 attack 34: refuses ${what}`, () => {
    for (const path of paths) {
      refuses("GET", path, "ambiguous_path");
      refuses("GET", `${path}?x=y`, "ambiguous_path");
      refuses("GET", `http://ex.com${path}`, "ambiguous_path");
      assert.throws(() => canonicalizePath(path), TargetError, path);
    }
  });
}

test("canonicalizePath refuses what is not a path", () => {
  for (const path of ["", "a", "*", "/a?b", "/a#b", "/a b"])
    assert.throws(() => canonicalizePath(path), TargetError, path);
});

test("I14: the message never repeats what was sent", () => {
  for (const target of [
    "/canary%",
    "/canary#",
    "https://canary@ex.com/",
    "canary",
    "/canary/..",
    "/canary\u00e9",
  ]) {
    assert.throws(
      () => parseTarget("GET", target),
      (error: unknown) => error instanceof TargetError && !error.message.includes("canary"),
    );
  }
});

test("I12: a path escaped thousands of times over costs linear time", () => {
  const path = `/%${"25".repeat(30_000)}2e`;
  const started = performance.now();
  refuses("GET", path, "ambiguous_path");
  assert.ok(performance.now() - started < 500);
});

const pieces = fc.constantFrom(
  ...Array.from("aZ./;\\~%-_"),
  "%2e",
  "%2E",
  "%2f",
  "%5c",
  "%25",
  "%00",
  "%41",
  "%c3%a9",
  "%3b",
  "%32",
  "%65",
  "..",
  "2e",
  "2f",
);
const path = fc.array(pieces, { maxLength: 10 }).map((parts) => `/${parts.join("")}`);

function accepted(text: string): string | undefined {
  try {
    return canonicalizePath(text);
  } catch (error) {
    assert.ok(error instanceof TargetError);
    return undefined;
  }
}

test("I3: canonicalisation is idempotent", () => {
  fc.assert(
    fc.property(path, (text) => {
      const canonical = accepted(text);
      if (canonical !== undefined) assert.equal(canonicalizePath(canonical), canonical);
    }),
    { numRuns: 2000 },
  );
});

test("I3: whatever is accepted is free of dot segments, backslashes and NUL at every depth of decoding", () => {
  fc.assert(
    fc.property(path, (text) => {
      const canonical = accepted(text);
      if (canonical === undefined) return;
      for (const start of [text, canonical]) {
        for (let decoded = start, next = ""; ; decoded = next) {
          assert.ok(!/(?:^|\/)\.\.?(?:;[^/]*)?(?:\/|$)/.test(decoded), `${text} hides ${decoded}`);
          assert.ok(!/[\\\0]/.test(decoded), `${text} hides ${decoded}`);
          next = decoded.replace(/%([0-9a-f]{2})/gi, (_, hex: string) =>
            String.fromCharCode(Number.parseInt(hex, 16)),
          );
          if (next === decoded) break;
        }
      }
    }),
    { numRuns: 2000 },
  );
});

test("I3: spellings that RFC 3986 calls equivalent have the same canonical form", () => {
  const plain = fc.stringMatching(/^\/[A-Za-z0-9~_-]{0,12}$/);
  fc.assert(
    fc.property(plain, fc.array(fc.boolean(), { minLength: 13, maxLength: 13 }), (text, escaped) => {
      const spelling = text.replace(/[^/]/g, (character, at: number) =>
        escaped[at] ? `%${character.charCodeAt(0).toString(16)}` : character,
      );
      assert.equal(canonicalizePath(spelling), text);
    }),
  );
});
