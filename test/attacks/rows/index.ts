// Every row of docs/threats.md, in order.
import type { Attack } from "../attack.ts";
import { http1 } from "./http1.ts";
import { http2 } from "./http2.ts";
import { names } from "./names.ts";
import { inTunnels } from "./tunnels.ts";

export const attacks: readonly Attack[] = [...names, ...inTunnels, ...http1, ...http2].sort(
  (a, b) => a.number - b.number,
);
