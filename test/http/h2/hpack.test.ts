import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { HpackDecoder } from "../../../src/http/h2/hpack/decoder.ts";
import { HpackEncoder } from "../../../src/http/h2/hpack/encoder.ts";
import { HpackError } from "../../../src/http/h2/hpack/error.ts";

type Fields = (readonly [name: string, value: string])[];

function decode(decoder: HpackDecoder, block: Buffer): Fields {
  const fields: Fields = [];
  decoder.decode(block, ({ name, value }) => fields.push([name, value]));
  return fields;
}

function encode(encoder: HpackEncoder, fields: Fields, sensitive = false): Buffer {
  encoder.begin(9);
  for (const [name, value] of fields) encoder.field(name, value, sensitive);
  return encoder.end().subarray(9);
}

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");

const request: Fields = [
  [":method", "GET"],
  [":scheme", "http"],
  [":path", "/"],
  [":authority", "www.example.com"],
];
const third: Fields = [
  [":method", "GET"],
  [":scheme", "https"],
  [":path", "/index.html"],
  [":authority", "www.example.com"],
  ["custom-key", "custom-value"],
];
const dates = ["Mon, 21 Oct 2013 20:13:21 GMT", "Mon, 21 Oct 2013 20:13:22 GMT"] as const;
const response = (status: string, date: string): Fields => [
  [":status", status],
  ["cache-control", "private"],
  ["date", date],
  ["location", "https://www.example.com"],
];
const last: Fields = [
  ...response("200", dates[1]),
  ["content-encoding", "gzip"],
  ["set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"],
];

/** RFC 7541 appendix C: each series is one connection. */
const series: readonly (readonly [
  name: string,
  tableSize: number,
  blocks: readonly (readonly [string, Fields])[],
])[] = [
  [
    "C.2.1 a literal with indexing",
    4096,
    [["400a637573746f6d2d6b65790d637573746f6d2d686561646572", [["custom-key", "custom-header"]]]],
  ],
  ["C.2.2 a literal without indexing", 4096, [["040c2f73616d706c652f70617468", [[":path", "/sample/path"]]]]],
  ["C.2.3 a literal never indexed", 4096, [["100870617373776f726406736563726574", [["password", "secret"]]]]],
  ["C.2.4 an indexed field", 4096, [["82", [[":method", "GET"]]]]],
  [
    "C.3 requests without Huffman coding",
    4096,
    [
      ["828684410f7777772e6578616d706c652e636f6d", request],
      ["828684be58086e6f2d6361636865", [...request, ["cache-control", "no-cache"]]],
      ["828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565", third],
    ],
  ],
  [
    "C.4 requests with Huffman coding",
    4096,
    [
      ["828684418cf1e3c2e5f23a6ba0ab90f4ff", request],
      ["828684be5886a8eb10649cbf", [...request, ["cache-control", "no-cache"]]],
      ["828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf", third],
    ],
  ],
  [
    "C.5 responses without Huffman coding, with eviction",
    256,
    [
      [
        "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54" +
          "6e1768747470733a2f2f7777772e6578616d706c652e636f6d",
        response("302", dates[0]),
      ],
      ["4803333037c1c0bf", response("307", dates[0])],
      [
        "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a" +
          "4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31",
        last,
      ],
    ],
  ],
  [
    "C.6 responses with Huffman coding, with eviction",
    256,
    [
      [
        "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
        response("302", dates[0]),
      ],
      ["4883640effc1c0bf", response("307", dates[0])],
      [
        "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af" +
          "27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
        last,
      ],
    ],
  ],
];

for (const [name, tableSize, blocks] of series) {
  test(`RFC 7541 ${name}`, () => {
    const decoder = new HpackDecoder(tableSize);
    for (const [block, fields] of blocks) assert.deepEqual(decode(decoder, hex(block)), fields);
  });
}

const broken: readonly (readonly [what: string, block: string])[] = [
  ["index 0", "80"],
  ["an index behind the static table when the dynamic one is empty", "be"],
  ["an index far behind both", "ff8001"],
  ["a name index that no table has", "7f8001 0161"],
  ["an integer without end", "ffffffffff"],
  ["an integer over any size", "ffffffffffffffff0f"],
  ["an integer that stops", "ff80"],
  ["a string that stops", "400a6375"],
  ["a name without value", "400161"],
  ["nothing where a string begins", "40"],
  ["a table size over what was allowed", "3fe21f"],
  ["a table size behind a field", "8220"],
  ["Huffman padding of zeros", "408118 0161"],
  ["Huffman padding of a whole byte", "4082ffff 0161"],
  ["EOS inside a string", "4084ffffffff 0161"],
];

for (const [what, block] of broken) {
  test(`refuses ${what}`, () => {
    assert.throws(() => decode(new HpackDecoder(4096), hex(block)), HpackError);
  });
}

test("an entry that is larger than the table empties it", () => {
  const decoder = new HpackDecoder(64);
  assert.deepEqual(decode(decoder, hex("4001610162")), [["a", "b"]]);
  const large = Buffer.concat([hex("40016140"), Buffer.alloc(64, "x")]);
  decode(decoder, large);
  assert.throws(() => decode(decoder, hex("be")), HpackError);
});

test("a table size of 0 and back empties the table, and both are taken in one block", () => {
  const decoder = new HpackDecoder(4096);
  decode(decoder, hex("4001610162"));
  assert.deepEqual(decode(decoder, hex("203fe11f82")), [[":method", "GET"]]);
  assert.throws(() => decode(decoder, hex("be")), HpackError);
});

const name = fc.constantFrom(
  ":path",
  "accept",
  "authorization",
  "x-a",
  "x-b",
  "cookie",
  "content-length",
  "x-long",
);
const value = fc.oneof(
  fc.constantFrom("", "1", "GET", "a=b"),
  fc.stringMatching(/^[\x20-\x7e\x80-\xff]{0,40}$/),
  fc.nat(3000).map((length) => "v".repeat(length)),
);
const message = fc.array(fc.tuple(name, value), { maxLength: 20 });

test("what is encoded is decoded, in order, whatever table sizes the peer allows in between", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(message, fc.option(fc.constantFrom(0, 40, 100, 4096, 65_536)))),
      (messages) => {
        const encoder = new HpackEncoder();
        const decoder = new HpackDecoder(4096);
        for (const [fields, size] of messages) {
          if (size !== null) encoder.setTableSize(size);
          assert.deepEqual(decode(decoder, encode(encoder, fields)), fields);
        }
      },
    ),
    { numRuns: 200 },
  );
});

test("I14: a credential is never indexed, on this connection or behind it", () => {
  const encoder = new HpackEncoder();
  for (const [field, sensitive] of [
    ["authorization", false],
    ["cookie", false],
    ["x-own-key", true],
  ] as const) {
    const fields: Fields = [[field, "Bearer secret"]];
    encode(encoder, fields, sensitive);
    const again = encode(encoder, fields, sensitive);
    assert.equal((again[0] as number) & 0xf0, 0x10, `${field} is a literal that is never indexed`);
    assert.ok(again.includes("Bearer secret"));
  }
});

test("what repeats takes a byte from the second time on", () => {
  const encoder = new HpackEncoder();
  const fields: Fields = [
    ["user-agent", "agent/1.0"],
    ["x-team", "red"],
  ];
  encode(encoder, fields);
  assert.equal(encode(encoder, fields).length, 2);
});
