// What SOCKS5 clients say: whole, cut anywhere, and wrong.
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import {
  readCredentials,
  readGreeting,
  readRequest,
  type Read,
  SocksError,
} from "../../src/listeners/socks5-messages.ts";

const name = Buffer.from("api.example.com");
const requests: readonly (readonly [what: string, bytes: Buffer, host: string, port: number])[] = [
  [
    "a name",
    Buffer.concat([Buffer.of(5, 1, 0, 3, name.length), name, Buffer.of(1, 187)]),
    "api.example.com",
    443,
  ],
  ["an empty name", Buffer.of(5, 1, 0, 3, 0, 0, 80), "", 80],
  ["IPv4", Buffer.of(5, 1, 0, 1, 192, 0, 2, 7, 0, 80), "192.0.2.7", 80],
  [
    "IPv6",
    Buffer.concat([Buffer.of(5, 1, 0, 4, 0x20, 1, 0x0d, 0xb8), Buffer.alloc(11), Buffer.of(1, 255, 255)]),
    "2001:db8:0:0:0:0:0:1",
    65535,
  ],
  ["any reserved byte", Buffer.of(5, 1, 9, 1, 10, 0, 0, 1, 0, 22), "10.0.0.1", 22],
];

for (const [what, bytes, host, port] of requests) {
  test(`reads a request for ${what}, and nothing behind it`, () => {
    assert.deepEqual(readRequest(bytes), { message: { host, port }, length: bytes.length });
    assert.equal(readRequest(Buffer.concat([bytes, Buffer.from("more")]))?.length, bytes.length);
  });
}

test("reads a greeting and credentials", () => {
  assert.deepEqual(readGreeting(Buffer.of(5, 3, 0, 1, 2, 9)), { message: [0, 1, 2], length: 5 });
  const credentials = readCredentials(Buffer.from("\x01\x03sbx\x05token", "latin1"));
  assert.equal(credentials?.message.user.toString(), "sbx");
  assert.equal(credentials?.message.password.toString(), "token");
  assert.equal(credentials?.length, 11);
  assert.equal(readCredentials(Buffer.of(1, 0, 0))?.length, 3);
});

for (const [what, read, bytes, reply] of [
  ["BIND", readRequest, Buffer.of(5, 2, 0, 1, 1, 2, 3, 4, 0, 1), 7],
  ["UDP ASSOCIATE", readRequest, Buffer.of(5, 3, 0, 1, 1, 2, 3, 4, 0, 1), 7],
  ["an unknown address", readRequest, Buffer.of(5, 1, 0, 2), 8],
  ["a request of version 4", readRequest, Buffer.of(4, 1, 0, 80), undefined],
  ["a greeting of version 4", readGreeting, Buffer.of(4), undefined],
  ["credentials of version 5", readCredentials, Buffer.of(5), undefined],
] as const) {
  test(`refuses ${what}, as soon as that is clear`, () => {
    assert.throws(
      () => read(bytes),
      (error) => error instanceof SocksError && error.reply === reply,
    );
  });
}

test("however the bytes are cut, nothing is read before it is whole, and nothing else then", () => {
  const readers: readonly ((bytes: Buffer) => Read<unknown> | undefined)[] = [
    readGreeting,
    readCredentials,
    readRequest,
  ];
  const first = [5, 1, 5] as const;
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 }), fc.uint8Array({ maxLength: 300 }), (which, tail) => {
      const bytes = Buffer.from([first[which] as number, ...tail]);
      const read = readers[which] as (typeof readers)[number];
      const outcome = (part: Buffer): unknown => {
        try {
          return read(part);
        } catch (error) {
          assert.ok(error instanceof SocksError);
          return error.message;
        }
      };
      const whole = outcome(bytes);
      for (let length = 1; length < bytes.length; length++) {
        const part = outcome(bytes.subarray(0, length));
        if (part !== undefined) assert.deepEqual(part, whole);
      }
    }),
    { numRuns: 60 },
  );
});
