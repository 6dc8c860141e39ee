import assert from "node:assert/strict";
import { feedResponses } from "../../http/h1/recorder.ts";
import { rewriteResponse } from "../../http/h1/rewrite.ts";
import { anyResponse } from "../http1.ts";
import { readResponse } from "../http1-grammar.ts";
import type { Random } from "../random.ts";

export const name = "h1-response";

/** A response is accepted exactly when the grammar accepts it, read alike, and written back alike. */
export function run(random: Random): void {
  const { method, input } = anyResponse(random);
  random.keep(input);
  const expected = readResponse(input.toString("latin1"), method);
  const last = feedResponses(input, [method]).messages.at(-1);
  const read = last?.trailers === undefined ? undefined : last;
  assert.equal(
    read !== undefined,
    expected !== undefined,
    `${method}: accepted by one of parser and grammar only`,
  );
  if (read === undefined || expected === undefined) return;
  assert.deepEqual([String(read.head.status), read.head.reason], expected.start);
  assert.deepEqual(read.head.headers, expected.headers);
  assert.equal(read.body, expected.body);
  assert.deepEqual(read.trailers === "none" ? [] : read.trailers, expected.trailers);
  rewriteResponse(read, method);
}
