import assert from "node:assert/strict";
import { feedRequests } from "../../http/h1/recorder.ts";
import { rewriteRequest } from "../../http/h1/rewrite.ts";
import { anyRequests } from "../http1.ts";
import { readRequest } from "../http1-grammar.ts";
import type { Random } from "../random.ts";

export const name = "h1-request";

/** The first request is accepted exactly when the grammar accepts it, read alike, and written back alike. */
export function run(random: Random): void {
  const input = random.keep(anyRequests(random));
  const expected = readRequest(input.toString("latin1"));
  const first = feedRequests(input).messages[0];
  const read = first?.trailers === undefined ? undefined : first;
  assert.equal(read !== undefined, expected !== undefined, "accepted by one of parser and grammar only");
  if (read === undefined || expected === undefined) return;
  assert.deepEqual([read.head.method, read.head.target], expected.start);
  assert.deepEqual(read.head.headers, expected.headers);
  assert.equal(read.body, expected.body);
  assert.deepEqual(read.trailers === "none" ? [] : read.trailers, expected.trailers);
  rewriteRequest(read);
}
