import assert from "node:assert/strict";
import { test } from "node:test";
import { requestFixtures, responseFixtures } from "./fixtures.ts";
import { type Cuts, feedRequests, feedResponses } from "./recorder.ts";

/** Byte by byte, and in two at every position. */
function* waysToCut(length: number): Generator<Cuts> {
  yield [1];
  for (let position = 1; position < length; position++) yield [position, length - position];
}

for (const [name, input] of Object.entries(requestFixtures)) {
  test(`I9 attack 22: a request parses alike however it is cut: ${name}`, () => {
    const whole = feedRequests(input);
    assert.equal(whole.refusal, undefined);
    assert.ok(whole.messages.every((message) => message.trailers !== undefined));
    for (const cuts of waysToCut(input.length))
      assert.deepEqual(feedRequests(input, { cuts }), whole, `cut ${cuts}`);
  });
}

for (const [name, { methods, input }] of Object.entries(responseFixtures)) {
  test(`I9 attack 22: a response parses alike however it is cut: ${name}`, () => {
    const whole = feedResponses(input, methods);
    assert.equal(whole.refusal, undefined);
    for (const cuts of waysToCut(input.length)) {
      assert.deepEqual(feedResponses(input, methods, { cuts }), whole, `cut ${cuts}`);
    }
  });
}
