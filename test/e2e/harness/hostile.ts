// Names, request lines, fields and bodies that an attacker sends: the tables that several suites try.

/** Literals whose address is refused where it would be dialled, whatever policy says. */
export const deniedLiterals: readonly (readonly [string, string])[] = [
  ["attack 5", "169.254.169.254:80"],
  ["attack 12", "127.0.0.66:80"],
  ["attack 12", "[::ffff:127.0.0.66]:80"],
  ["attack 12", "[::ffff:7f00:42]:80"],
  ["attack 12", "[64:ff9b::7f00:42]:80"],
  ["attack 12", "[2002:7f00:42::]:80"],
  ["attack 12", "[::ffff:169.254.169.254]:80"],
  ["attack 12", "[fd00:ec2::254]:80"],
];

/** Authorities that are refused as such. */
export const refusedHosts: readonly (readonly [string, string])[] = [
  ["attack 8", "evil\0.e2e.test:443"],
  ["attack 8", "evil\x01.e2e.test:443"],
  ["attack 8", "evil.test\r.e2e.test:443"],
  ["attack 8", "evil.test%00.e2e.test:443"],
  ["attack 9", "[api.e2e.test]:443"],
  ["attack 9", "[[api.e2e.test]]:443"],
  ["attack 9", "[127.0.0.1]:443"],
  ["attack 9", "[::1:443"],
  ["attack 10", "\xe0pi.e2e.test:443"],
  ["attack 10", "api\xe3\x80\x82e2e.test:443"],
  ["attack 11", "2130706433:443"],
  ["attack 11", "0x7f000001:443"],
  ["attack 11", "0177.0.0.1:443"],
  ["attack 11", "127.1:443"],
  ["attack 11", "127.0.0.01:443"],
  ["attack 12", "[fe80::1%25eth0]:443"],
  ["attack 13", "api.e2e.test@evil.test:443"],
  ["attack 7", "api.e2e.test..:443"],
  ["attack 7", ".api.e2e.test:443"],
  ["attack 8", "api..e2e.test:443"],
  ["attack 8", "api.e2e.test:0443"],
  ["attack 8", "api.e2e.test:65536"],
  ["attack 8", "api.e2e.test:"],
  ["attack 8", "api.e2e.test"],
];

/** Names that look like `api.e2e.test` or like names below `deep.e2e.test`, and are neither. */
export const lookAlikes = [
  "evil-api.e2e.test",
  "api.e2e.test.evil.net",
  "xdeep.e2e.test",
  "deep.e2e.test.evil.net",
  "api-e2e.test",
  "e2e.test",
];

/** Field lines, after the request line and Host, with which two readers could disagree about the message. */
export const ambiguousFields: readonly (readonly [attack: string, what: string, lines: readonly string[]])[] =
  [
    [
      "attack 20",
      "both Content-Length and Transfer-Encoding",
      ["Content-Length: 5", "Transfer-Encoding: chunked"],
    ],
    ["attack 20", "both, the other way round", ["Transfer-Encoding: chunked", "Content-Length: 5"]],
    ["attack 20", "two Content-Lengths that differ", ["Content-Length: 5", "Content-Length: 6"]],
    ["attack 20", "two Content-Lengths that agree", ["Content-Length: 5", "Content-Length: 5"]],
    ["attack 20", "a list of Content-Lengths", ["Content-Length: 5, 5"]],
    ["attack 20", "a Content-Length with a sign", ["Content-Length: +5"]],
    ["attack 20", "a negative Content-Length", ["Content-Length: -1"]],
    ["attack 20", "a hexadecimal Content-Length", ["Content-Length: 0x5"]],
    ["attack 20", "an empty Content-Length", ["Content-Length:"]],
    ["attack 20", "a Content-Length too large for a number", ["Content-Length: 99999999999999999999"]],
    ["attack 20", "chunked and an empty member", ["Transfer-Encoding: chunked,"]],
    ["attack 20", "gzip, chunked", ["Transfer-Encoding: gzip, chunked"]],
    ["attack 20", "chunked, identity", ["Transfer-Encoding: chunked, identity"]],
    ["attack 20", "two Transfer-Encodings", ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"]],
    ["attack 20", "xchunked", ["Transfer-Encoding: xchunked"]],
    ["attack 20", "chunked in quotes", ['Transfer-Encoding: "chunked"']],
    ["attack 20", "chunked before a vertical tab", ["Transfer-Encoding: chunked\x0b"]],
    ["attack 20", "chunked before a tab", ["Transfer-Encoding: chunked\t"]],
    ["attack 20", "a space before the colon", ["Transfer-Encoding : chunked"]],
    ["attack 20", "a folded Transfer-Encoding", ["Transfer-Encoding:\r\n chunked"]],
    ["attack 20", "identity", ["Transfer-Encoding: identity"]],
    ["attack 21", "a folded line", ["X-A: b\r\n folded: c", "Content-Length: 0"]],
    ["attack 21", "a bare LF between fields", ["X-A: b\nContent-Length: 5"]],
    ["attack 21", "a bare CR in a value", ["X-A: b\rContent-Length: 5"]],
    ["attack 21", "NUL in a value", ["X-A: b\0c"]],
    ["attack 21", "a field without a colon", ["X-A b"]],
    ["attack 21", "an empty field name", [": b"]],
    ["attack 21", "a space in a field name", ["X A: b"]],
    ["attack 21", "a control byte in a field name", ["X\x01A: b"]],
    ["attack 20", "a second Host", ["Host: other.e2e.test"]],
  ];

/** Request lines that are none, with the status of the refusal. */
export const badRequestLines: readonly (readonly [what: string, line: string, status: number])[] = [
  ["no version", "GET /framing", 400],
  ["two spaces after the method", "GET  /framing HTTP/1.1", 400],
  ["two spaces before the version", "GET /framing  HTTP/1.1", 400],
  ["a tab for a space", "GET\t/framing HTTP/1.1", 400],
  ["a space in the target", "GET /fram ing HTTP/1.1", 400],
  ["a control byte in the target", "GET /fram\x01ing HTTP/1.1", 400],
  ["a byte above ASCII in the target", "GET /fram\xe9ing HTTP/1.1", 400],
  ["a fragment", "GET /framing#x HTTP/1.1", 400],
  ["a method that is no token", "G@T /framing HTTP/1.1", 400],
  ["HTTP/0.9", "GET /framing HTTP/0.9", 505],
  ["HTTP/1.2", "GET /framing HTTP/1.2", 505],
  ["HTTP/2.0", "GET /framing HTTP/2.0", 505],
  ["lower-case http", "GET /framing http/1.1", 400],
  ["bytes after the version", "GET /framing HTTP/1.1 x", 400],
  ["a bare LF at its end", "GET /framing HTTP/1.1\nHost: x", 400],
  ["a target that is neither path nor URL", "GET framing HTTP/1.1", 400],
  ["* for a method that has no use for it", "GET * HTTP/1.1", 400],
  ["another scheme", "GET ftp://plain.localhost/framing HTTP/1.1", 400],
];

/** Chunked bodies that are none. */
export const badChunks: readonly (readonly [what: string, body: string])[] = [
  ["a hexadecimal prefix", "0x5\r\nhello\r\n0\r\n\r\n"],
  ["a plus sign", "+5\r\nhello\r\n0\r\n\r\n"],
  ["a space before the size", " 5\r\nhello\r\n0\r\n\r\n"],
  ["a space after the size", "5 \r\nhello\r\n0\r\n\r\n"],
  ["a bare LF after the size", "5\nhello\r\n0\r\n\r\n"],
  ["data longer than its size", "4\r\nhello\r\n0\r\n\r\n"],
  ["a size too large for a number", "ffffffffffffffffff\r\nhello\r\n0\r\n\r\n"],
  ["no size", "\r\nhello\r\n0\r\n\r\n"],
  ["a bare CR in an extension", "5;a=\rb\r\nhello\r\n0\r\n\r\n"],
  ["an endless extension", `5;${"x".repeat(5000)}\r\nhello\r\n0\r\n\r\n`],
  ["framing in its trailers", "5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n"],
  ["a folded trailer", "5\r\nhello\r\n0\r\nX-A: b\r\n c\r\n\r\n"],
];

/** Paths that an upstream could take for others than the rules do. */
export const ambiguousPaths: readonly string[] = [
  "/a/../b",
  "/a/..",
  "/./a",
  "/a/%2e%2e/b",
  "/a/%2E./b",
  "/a/.%2e/b",
  "/a%2f..%2fb",
  "/a/..%2fb",
  "/a/..;/b",
  "/a/..;x=y/b",
  "/a/%2e%2e;/b",
  "/a\\..\\b",
  "/a%5c..%5cb",
  "/a/%252e%252e/b",
  "/a/%25252e%25252e/b",
  "/a%00b",
  "/a%2500b",
  "/a%0d%0ab",
  "/a/%c0%ae%c0%ae/b",
  "/a/..%3fx",
];
