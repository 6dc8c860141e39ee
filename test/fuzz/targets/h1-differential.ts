import { compareRequests, compareResponse } from "../../http/h1/differential.ts";
import { anyRequests, anyResponse } from "../http1.ts";
import type { Random } from "../random.ts";

export const name = "h1-differential";

/** Whatever is accepted here, node's own parser reads as the same message. */
export async function run(random: Random): Promise<void> {
  if (random.once(2)) {
    await compareRequests(random.keep(anyRequests(random)));
  } else {
    const { method, input } = anyResponse(random);
    await compareResponse(random.keep(input), method);
  }
}
