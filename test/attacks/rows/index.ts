// Every row of docs/threats.md, in order.
import type { Attack } from "../attack.ts";
import { credentialAttacks } from "./credentials.ts";
import { echoAttacks } from "./echoes.ts";
import { http1 } from "./http1.ts";
import { http2 } from "./http2.ts";
import { names } from "./names.ts";
import { operation } from "./operation.ts";
import { inTunnels } from "./tunnels.ts";
import { upgrades } from "./upgrades.ts";

export const attacks: readonly Attack[] = [
  ...names,
  ...inTunnels,
  ...http1,
  ...http2,
  ...upgrades,
  ...echoAttacks,
  ...credentialAttacks,
  ...operation,
].sort((a, b) => a.number - b.number);
