// What every scene of the soak works with: connections that are in the books, exchanges with ids, and the weather.
import { type Client, openRaw, startTls, type TlsChoices, type Way } from "../harness/client.ts";
import type { Address } from "../harness/sallyport.ts";
import { pause, within } from "../harness/wait.ts";
import type { World } from "../harness/world.ts";
import type { Books } from "./books.ts";
import type { Upstreams } from "./upstreams.ts";

/** The ways in of the harness, and a tunnel by SOCKS5. */
export type SoakWay = Way | "socks5";

export interface Stage {
  readonly world: World;
  readonly upstreams: Upstreams;
  /** `ip:port` of the proxy's DNS server. */
  readonly dns: string;
  readonly books: Books;
  readonly weather: Weather;
  /** Exchanges of each kind. */
  readonly counts: Record<string, number>;
  random(): number;
}

/** One thing a workload does, from its connection on. */
export interface Scene {
  readonly name: string;
  /** How often, compared with the others. */
  readonly weight: number;
  play(stage: Stage): Promise<void>;
}

/** Whether faults that can hit every exchange are going on. */
export class Weather {
  #rough = 0;
  #calmSince = Number.NEGATIVE_INFINITY;

  /** A fault that was over at once. */
  blow(): void {
    this.#calmSince = performance.now();
  }

  async during(fault: () => Promise<void>): Promise<void> {
    this.#rough++;
    try {
      await fault();
    } finally {
      this.#rough--;
      this.#calmSince = performance.now();
    }
  }

  /** Whether it was rough at some time since then, up to a second after it became calm. */
  roughSince(time: number): boolean {
    return this.#rough > 0 || this.#calmSince + 1000 >= time;
  }
}

/** An exchange or a connection met a fault that may hit any: its scene is over. */
export class Weathered extends Error {}

/**
 * Makes one exchange and enters it.
 * @param on the connection, unless a library keeps that to itself
 * @param options `named` false where its record has no path; `slackMs` for what suffers from a fault after its end
 * @throws {Weathered} where it failed and a fault was going on; what it failed with, where none was
 */
export async function exchange<Value>(
  stage: Stage,
  kind: string,
  on: Client | undefined,
  act: (id: string) => Promise<Value>,
  { named = true, slackMs = 0 } = {},
): Promise<Value> {
  const { books, weather, counts } = stage;
  const id = books.next();
  const began = performance.now();
  try {
    const value = await act(id);
    books.sure(kind, id, on?.remote, named);
    counts[kind] = (counts[kind] ?? 0) + 1;
    return value;
  } catch (error) {
    books.unsure(kind, id, on?.remote);
    // A fault may only show after its damage.
    for (let waited = 0; waited < 10; waited++) {
      if (weather.roughSince(began - slackMs)) throw new Weathered();
      await pause(100);
    }
    throw new Error(`${kind}, ${on?.remote ?? ""} ${id}: ${(error as Error).message}`, { cause: error });
  }
}

/** A connection ready for requests, in the books with its tunnel. `absolute` leads to the plain upstream. */
export async function open(
  stage: Stage,
  way: SoakWay,
  authority: string,
  choices?: TlsChoices,
): Promise<Client> {
  const { world, books, weather } = stage;
  const began = performance.now();
  try {
    if (way === "absolute") {
      const client = await world.absolute(authority);
      books.connection(client.remote, 0);
      return client;
    }
    const isTunnel = way !== "redirected";
    const client = isTunnel
      ? await startTls(world.context, await tunnel(stage, way, authority), choices)
      : await world.redirected(authority, choices);
    books.connection(client.remote, isTunnel ? 1 : 0);
    return client;
  } catch (error) {
    if (!weather.roughSince(began)) {
      throw new Error(`opening ${way} to ${authority}: ${(error as Error).message}`, { cause: error });
    }
    books.failed();
    throw new Weathered();
  }
}

/** A tunnel, nothing inside it yet, and not in the books. */
export async function tunnel(
  { world }: Stage,
  way: "connect" | "socks5",
  authority: string,
): Promise<Client> {
  if (way === "connect") return world.tunnel(authority);
  const client = await openRaw(world.context, world.proxy.addresses.tunnel as Address, authority);
  const [host = "", port = ""] = authority.split(":");
  client.send(Buffer.of(5, 1, 0));
  const greeting = await within("a SOCKS greeting", client.reader.take(2));
  client.send(
    Buffer.concat([
      Buffer.of(5, 1, 0, 3, host.length),
      Buffer.from(host),
      Buffer.of(Number(port) >> 8, Number(port) & 255),
    ]),
  );
  const reply = await within("a SOCKS reply", client.reader.take(10));
  if (greeting[1] !== 0 || reply[1] !== 0) throw new Error(`SOCKS ${greeting[1]} ${reply[1]}`);
  return client;
}

/** One of these, by the stage's dice. */
export function oneOf<Value>(stage: Pick<Stage, "random">, values: readonly Value[]): Value {
  return values[Math.floor(stage.random() * values.length)] as Value;
}

/** One of these, the heavier the more often. */
export function pick<Value extends { readonly weight: number }>(
  random: () => number,
  values: readonly Value[],
): Value {
  let at = random() * values.reduce((total, { weight }) => total + weight, 0);
  for (const value of values) {
    at -= value.weight;
    if (at < 0) return value;
  }
  return values[0] as Value;
}

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
