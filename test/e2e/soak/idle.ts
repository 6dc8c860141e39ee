// What is left when nobody wants anything of the proxy any more.
import { eventually, pause } from "../harness/wait.ts";
import type { World } from "../harness/world.ts";
import { busyMs, descriptors } from "./process.ts";

/** Descriptors besides those of the start: a timer or an event more of the runtime. */
const descriptorTolerance = 4;
/** Processor time of an idle process in a second; a sweep of deadlines and a collector that tidies up. */
const idleMs = 60;
/** What the proxy may take to find out that all is over: an idle upstream connection, a silent DNS client. */
const settleMs = 30_000;

/** Of `/metrics`: what is open or waits, which has to be nothing, and what was lost. */
const gauges = [
  "sallyport_connections",
  'sallyport_upstream_connections{state="busy"}',
  'sallyport_upstream_connections{state="idle"}',
  'sallyport_upstream_connections{state="dialing"}',
  "sallyport_audit_queue_bytes",
  "sallyport_audit_lost_total",
  "sallyport_audit_failing",
];

/** The metrics by name and labels. */
export async function metricsOf(address: string): Promise<ReadonlyMap<string, number>> {
  const response = await fetch(`http://${address}/metrics`, { headers: { connection: "close" } });
  const values = new Map<string, number>();
  for (const line of (await response.text()).split("\n")) {
    const at = line.lastIndexOf(" ");
    if (at > 0 && !line.startsWith("#")) values.set(line.slice(0, at), Number(line.slice(at + 1)));
  }
  return values;
}

/**
 * Waits until nothing is open and nothing moves.
 * @param before descriptors at the start
 * @throws {Error} saying what is left
 */
export async function expectIdle({ proxy }: World, metrics: string, before: number): Promise<void> {
  const { pid } = proxy;
  await eventually(
    `no more descriptors than ${before} and ${descriptorTolerance}`,
    () => descriptors(pid) <= before + descriptorTolerance,
    settleMs,
  ).catch((error: Error) => {
    throw new Error(`${error.message}: ${descriptors(pid)} are open`);
  });
  const until = performance.now() + settleMs;
  for (;;) {
    const values = await metricsOf(metrics);
    const left = gauges.filter((name) => values.get(name) !== 0);
    if (left.length === 0) break;
    if (performance.now() > until) {
      throw new Error(`when all is over: ${left.map((name) => `${name} is ${values.get(name)}`).join(", ")}`);
    }
    await pause(100);
  }
  let busy = idleMs + 1;
  for (let attempt = 0; attempt < 5 && busy > idleMs; attempt++) busy = await busyMs(pid);
  if (busy > idleMs) throw new Error(`an idle proxy used ${busy} ms of processor time in a second`);
}
