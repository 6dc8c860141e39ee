import assert from "node:assert/strict";
import { test } from "node:test";
import { CallerPlaces } from "../../src/findings/caller-places.ts";
import { KnownValues } from "../../src/findings/known-values.ts";
import type { Client } from "../../src/pipeline/types.ts";
import { Exposures } from "../../src/scrub/exposures.ts";
import type { Exposed } from "../../src/scrub/forms.ts";
import type { Memory } from "../../src/sources/commons.ts";
import { CapturedTokens } from "../../src/transforms/oauth-token/captured.ts";
import { type Learner, PrimaryCommons } from "../../src/workers/commons.ts";
import type { Lesson } from "../../src/workers/messages.ts";
import { RemoteCommons } from "../../src/workers/remote-commons.ts";

interface Linked extends Learner {
  readonly commons: RemoteCommons;
}

/** A first process with workers, all in this one; what passes between them is copied as a channel does. */
class Fleet {
  readonly workers = new Set<Linked>();
  readonly primary = new PrimaryCommons(() => this.workers);
  messages = 0;

  worker(): RemoteCommons {
    const waiting = new Map<number, () => void>();
    const hear = (lesson: Lesson, id: number) => {
      this.messages++;
      linked.commons.learn(structuredClone({ kind: "learnt", id, ...lesson }));
    };
    const linked: Linked = {
      commons: new RemoteCommons({
        learnt: structuredClone(this.primary.lessons()),
        sendErrand: (errand) => this.primary.run(structuredClone(errand)),
        send: (message) => {
          const { id } = message;
          if (message.kind === "known") {
            waiting.get(id)?.();
            return;
          }
          const known = id === 0 ? undefined : () => linked.commons.known({ kind: "known", id });
          const { name, item } = structuredClone(message);
          this.primary.learn({ name, item }, linked, known);
        },
      }),
      learn: (lesson) => hear(lesson, 0),
      learnt: (lesson) =>
        new Promise<void>((resolve) => {
          const id = waiting.size + 1;
          waiting.set(id, resolve);
          hear(lesson, id);
        }),
    };
    this.workers.add(linked);
    return linked.commons;
  }
}

/** The same memory in the first process and in two workers. */
function threeOf<Kind, Item>(
  make: () => Kind & Memory<Item>,
): { fleet: Fleet; memories: [Kind, Kind, Kind] } {
  const fleet = new Fleet();
  const first = make();
  fleet.primary.join("memory", first);
  return { fleet, memories: [first, joined(fleet, make()), joined(fleet, make())] };
}

/** The memory of one more worker. */
function joined<Kind, Item>(fleet: Fleet, memory: Kind & Memory<Item>): Kind {
  fleet.worker().join("memory", memory);
  return memory;
}

const exposed = (value: string, name = "KEY"): Exposed => ({
  value,
  name,
  replacement: `[redacted:${name}]`,
});
const finds = (exposures: Exposures, value: string) =>
  exposures.after("agent", "api.test", undefined)?.automaton.test(Buffer.from(`${value}!!!!`)) ?? false;

test("what one worker sends to a host is looked for in what another gets from there, and one that comes later", () => {
  const { fleet, memories } = threeOf(() => new Exposures());
  const [, one, other] = memories;
  one.after("agent", "api.test", [exposed("value-0001")]);
  assert.ok(finds(other, "value-0001"));
  assert.equal(other.after("other", "api.test", undefined), undefined, "of another caller");
  assert.equal(other.after("agent", "else.test", undefined), undefined, "at another host");
  assert.ok(finds(joined(fleet, new Exposures()), "value-0001"));
});

test("nothing is told of a value that goes out again, nor of one that is made for one exchange", () => {
  const { fleet, memories } = threeOf(() => new Exposures());
  const [, one, other] = memories;
  one.after("agent", "api.test", [exposed("value-0001")]);
  assert.equal(fleet.messages, 1);
  for (let count = 0; count < 10; count++) {
    one.after("agent", "api.test", [exposed("value-0001")]);
    other.after("agent", "api.test", [exposed("value-0001")]);
    one.after("agent", "api.test", [{ ...exposed("signature-0001"), once: true }]);
  }
  assert.equal(fleet.messages, 1);
});

test("a value that is replaced in one worker before the other has the new one is replaced in both", () => {
  let now = 0;
  const { fleet, memories } = threeOf(() => new Exposures(() => now));
  const [, one, other] = memories;
  for (const worker of [one, other]) worker.after("agent", "api.test", [exposed("value-0001")]);
  one.after("agent", "api.test", [exposed("value-0002")]);
  const { messages } = fleet;
  other.after("agent", "api.test", [exposed("value-0001")]);
  other.after("agent", "api.test", [exposed("value-0002")]);
  assert.equal(fleet.messages, messages, "the old one is not current again for that");
  assert.ok(finds(one, "value-0001") && finds(other, "value-0001"), "and is still looked for");
  const later = joined(fleet, new Exposures(() => now));
  assert.ok(finds(later, "value-0001") && finds(later, "value-0002"));
  now = 3_600_000;
  for (const worker of [one, other, later])
    assert.ok(!finds(worker, "value-0001") && finds(worker, "value-0002"));
});

test("a token that one worker was given to attach is a real value for all of them", () => {
  const { fleet, memories } = threeOf(() => new KnownValues());
  const [primary, one, other] = memories;
  one.learn(exposed("minted-token"));
  for (const process of [primary, other, joined(fleet, new KnownValues())])
    assert.deepEqual(
      process.values.map(({ value }) => value),
      ["minted-token"],
    );
  const { messages } = fleet;
  other.learn(exposed("minted-token"));
  assert.equal(fleet.messages, messages, "and nobody is told twice");
});

const endpoint = "idp.test:443/token";

test("the placeholder of a captured token is told, and known everywhere before it is used", async () => {
  const { fleet, memories } = threeOf(() => new CapturedTokens());
  const [, one, other] = memories;
  const placeholder = one.add({ caller: "agent", endpoint, value: "real" }, "access", 60);
  await one.share([placeholder], "agent");
  assert.equal(other.get(placeholder, "agent", endpoint)?.value, "real");
  assert.equal(other.get(placeholder, "another", endpoint), undefined);
  assert.equal(joined(fleet, new CapturedTokens()).get(placeholder, "agent", endpoint)?.value, "real");
  assert.equal(other.add({ caller: "agent", endpoint, value: "real" }, "access", 60), placeholder);
});

test("one process alone waits for nobody", () => {
  const tokens = new CapturedTokens();
  const placeholder = tokens.add({ caller: "", endpoint, value: "real" }, "access", 60);
  assert.equal(tokens.share([placeholder], ""), undefined);
});

function client(address: string): Client {
  const caller = { name: "agent", tools: undefined, proof: { keyId: "k", expiresAt: 1 } };
  return { remoteAddress: `${address}:40000`, sni: undefined, tls: undefined, tunnel: undefined, caller };
}

const [a, b] = ["10.0.0.1", "10.0.0.2"] as const;

for (const [title, steps, expected] of [
  [
    "in turn",
    [
      [0, 1, a],
      [1, 2, b],
      [2, 1, a],
    ],
    [b],
  ],
  [
    "in turn, on and on",
    [
      [0, 1, a],
      [1, 2, b],
      [2, 1, a],
      [3, 2, b],
      [4, 1, a],
    ],
    [b, a, b],
  ],
  [
    "each with the other worker",
    [
      [0, 1, a],
      [1, 2, b],
      [2, 2, a],
    ],
    [b],
  ],
  [
    "a move",
    [
      [0, 1, a],
      [1, 2, b],
      [2, 1, b],
      [3, 2, b],
    ],
    [],
  ],
  [
    "back after more than a minute",
    [
      [0, 1, a],
      [1, 2, b],
      [62, 1, a],
    ],
    [],
  ],
] as const) {
  test(`a token in two places, seen by two workers: ${title}`, () => {
    let now = 0;
    const { memories } = threeOf(() => new CallerPlaces(() => now));
    const found = steps.flatMap(([seconds, worker, address]) => {
      now = seconds * 1000;
      return memories[worker].elsewhere(client(address)) ?? [];
    });
    assert.deepEqual(found, expected);
  });
}

test("a move of which the old place is told late is no finding", () => {
  let now = 2000;
  const places = new CallerPlaces(() => now);
  places.elsewhere(client(b));
  for (const sighting of places.held()) places.take({ ...sighting, address: a, at: 1000 });
  now = 3000;
  assert.equal(places.elsewhere(client(b)), undefined);
  assert.equal(places.elsewhere(client(a)), b, "but it may not come back");
});

test("a token that takes turns for ever is told of once a second, and of where it is in the end", () => {
  let now = 0;
  const { fleet, memories } = threeOf(() => new CallerPlaces(() => now));
  const [, one, other] = memories;
  for (; now < 1000; now += 5) {
    one.elsewhere(client(a));
    other.elsewhere(client(b));
  }
  assert.ok(fleet.messages <= 4, String(fleet.messages));
  now += 1000;
  one.elsewhere(client(a));
  other.elsewhere(client(b));
  assert.equal(one.elsewhere(client(a)), b);
});

test("an errand is done by the first process alone, whoever wants it", () => {
  const fleet = new Fleet();
  const done: [string, unknown][] = [];
  const own = (process: string) => (item: { secret: string }) => void done.push([process, item]);
  const primary = fleet.primary.once("finding", own("first"));
  const worker = fleet.worker().once("finding");
  worker({ secret: "A" });
  primary({ secret: "B" });
  assert.deepEqual(done, [
    ["first", { secret: "A" }],
    ["first", { secret: "B" }],
  ]);
});

test("I12: what waits for a memory that a configuration does not have is bounded", () => {
  const fleet = new Fleet();
  const commons = fleet.worker();
  for (let item = 0; item < 9000; item++) commons.learn({ kind: "learnt", id: 0, name: "later", item });
  const taken: number[] = [];
  commons.join("later", { take: (item: number) => void taken.push(item), held: () => [] });
  assert.equal(taken.length, 8192);
  assert.equal(taken.at(-1), 8999);
});
