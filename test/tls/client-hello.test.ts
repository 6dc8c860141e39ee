import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, test } from "node:test";
import tls from "node:tls";
import * as fc from "fast-check";
import {
  ClientHelloReader,
  maxClientHello,
  readClientHello,
  type ClientHello,
} from "../../src/tls/client-hello.ts";
import {
  alpn,
  essentials,
  helloBytes,
  helloMessage,
  keyShare,
  records,
  serverName,
  supportedVersions,
  uint16,
  vector,
  type Extension,
  type HelloParts,
} from "../helpers/client-hello.ts";
import { socketPair } from "../helpers/tls-pair.ts";

const api = serverName("api.example.com");

function hello(bytes: Buffer): ClientHello {
  const result = readClientHello(bytes);
  assert.ok(result.kind === "hello", "message" in result ? result.message : result.kind);
  return result;
}

describe("a ClientHello", () => {
  test("tells name, protocols and versions", () => {
    const extensions = [...essentials, api, alpn("h2", "http/1.1")];
    assert.deepEqual(hello(helloBytes({ extensions })), {
      kind: "hello",
      serverName: "api.example.com",
      alpn: ["h2", "http/1.1"],
      versions: [0x0304, 0x0303],
      echOuter: false,
    });
  });

  test("of TLS 1.2 tells its one version, and may have no extensions at all", () => {
    const bytes = helloBytes({ extensions: null });
    assert.deepEqual(hello(bytes), {
      kind: "hello",
      serverName: undefined,
      alpn: [],
      versions: [0x0303],
      echOuter: false,
    });
    assert.equal(hello(helloBytes({ extensions: [] })).serverName, undefined);
  });

  test("keeps the name as it was sent: spelling is for the one parser of hosts (I1)", () => {
    for (const name of ["API.Example.COM", "api.example.com.", "192.0.2.1", "a_b.example"]) {
      assert.equal(hello(helloBytes({ extensions: [...essentials, serverName(name)] })).serverName, name);
    }
  });

  test("attack 16: may be larger than 1 kB, as with post-quantum key shares", () => {
    const extensions = [keyShare(1216), supportedVersions(0x0304), api];
    assert.equal(hello(helloBytes({ extensions })).serverName, "api.example.com");
  });

  test("attack 16: may be cut into records of any size", () => {
    const message = helloMessage();
    for (const size of [1, 2, 3, 4, 5, 7, 50, message.length - 1, message.length]) {
      assert.equal(hello(records(message, size)).serverName, "api.example.com", `records of ${size}`);
    }
  });

  test("is taken whatever values of no meaning it carries (GREASE)", () => {
    const extensions: Extension[] = [[0x0a0a, Buffer.alloc(0)], ...essentials, api, [0xfafa, Buffer.of(0)]];
    assert.deepEqual(hello(helloBytes({ extensions })).versions, [0x0304, 0x0303]);
  });

  test("attack 16: says when it carries an encrypted one", () => {
    const outer: Extension = [
      0xfe0d,
      Buffer.concat([Buffer.of(0), uint16(1, 1), Buffer.of(7), vector(2), vector(2)]),
    ];
    assert.equal(hello(helloBytes({ extensions: [...essentials, api, outer] })).echOuter, true);
    const inner: Extension = [0xfe0d, Buffer.of(1)];
    assert.equal(hello(helloBytes({ extensions: [...essentials, api, inner] })).echOuter, false);
  });

  test("is complete although more records follow, as with early data", () => {
    const bytes = Buffer.concat([helloBytes(), Buffer.from([20, 3, 3, 0, 1, 1])]);
    assert.equal(hello(bytes).serverName, "api.example.com");
  });

  for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
    test(`of node's own ${maxVersion} client is read`, async () => {
      const pair = await socketPair();
      const options = { servername: "api.example.com", ALPNProtocols: ["h2", "http/1.1"], maxVersion };
      tls.connect({ socket: pair.client, ...options }).on("error", () => {});
      const [bytes] = (await once(pair.server, "data")) as [Buffer];
      pair.close();
      const result = hello(bytes);
      assert.equal(result.serverName, "api.example.com");
      assert.deepEqual(result.alpn, ["h2", "http/1.1"]);
      assert.equal(Math.max(...result.versions), maxVersion === "TLSv1.3" ? 0x0304 : 0x0303);
    });
  }
});

describe("an invalid ClientHello", () => {
  const message = helloMessage();
  const extended = (...extensions: Extension[]): HelloParts => ({
    extensions: [...essentials, ...extensions],
  });
  const cases: [title: string, bytes: Buffer, message: RegExp][] = [
    ["HTTP", Buffer.from("GET / HTTP/1.1\r\n"), /does not open with TLS/],
    ["one byte of something else", Buffer.of(0x47), /does not open with TLS/],
    ["SSL 2", Buffer.from([0x80, 0x2e, 1, 3, 1]), /does not open with TLS/],
    ["an alert", Buffer.from([21, 3, 1, 0, 2, 1, 0]), /does not open with TLS/],
    ["a record of version 4", Buffer.from([22, 4]), /unknown version/],
    ["an empty record", Buffer.from([22, 3, 1, 0, 0]), /empty record/],
    [
      "an empty record between two",
      Buffer.concat([records(message.subarray(0, 9)), Buffer.from([22, 3, 1, 0, 0])]),
      /empty record/,
    ],
    ["a record of more than 16 kB", Buffer.from([22, 3, 1, 0x40, 1]), /longer than 16 kB/],
    ["another message", Buffer.from([22, 3, 1, 0, 1, 2]), /not a ClientHello/],
    ["a message of more than 64 kB", Buffer.from([22, 3, 1, 0, 4, 1, 1, 0, 0]), /longer than 64 kB/],
    ["more in its record", records(Buffer.concat([message, message])), /more bytes follow/],
    [
      "a ChangeCipherSpec inside",
      Buffer.concat([records(message.subarray(0, 9)), Buffer.from([20, 3, 3, 0, 1, 1])]),
      /does not open with TLS/,
    ],
    [
      "a session id of 33 bytes",
      helloBytes({ sessionId: Buffer.alloc(33) }),
      /session id has a length of 33/,
    ],
    ["no cipher suites", helloBytes({ cipherSuites: Buffer.alloc(0) }), /cipher suites has a length of 0/],
    ["half a cipher suite", helloBytes({ cipherSuites: Buffer.alloc(3) }), /cipher suites are of odd length/],
    [
      "no compression method",
      helloBytes({ compression: Buffer.alloc(0) }),
      /compression methods has a length of 0/,
    ],
    ["bytes after the extensions", helloBytes({ after: Buffer.of(0) }), /bytes too many/],
    [
      "a list of extensions that is too long for it",
      helloBytes({ extensions: null, after: uint16(5, 1) }),
      /list of extensions is cut short/,
    ],
    [
      "half an extension",
      helloBytes({ extensions: null, after: vector(2, Buffer.of(0)) }),
      /extension type is cut short/,
    ],
    [
      "a truncated message",
      records(Buffer.concat([Buffer.of(1), vector(3, Buffer.alloc(20))])),
      /random is cut short/,
    ],
    [
      "two server_name extensions (attack 1)",
      helloBytes(extended(api, serverName("evil.example"))),
      /extension 0 appears twice/,
    ],
    [
      "an unknown extension twice",
      helloBytes(extended([0x1234, Buffer.alloc(0)], [0x1234, Buffer.alloc(0)])),
      /extension 4660 appears twice/,
    ],
    [
      "two names (attack 1)",
      helloBytes(extended(serverName("api.example.com", "evil.example"))),
      /more than one name/,
    ],
    ["an empty list of names", helloBytes(extended([0, vector(2)])), /server_name has a length of 0/],
    ["an empty name", helloBytes(extended(serverName(""))), /server_name has a length of 0/],
    [
      "a name of another type",
      helloBytes(extended([0, vector(2, Buffer.of(1), vector(2, Buffer.from("a")))])),
      /unknown type/,
    ],
    [
      "bytes after the names",
      helloBytes(
        extended([0, Buffer.concat([vector(2, Buffer.of(0), vector(2, Buffer.from("a"))), Buffer.of(0)])]),
      ),
      /server_name has bytes too many/,
    ],
    [
      "a name that ends at a NUL for some",
      helloBytes(extended(serverName("api.example.com\0.evil.example"))),
      /not a host name/,
    ],
    ["a name with a space", helloBytes(extended(serverName("api example"))), /not a host name/],
    ["a name that is not ASCII", helloBytes(extended(serverName("bücher.example"))), /not a host name/],
    ["a name of 256 bytes", helloBytes(extended(serverName("a".repeat(256)))), /length of 256/],
    ["an empty list of protocols", helloBytes(extended(alpn())), /ALPN has a length of 0/],
    ["an empty protocol", helloBytes(extended(alpn("h2", ""))), /ALPN has a length of 0/],
    [
      "bytes after the protocols",
      helloBytes(extended([16, Buffer.concat([vector(2, vector(1, Buffer.from("h2"))), Buffer.of(0)])])),
      /ALPN has bytes too many/,
    ],
    [
      "an empty list of versions",
      helloBytes({ extensions: [supportedVersions()] }),
      /supported_versions has a length of 0/,
    ],
    [
      "half a version",
      helloBytes({ extensions: [[43, vector(1, Buffer.of(3, 4, 3))]] }),
      /supported_versions is cut short/,
    ],
  ];
  for (const [title, bytes, expected] of cases) {
    test(`has ${title}`, () => {
      const result = readClientHello(bytes);
      assert.equal(result.kind, "invalid");
      assert.match("message" in result ? result.message : "", expected);
    });
  }

  test("I12: is one that goes beyond 64 kB, when records of one byte carry it", () => {
    const bytes = records(helloMessage(extended([0x1234, Buffer.alloc(60_000)])), 1);
    const reader = new ClientHelloReader();
    let pushed = 0;
    while (
      pushed < bytes.length &&
      reader.push(bytes.subarray(pushed, pushed + 1000)).kind === "incomplete"
    ) {
      pushed += 1000;
    }
    assert.ok(pushed <= maxClientHello, `held ${pushed} bytes`);
    assert.deepEqual(reader.push(Buffer.alloc(0)), {
      kind: "invalid",
      message: "ClientHello: longer than 64 kB",
    });
  });
});

describe("reading in pieces", () => {
  const samples = [
    helloBytes(),
    records(helloMessage({ extensions: [keyShare(1216), supportedVersions(0x0304), api] }), 100),
    helloBytes({ extensions: [...essentials, serverName("a", "b")] }),
  ];

  test("gives the same answer wherever the bytes are cut, and only at the end", () => {
    for (const bytes of samples) {
      const whole = readClientHello(bytes);
      for (let cut = 0; cut <= bytes.length; cut++) {
        const reader = new ClientHelloReader();
        const first = reader.push(bytes.subarray(0, cut));
        if (cut < bytes.length) assert.deepEqual(first, { kind: "incomplete" }, `at ${cut}`);
        assert.deepEqual(reader.push(bytes.subarray(cut)), whole, `at ${cut}`);
      }
    }
  });

  test("I12: takes time in proportion to the bytes when they come one by one", () => {
    const time = (size: number) => {
      const bytes = records(helloMessage({ extensions: [...essentials, [0x1234, Buffer.alloc(size)], api] }));
      const runs = Array.from({ length: 5 }, () => {
        const start = performance.now();
        const reader = new ClientHelloReader();
        for (let at = 0; at < bytes.length; at++) reader.push(bytes.subarray(at, at + 1));
        assert.equal(reader.push(Buffer.alloc(0)).kind, "hello");
        return performance.now() - start;
      });
      return Math.min(...runs);
    };
    time(7500);
    assert.ok(
      time(60_000) < 20 * time(7500),
      "8 times the bytes would take 64 times as long in a quadratic reader",
    );
  });

  test("never throws, whatever it is given", () => {
    const base = helloBytes({ extensions: [...essentials, api, alpn("h2", "http/1.1")] });
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(base.length - 1), fc.nat(255)), { maxLength: 4 }), (changes) => {
        const bytes = Buffer.from(base);
        for (const [at, value] of changes) bytes[at] = value;
        const result = readClientHello(bytes);
        assert.ok(["incomplete", "invalid", "hello"].includes(result.kind));
      }),
      { numRuns: 500 },
    );
  });
});
