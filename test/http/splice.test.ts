// Two channels joined: pace, ends, cuts and silence, without sockets.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { BodySink } from "../../src/http/body.ts";
import type { Channel } from "../../src/http/channel.ts";
import { Deadlines } from "../../src/http/h1/deadlines.ts";
import { splice, type SpliceEnd } from "../../src/http/splice.ts";
import { pause } from "../e2e/harness/wait.ts";

class Side implements Channel {
  onDrain: (() => void) | undefined;
  /** What this side was told, in order. */
  readonly told: string[] = [];
  ready = true;
  to: BodySink | undefined;
  readonly sink: BodySink = {
    write: (bytes) => {
      this.told.push(Buffer.from(bytes).toString());
      return this.ready;
    },
    end: () => void this.told.push("(end)"),
    abort: () => void this.told.push("(cut)"),
  };
  readonly source = {
    length: undefined,
    start: (sink: BodySink) => {
      this.to = sink;
    },
    resume: () => void this.told.push("(resume)"),
    cancel: () => void this.told.push("(cancel)"),
  };

  say(text: string): boolean {
    return this.to?.write(Buffer.from(text)) === true;
  }
}

function joined(idleMs = 60_000): { client: Side; upstream: Side; ends: SpliceEnd[] } {
  const client = new Side();
  const upstream = new Side();
  const ends: SpliceEnd[] = [];
  splice(client, upstream, { deadlines: new Deadlines(), idleMs, onEnd: (end) => void ends.push(end) });
  return { client, upstream, ends };
}

test("passes bytes both ways, ends each direction by itself, and counts", () => {
  const { client, upstream, ends } = joined();
  assert.equal(client.say("up"), true);
  upstream.say("down!");
  client.to?.end(undefined);
  assert.deepEqual(ends, [], "the other direction goes on");
  upstream.say("more");
  upstream.to?.end(undefined);
  assert.deepEqual(upstream.told, ["up", "(end)"]);
  assert.deepEqual(client.told, ["down!", "more", "(end)"]);
  assert.deepEqual(ends, [{ outcome: "closed", fromClient: 2, fromUpstream: 9 }]);
});

test("I12: a reader that is behind holds its writer back", () => {
  const { client, upstream } = joined();
  upstream.ready = false;
  assert.equal(client.say("much"), false);
  assert.deepEqual(client.told, []);
  upstream.onDrain?.();
  assert.deepEqual(client.told, ["(resume)"]);
});

for (const [who, outcome] of [
  ["client", "client_cut"],
  ["upstream", "upstream_cut"],
] as const) {
  test(`a ${who} that is cut cuts the other, once, also after one direction has ended`, () => {
    for (const before of ["nothing", "an end"]) {
      const { client, upstream, ends } = joined();
      const [cut, other] = who === "client" ? [client, upstream] : [upstream, client];
      if (before === "an end") cut.to?.end(undefined);
      cut.to?.abort(new Error("gone"));
      cut.to?.abort(new Error("gone"));
      other.to?.abort(new Error("gone"));
      assert.equal(other.told.at(-1), "(cut)");
      assert.deepEqual(
        ends.map((end) => end.outcome),
        [outcome],
        before,
      );
    }
  });
}

test("I12: silence cuts both; a byte of either side is none", async () => {
  const { client, upstream, ends } = joined(600);
  await pause(400);
  upstream.say(".");
  await pause(400);
  assert.deepEqual(ends, []);
  await pause(700);
  assert.deepEqual(ends, [{ outcome: "idle", fromClient: 0, fromUpstream: 1 }]);
  assert.deepEqual([client.told.at(-1), upstream.told.at(-1)], ["(cut)", "(cut)"]);
});
