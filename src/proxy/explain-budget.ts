import type { Host } from "../http/authority.ts";

/** Names remembered as explained; beyond it the memory starts anew. */
const maxNames = 1024;

/**
 * How many leaves may be made for refused names, only to tell the workload why (I8): a number of new names a
 * second. Without it a workload could keep the CA signing by inventing names (attack 60).
 */
export function explainBudget(perSecond: number, now: () => number = () => performance.now()) {
  const explained = new Set<string>();
  let left = perSecond;
  let since = now();
  return (host: Host): boolean => {
    if (perSecond === 0) return false;
    if (explained.has(host.name)) return true;
    const time = now();
    left = Math.min(perSecond, left + ((time - since) / 1000) * perSecond);
    since = time;
    if (left < 1) return false;
    left -= 1;
    if (explained.size >= maxNames) explained.clear();
    explained.add(host.name);
    return true;
  };
}
