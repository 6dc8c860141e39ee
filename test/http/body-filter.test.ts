import assert from "node:assert/strict";
import { test } from "node:test";
import { BodyFilter } from "../../src/http/body-filter.ts";
import type { BodySink, BodySource } from "../../src/http/body.ts";
import { Headers } from "../../src/http/headers.ts";

/** Writes in capitals; `!` is wrong, and `.` is the end of it. */
class Louder extends BodyFilter {
  released = 0;

  protected override take(bytes: Uint8Array): void {
    const text = Buffer.from(bytes).toString();
    if (text === "!") this.fail(new Error("wrong"));
    else if (text === ".") this.finish(undefined);
    else for (const letter of text.toUpperCase()) this.send(Buffer.from(letter));
  }

  protected override release(): void {
    this.released++;
  }
}

/** A filter between a source and a reader that write down what happens to them. */
function setUp(room: () => boolean = () => true): {
  filter: Louder;
  log: string[];
} {
  const log: string[] = [];
  const source: BodySource = {
    length: 7,
    start: () => void log.push("start"),
    resume: () => void log.push("resume"),
    cancel: () => void log.push("cancel"),
  };
  const sink: BodySink = {
    write(bytes) {
      log.push(Buffer.from(bytes).toString());
      return room();
    },
    end: (trailers) => void log.push(`end ${trailers?.get("x") ?? "-"}`),
    abort: (error) => void log.push(`abort ${error.message}`),
  };
  const filter = new Louder(source);
  filter.start(sink);
  return { filter, log };
}

const bytes = (text: string): Buffer => Buffer.from(text);

test("bytes, trailers and the announced length go through", () => {
  const { filter, log } = setUp();
  assert.equal(filter.length, 7);
  assert.equal(filter.write(bytes("ab")), true);
  filter.end(Headers.of([["x", "1"]]));
  assert.deepEqual(log, ["start", "A", "B", "end 1"]);
  assert.equal(filter.released, 1);
});

test("a reader without room holds the source back until it asks for more, whatever it takes on the way", () => {
  const room = [false, true, true];
  const { filter, log } = setUp(() => room.shift() ?? true);
  assert.equal(filter.write(bytes("ab")), false, "the second piece does not undo the first");
  filter.resume();
  assert.equal(filter.write(bytes("c")), true);
  assert.deepEqual(log, ["start", "A", "B", "resume", "C"]);
});

test("nothing comes behind the end", () => {
  const endings: readonly [name: string, end: (filter: Louder) => void, seen: readonly string[]][] = [
    ["end", (filter) => filter.end(undefined), ["end -"]],
    ["failure of the source", (filter) => filter.abort(new Error("cut")), ["abort cut"]],
    ["failure of the filter", (filter) => void filter.write(bytes("!")), ["cancel", "abort wrong"]],
    ["an end before the source's", (filter) => void filter.write(bytes(".")), ["cancel", "end -"]],
    ["nobody reads on", (filter) => filter.cancel(), ["cancel"]],
  ];
  for (const [name, end, seen] of endings) {
    const { filter, log } = setUp();
    end(filter);
    assert.equal(filter.write(bytes("late")), false, name);
    filter.end(undefined);
    filter.abort(new Error("late"));
    assert.deepEqual(log, ["start", ...seen], name);
    assert.equal(filter.released, 1, name);
  }
});
