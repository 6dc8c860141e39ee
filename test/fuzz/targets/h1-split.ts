import assert from "node:assert/strict";
import { feedRequests, feedResponses } from "../../http/h1/recorder.ts";
import { anyCuts, anyRequests, anyResponse } from "../http1.ts";
import type { Random } from "../random.ts";

export const name = "h1-split";

/** However the bytes are cut, the parser tells the same, and refuses the same for the same reason. */
export function run(random: Random): void {
  const cuts = anyCuts(random);
  if (random.once(2)) {
    const input = random.keep(anyRequests(random));
    assert.deepEqual(feedRequests(input, { cuts }), feedRequests(input));
  } else {
    const { method, input } = anyResponse(random);
    random.keep(input);
    assert.deepEqual(feedResponses(input, [method], { cuts }), feedResponses(input, [method]));
  }
}
