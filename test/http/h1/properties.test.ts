import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { defaultH1Limits } from "../../../src/http/h1/limits.ts";
import { RequestParser, ResponseParser } from "../../../src/http/h1/parser.ts";
import { requestHeadText } from "../../../src/http/h1/write.ts";
import { H1Error } from "../../../src/http/h1/errors.ts";
import { Headers } from "../../../src/http/headers.ts";
import type { Framing } from "../../../src/http/message.ts";
import { feedRequests, feedResponses, type Message, type Pair } from "./recorder.ts";
import { rewriteRequest, rewriteResponse } from "./rewrite.ts";

const tokenCharacters = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
const oneOf = (characters: string): fc.Arbitrary<string> => fc.constantFrom(...characters.split(""));
const byteFrom = (from: number, to: number): fc.Arbitrary<string> =>
  fc.integer({ min: from, max: to }).map((byte) => String.fromCharCode(byte));

const token = fc.string({ unit: oneOf(tokenCharacters), minLength: 1, maxLength: 12 });
const target = fc.string({ unit: byteFrom(0x21, 0x7e), minLength: 1, maxLength: 30 });
const text = fc.string({
  unit: fc.oneof(byteFrom(0x20, 0x7e), byteFrom(0x80, 0xff), fc.constant("\t")),
  maxLength: 30,
});
const value = text.map((text) => text.replace(/^[ \t]+|[ \t]+$/g, ""));
const special = new Set(["host", "content-length", "transfer-encoding", "connection", "expect"]);
const field = fc.tuple(token, value).filter(([name]) => !special.has(name.toLowerCase()));
const fields: fc.Arbitrary<Pair[]> = fc.array(field, { maxLength: 8 });
const trailers = fields.map((list) =>
  list.filter(([name]) => !/^(?:te|trailer|upgrade|cookie|proxy-)/i.test(name)),
);
const body = fc.uint8Array({ maxLength: 50 }).map((bytes) => Buffer.from(bytes).toString("latin1"));
const framed = fc.record({ chunked: fc.boolean(), body, trailers });

function framingOf(chunked: boolean, body: string): { framing: Framing; field: Pair } {
  return chunked
    ? { framing: { kind: "chunked" }, field: ["Transfer-Encoding", "chunked"] }
    : { framing: { kind: "length", length: body.length }, field: ["Content-Length", String(body.length)] };
}

test("whatever request can be written is read back as it was", () => {
  const property = fc.property(
    token,
    target,
    fields,
    framed,
    (method, target, headers, { chunked, body, trailers }) => {
      fc.pre(method !== "CONNECT");
      const { framing, field } = framingOf(chunked, body);
      const message: Message<never> = {
        head: {},
        body,
        trailers: chunked ? trailers : "none",
      } as Message<never>;
      const head = { method, target, version: 11, headers: [["Host", "h"], ...headers, field], framing };
      rewriteRequest({ ...message, head } as unknown as Parameters<typeof rewriteRequest>[0]);
    },
  );
  fc.assert(property, { numRuns: 500 });
});

test("whatever response can be written is read back as it was", () => {
  const status = fc.integer({ min: 200, max: 599 }).filter((status) => status !== 204 && status !== 304);
  const property = fc.property(
    status,
    text,
    fields,
    framed,
    (status, reason, headers, { chunked, body, trailers }) => {
      const { framing, field } = framingOf(chunked, body);
      const head = { status, reason, version: 11, headers: [...headers, field], framing };
      const message = { head, body, trailers: chunked ? trailers : "none" };
      rewriteResponse(message as unknown as Parameters<typeof rewriteResponse>[0], "GET");
    },
  );
  fc.assert(property, { numRuns: 500 });
});

test("I9 attack 33: what can be written is one message, whatever strings it is made of", () => {
  const anything = fc.string({ unit: "binary", maxLength: 20 });
  const nasty = fc.oneof(
    anything,
    fc.constantFrom("\r\n\r\nGET / HTTP/1.1", "a\r\nContent-Length: 5", "\u010d\u010a"),
  );
  const pair = fc
    .tuple(fc.oneof(token, nasty), fc.oneof(value, nasty))
    .filter(([name]) => !/^host$/i.test(name));
  const property = fc.property(
    token,
    fc.oneof(target, nasty),
    fc.array(pair, { maxLength: 4 }),
    (method, target, pairs) => {
      let written: string;
      try {
        written = requestHeadText(method, target, Headers.of([["Host", "h"], ...pairs]), { kind: "none" });
      } catch (error) {
        assert.ok(error instanceof TypeError);
        return;
      }
      const { messages, rest, refusal } = feedRequests(Buffer.from(written, "latin1"));
      assert.equal(refusal, undefined);
      assert.equal(rest, "");
      assert.equal(messages.length, 1);
      assert.equal(messages[0]?.head.size, written.length);
    },
  );
  fc.assert(property, { numRuns: 500 });
});

test("bytes of any kind are read or refused with an H1Error, and never consumed twice", () => {
  const nothing = { onHead() {}, onBody() {}, onEnd() {} };
  const property = fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
    const chunk = Buffer.from(bytes);
    const response = new ResponseParser(defaultH1Limits, nothing);
    response.expect("GET");
    for (const parser of [new RequestParser(defaultH1Limits, nothing), response]) {
      try {
        const consumed = parser.execute(chunk);
        assert.ok(consumed >= 0 && consumed <= chunk.length);
      } catch (error) {
        assert.ok(error instanceof H1Error);
      }
    }
    feedRequests(chunk);
    feedResponses(chunk);
  });
  fc.assert(property, { numRuns: 500 });
});
