import assert from "node:assert/strict";
import { test } from "node:test";
import { SourceRegistry } from "../../src/sources/registry.ts";
import { sourceKind } from "../../src/sources/kind.ts";
import { Secret } from "../../src/sources/types.ts";
import { Minter } from "../../src/transforms/minting/minter.ts";
import type { Ask } from "../../src/workers/messages.ts";
import { remoteCustody } from "../../src/workers/remote-custody.ts";
import { Vault, Vaults } from "../../src/workers/vault.ts";

/** A process with the sources and one that asks it, in one; what passes between them is copied as a channel does. */
function setUp() {
  const calls = { fetches: 0, mints: 0, asks: 0 };
  const gate = Promise.withResolvers<void>();
  const counted = sourceKind({
    name: "counted",
    keys: {},
    build: () => ({
      name: "counted",
      identity: "counted",
      async fetch() {
        calls.fetches++;
        await gate.promise;
        return "the credential";
      },
    }),
  });
  const minter = () =>
    new Minter({
      credentials: () => calls,
      async mint() {
        calls.mints++;
        await gate.promise;
        return { token: new Secret("the token"), lifetimeMs: 3_600_000, principal: "robot" };
      },
      onFailure: () => assert.fail("no mint fails here"),
    });
  const vaults = new Vaults();
  const vault = new Vault();
  const options = { env: {}, onWarning: () => assert.fail("no source fails here"), kinds: [counted] };
  const noError = () => assert.fail("the source is right");
  new SourceRegistry({ ...options, custody: vault }).handle({ type: "counted" }, noError);
  vault.minter(minter());
  vaults.put(1, vault);
  const ask = async (question: Omit<Ask, "kind" | "id">) => {
    calls.asks++;
    return structuredClone(await vaults.grant(structuredClone({ kind: "ask", id: 0, ...question })));
  };
  const worker = () => {
    const custody = remoteCustody(1, ask);
    const registry = new SourceRegistry({ ...options, custody });
    return { source: registry.handle({ type: "counted" }, noError), tokens: custody.minter(minter()) };
  };
  return { calls, gate, worker, vaults, vault };
}

test("workers that need a credential at the same time make one fetch and one mint", async () => {
  const { calls, gate, worker } = setUp();
  const workers = Array.from({ length: 8 }, worker);
  const asked = workers.flatMap(({ source, tokens }) => [source, source, tokens, tokens]);
  const answers = Promise.all(asked.map(async (held) => held.get()));
  gate.resolve();
  const values = await answers;
  assert.deepEqual([calls.fetches, calls.mints], [1, 1]);
  assert.equal(calls.asks, 16, "and each of them asks once for each");
  assert.ok(values.every((value) => (value instanceof Secret ? value : value.token) instanceof Secret));
});

test("I14: what a worker holds is a secret again, and prints as one", async () => {
  const { gate, worker } = setUp();
  gate.resolve();
  const { source, tokens } = worker();
  assert.equal((await source.get()).reveal(), "the credential");
  const minted = await tokens.get();
  assert.equal(minted.token.reveal(), "the token");
  assert.equal(minted.principal, "robot");
  assert.equal(JSON.stringify([await source.get(), minted]).includes("the "), false);
});

test("a value that the worker holds already is not sent again", async () => {
  const { gate, vault } = setUp();
  gate.resolve();
  const first = await vault.grant({ of: "source", index: 0, known: 0 });
  assert.equal(first.kind, "value");
  const known = first.kind === "value" ? first.version : 0;
  assert.deepEqual(await vault.grant({ of: "source", index: 0, known }), { kind: "same" });
});

test("the configuration before the one in force is still answered for, and none before it", async () => {
  const { gate, vaults, vault } = setUp();
  gate.resolve();
  vaults.put(2, new Vault());
  const ask = { kind: "ask", id: 1, generation: 1, of: "source", index: 0, known: 0 } as const;
  assert.equal((await vaults.grant(ask)).kind, "value");
  vaults.put(3, vault);
  const refused = await vaults.grant(ask);
  assert.equal(refused.kind, "refused");
});
