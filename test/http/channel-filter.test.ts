import assert from "node:assert/strict";
import { test } from "node:test";
import { ChannelFilter } from "../../src/http/channel-filter.ts";
import type { BodySink, BodySource } from "../../src/http/body.ts";

class Through extends ChannelFilter {
  protected override take(bytes: Uint8Array): void {
    this.send(bytes);
  }
}

const behind: readonly (readonly [
  what: string,
  before: (filter: Through) => void,
  seen: readonly string[],
])[] = [
  ["an end is told of", (filter) => filter.end(undefined), ["end", "cut"]],
  ["another is not", (filter) => filter.abort(new Error("first")), ["first"]],
  ["the loss of its reader is not", (filter) => filter.cancel(), []],
];

for (const [what, before, seen] of behind) {
  test(`a cut behind ${what}`, () => {
    const log: string[] = [];
    const source: BodySource = { length: undefined, start() {}, resume() {}, cancel() {} };
    const sink: BodySink = {
      write: () => true,
      end: () => void log.push("end"),
      abort: (error) => void log.push(error.message),
    };
    const filter = new Through(source);
    filter.start(sink);
    before(filter);
    filter.abort(new Error("cut"));
    assert.deepEqual(log, seen);
  });
}
