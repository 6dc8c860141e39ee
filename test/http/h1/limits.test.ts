import assert from "node:assert/strict";
import { test } from "node:test";
import { defaultH1Limits } from "../../../src/http/h1/limits.ts";
import { RequestParser } from "../../../src/http/h1/parser.ts";
import { feedRequests, feedResponses, lines } from "./recorder.ts";

const limits = { maxStartLine: 40, maxHeaderBytes: 60, maxHeaderCount: 4, maxChunkHeader: 10 };
/** In one piece, byte by byte, and in pieces that end elsewhere. */
const waysToCut = [undefined, [1], [7]];

function requestLine(length: number): string {
  return `GET /${"a".repeat(length - "GET / HTTP/1.1".length)} HTTP/1.1`;
}

/** Field lines of so many bytes, CRLF included. */
function fields(length: number): string {
  return `Host: ${"h".repeat(length - "Host: \r\n".length)}\r\n`;
}

for (const cuts of waysToCut) {
  const how = cuts === undefined ? "in one piece" : `in pieces of ${cuts}`;

  test(`I12: takes a start line of the limit and refuses one byte more with 414, ${how}`, () => {
    const fitting = lines(requestLine(limits.maxStartLine), "Host: h", "");
    assert.equal(feedRequests(fitting, { limits, cuts }).refusal, undefined);
    const longer = lines(requestLine(limits.maxStartLine + 1), "Host: h", "");
    const expected = {
      status: 414,
      reason: "uri_too_long",
      message: "the start line is longer than 40 bytes",
    };
    assert.deepEqual(feedRequests(longer, { limits, cuts }).refusal, expected);
  });

  test(`I12: takes field lines of the limit and refuses one byte more with 431, ${how}`, () => {
    const start = "GET / HTTP/1.1\r\n";
    const fitting = Buffer.from(`${start}${fields(limits.maxHeaderBytes)}\r\n`);
    assert.equal(feedRequests(fitting, { limits, cuts }).refusal, undefined);
    const longer = Buffer.from(`${start}${fields(limits.maxHeaderBytes + 1)}\r\n`);
    const message = "the field lines are longer than 60 bytes";
    const expected = { status: 431, reason: "headers_too_large", message };
    assert.deepEqual(feedRequests(longer, { limits, cuts }).refusal, expected);
  });

  test(`I12: takes as many fields as the limit and refuses one more with 431, ${how}`, () => {
    const fitting = lines("GET / HTTP/1.1", "Host: h", "a:", "b:", "c:", "");
    assert.equal(feedRequests(fitting, { limits, cuts }).refusal, undefined);
    const more = lines("GET / HTTP/1.1", "Host: h", "a:", "b:", "c:", "d:", "");
    const expected = { status: 431, reason: "headers_too_large", message: "more than 4 field lines" };
    assert.deepEqual(feedRequests(more, { limits, cuts }).refusal, expected);
  });

  test(`I12: takes a chunk header of the limit and refuses one byte more with 400, ${how}`, () => {
    const head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    const fitting = Buffer.from(`${head}1;a=345678\r\nx\r\n0;a=345678\r\n\r\n`);
    assert.equal(feedRequests(fitting, { limits, cuts }).refusal, undefined);
    const longer = Buffer.from(`${head}1;a=3456789\r\nx\r\n0\r\n\r\n`);
    const message = "chunked body: the chunk header is longer than 10 bytes";
    const expected = { status: 400, reason: "malformed_request", message };
    assert.deepEqual(feedRequests(longer, { limits, cuts }).refusal, expected);
  });

  test(`I12: counts trailers anew, with the same limits, ${how}`, () => {
    const head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n";
    const fitting = Buffer.from(`${head}0\r\n${fields(limits.maxHeaderBytes).replace("Host", "Hose")}\r\n`);
    assert.equal(feedRequests(fitting, { limits, cuts }).refusal, undefined);
    const longer = Buffer.from(
      `${head}0\r\n${fields(limits.maxHeaderBytes + 1).replace("Host", "Hose")}\r\n`,
    );
    assert.equal(feedRequests(longer, { limits, cuts }).refusal?.status, 431);
    const more = Buffer.from(`${head}0\r\na:\r\nb:\r\nc:\r\nd:\r\ne:\r\n\r\n`);
    assert.equal(feedRequests(more, { limits, cuts }).refusal?.status, 431);
  });

  test(`I12: a response over a limit is an invalid response, ${how}`, () => {
    const inputs = [
      lines(`HTTP/1.1 200 ${"a".repeat(28)}`, ""),
      lines("HTTP/1.1 200 OK", `A: ${"b".repeat(60)}`, ""),
      lines("HTTP/1.1 200 OK", "a:", "b:", "c:", "d:", "e:", ""),
    ];
    for (const input of inputs) {
      const { refusal } = feedResponses(input, ["GET"], { limits, cuts });
      assert.equal(refusal?.status, 502);
      assert.equal(refusal?.reason, "upstream_response_invalid");
    }
  });
}

test("I12: limits hold while a line is still arriving, not only at its end", () => {
  const line = Buffer.from(`GET /${"a".repeat(limits.maxStartLine)}`);
  assert.equal(feedRequests(line, { limits, closes: false }).refusal?.status, 414);
  const value = Buffer.from(`GET / HTTP/1.1\r\nA: ${"b".repeat(limits.maxHeaderBytes)}`);
  assert.equal(feedRequests(value, { limits, closes: false }).refusal?.status, 431);
  const name = Buffer.from(`GET / HTTP/1.1\r\n${"n".repeat(limits.maxHeaderBytes + 3)}`);
  assert.equal(feedRequests(name, { limits, closes: false }).refusal?.status, 431);
});

test("attack 22: a head that arrives byte by byte costs no more than its length", () => {
  const timeOf = (bytes: number): number => {
    const head = Buffer.from(`GET / HTTP/1.1\r\nHost: h\r\nA: ${"b".repeat(bytes)}\r\n\r\n`);
    const parser = new RequestParser(
      { ...defaultH1Limits, maxHeaderBytes: head.length },
      { onHead() {}, onBody() {}, onEnd() {} },
    );
    const pieces = Array.from(head, (_, index) => head.subarray(index, index + 1));
    // Processor time: others may be busy on this machine.
    const before = process.cpuUsage();
    for (const piece of pieces) parser.execute(piece);
    const { user, system } = process.cpuUsage(before);
    return user + system;
  };
  timeOf(20_000);
  const least = (bytes: number): number => Math.min(timeOf(bytes), timeOf(bytes), timeOf(bytes));
  // 8 times the bytes are 64 times the work where a chunk makes the parser start over.
  const ratio = least(160_000) / least(20_000);
  assert.ok(ratio < 30, `8 times the bytes took ${ratio.toFixed(1)} times as long`);
});
