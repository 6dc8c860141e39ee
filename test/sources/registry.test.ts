import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { inspect } from "node:util";
import { z } from "zod";
import { SourceRegistry, sourceKinds, type SourceRegistryOptions } from "../../src/sources/registry.ts";
import { cacheKeys, sourceKind, text } from "../../src/sources/kind.ts";
import { Secret, SourceError, type SecretHandle } from "../../src/sources/types.ts";
import { fakeClock, settled } from "./fake-clock.ts";

/** A registry whose warnings are kept; `load` gives the errors of one source object. */
function scene(options: Partial<SourceRegistryOptions> = {}) {
  const warnings: string[] = [];
  const registry = new SourceRegistry({
    env: {},
    onWarning: (name, message) => warnings.push(`${name}: ${message}`),
    ...options,
  });
  const load = (source: unknown): string[] => {
    const errors: string[] = [];
    registry.handle(source as { type: string }, (path, message) =>
      errors.push(`${path.join(".")}: ${message}`),
    );
    return errors;
  };
  const handle = (source: { type: string; [key: string]: unknown }): SecretHandle =>
    registry.handle(source, (path, message) => assert.fail(`${path.join(".")}: ${message}`));
  return { registry, warnings, load, handle };
}

const valueOf = async (handle: SecretHandle) => (await handle.get()).reveal();

async function failureOf(handle: SecretHandle): Promise<string> {
  try {
    await handle.get();
  } catch (error) {
    assert.ok(error instanceof SourceError, inspect(error));
    return error.message;
  }
  return assert.fail("the source gave a value");
}

describe("load errors", () => {
  const cases: readonly [what: string, source: unknown, error: RegExp][] = [
    ["S-19 no source", undefined, /^: source\.type is required/],
    ["S-19 a null source", null, /^: source\.type is required/],
    ["S-19 no type", { var: "X" }, /^: source\.type is required/],
    ["an empty type", { type: "" }, /^: source\.type is required/],
    ["S-19 an unknown type", { type: "vault" }, /^type: unsupported source type "vault"; known: env, file/],
    ["a misspelt type", { type: "evn" }, /^type: unsupported source type "evn"; did you mean "env"\?$/],
    ["a type that is no text", { type: ["env"] }, /^type: unsupported source type \["env"\]/],
    ["R-03 env without var", { type: "env" }, /^: env source requires "var" field$/],
    ["R-03 env with an empty var", { type: "env", var: "" }, /^: env source requires "var" field$/],
    ["R-03 env with a null var", { type: "env", var: null }, /^: env source requires "var" field$/],
    ["R-03 file without path", { type: "file" }, /^: file source requires "path" field$/],
    [
      "R-12 control_plane without value",
      { type: "control_plane" },
      /^: control_plane source requires "value" field$/,
    ],
    [
      "a misspelt key",
      { type: "file", path: "x", tll: "5m" },
      /^tll: unknown key "tll" in file source; did you mean "ttl"\?$/,
    ],
    [
      "a ttl on env",
      { type: "env", var: "X", ttl: "5m" },
      /^ttl: unknown key "ttl" in env source; known: type, var, json_key$/,
    ],
    ["a list as var", { type: "env", var: ["X"] }, /^var: "var" must be text$/],
    ["a text as trim", { type: "file", path: "x", trim: "no" }, /^trim: "trim" must be true or false$/],
    ["R-06 a bad ttl", { type: "file", path: "x", ttl: "ten" }, /^ttl: parsing ttl "ten": not a duration/],
    ["R-06 a ttl without unit", { type: "file", path: "x", ttl: 5 }, /^ttl: parsing ttl "5": not a duration/],
    [
      "R-06 a bad failure_ttl",
      { type: "file", path: "x", failure_ttl: "1d" },
      /^failure_ttl: parsing failure_ttl "1d"/,
    ],
    [
      "a negative ttl",
      { type: "file", path: "x", ttl: "-5m" },
      /^ttl: parsing ttl "-5m": must not be negative$/,
    ],
    [
      "a negative failure_ttl",
      { type: "file", path: "x", failure_ttl: "-1s" },
      /failure_ttl "-1s": must not be neg/,
    ],
    ["a bad max_stale", { type: "file", path: "x", ttl: "1m", max_stale: "x" }, /parsing max_stale "x"/],
    [
      "max_stale without ttl",
      { type: "file", path: "x", max_stale: "1h" },
      /^max_stale: max_stale needs a ttl/,
    ],
    [
      "a zero timeout",
      { type: "file", path: "x", timeout: "0" },
      /^timeout: parsing timeout: must be more than 0/,
    ],
    ["an endless timeout", { type: "file", path: "x", timeout: "1h" }, /at most "10m"$/],
  ];
  for (const [what, source, expected] of cases) {
    test(`refuses ${what}`, () => {
      const errors = scene().load(source);
      assert.equal(errors.length, 1, errors.join("\n"));
      assert.match(errors[0] ?? "", expected);
    });
  }

  test("reports all errors of a source at once", () => {
    const errors = scene().load({ type: "file", ttl: "x", failure_ttl: "y", jsonkey: "a" });
    assert.deepEqual(
      errors.map((error) => error.split(":")[0]),
      ["jsonkey", "", "ttl", "failure_ttl"],
    );
  });

  test("I14 never quotes a value that may be a credential", () => {
    const canary = "sk-canary";
    for (const source of [
      { type: "control_plane", value: [canary] },
      { type: "env", var: { [canary]: canary } },
      { type: "file", path: "x", json_key: [canary] },
    ]) {
      const errors = scene().load(source);
      assert.equal(errors.length, 1);
      assert.ok(!errors.join("").includes(canary));
    }
  });

  test("the handle of a bad source always fails, and is not part of the check", async () => {
    const { registry } = scene();
    const handle = registry.handle({ type: "nope" }, () => {});
    assert.match(await failureOf(handle), /not configured correctly/);
    assert.deepEqual(await registry.check(), []);
  });

  test("takes 0 and empty durations, and numbers where text is wanted, as YAML files have them", () => {
    const { load } = scene();
    assert.deepEqual(load({ type: "file", path: 5, ttl: 0, failure_ttl: "0", json_key: "" }), []);
    assert.deepEqual(load({ type: "file", path: "x", ttl: "", timeout: null }), []);
  });
});

describe("every kind", () => {
  for (const kind of sourceKinds) {
    test(`${kind.name} has a JSON Schema in which each key but type is described`, () => {
      const schema = z.toJSONSchema(kind.schema, { io: "input" });
      assert.equal(schema.additionalProperties, false);
      for (const [key, value] of Object.entries(schema.properties ?? {})) {
        if (key !== "type") assert.ok(typeof value === "object" && value.description, `${kind.name}.${key}`);
      }
    });
  }

  test("names are unique", () => {
    assert.equal(new Set(sourceKinds.map((kind) => kind.name)).size, sourceKinds.length);
  });
});

describe("identical sources", () => {
  const counting = () => {
    const reads: string[] = [];
    const kind = sourceKind({
      name: "counting",
      keys: { key: text, ...cacheKeys },
      build: ({ key }) => ({
        name: key,
        identity: key,
        fetch: async () => {
          reads.push(key);
          return JSON.stringify({ id: `id-${reads.length}`, secret: `secret-${reads.length}` });
        },
      }),
    });
    return { reads, kinds: [kind] };
  };

  test("are read once, whatever their json_key", async () => {
    const { reads, kinds } = counting();
    const { handle } = scene({ kinds });
    const id = handle({ type: "counting", key: "a", ttl: "1m", json_key: "id" });
    const secret = handle({ type: "counting", key: "a", ttl: "60s", json_key: "secret" });
    assert.deepEqual(await Promise.all([valueOf(id), valueOf(secret)]), ["id-1", "secret-1"]);
    assert.equal(reads.length, 1);
  });

  test("are read apart when their ttl differs or they name something else", async () => {
    const { reads, kinds } = counting();
    const { handle } = scene({ kinds });
    await valueOf(handle({ type: "counting", key: "a", ttl: "1m" }));
    await valueOf(handle({ type: "counting", key: "a", ttl: "2m" }));
    await valueOf(handle({ type: "counting", key: "b", ttl: "1m" }));
    assert.deepEqual(reads, ["a", "a", "b"]);
  });

  test("a pair of fields is never torn between two versions", async () => {
    const { kinds } = counting();
    const clock = fakeClock();
    const { handle } = scene({ kinds, clock });
    const id = handle({ type: "counting", key: "a", ttl: "1m", json_key: "id" });
    const secret = handle({ type: "counting", key: "a", ttl: "1m", json_key: "secret" });
    for (let round = 0; round < 50; round++) {
      const [a, b] = await Promise.all([valueOf(id), valueOf(secret)]);
      assert.equal(a.replace("id", ""), b.replace("secret", ""));
      clock.advance(round % 3 === 0 ? 50_000 : 500_000);
      await settled();
    }
  });

  test("a field that did not change keeps its object when its neighbour changes", async () => {
    let version = 0;
    const kind = sourceKind({
      name: "changing",
      keys: cacheKeys,
      build: () => ({
        name: "n",
        identity: "n",
        fetch: () => JSON.stringify({ fixed: "f", other: ++version }),
      }),
    });
    const clock = fakeClock();
    const { handle } = scene({ kinds: [kind], clock });
    const fixed = handle({ type: "changing", ttl: "1m", json_key: "fixed" });
    const first = fixed.get();
    assert.ok(first instanceof Secret);
    clock.advance(50_000);
    assert.equal(fixed.get(), first);
    assert.equal(version, 2);
  });
});

describe("R-07 json_key", () => {
  const document = { a: "value-a", empty: "", n: 5, b: true, o: {}, l: [], z: null, nul: "x\0" };
  const env = {
    DOC: JSON.stringify(document),
    TEXT: "sk-canary-plain",
    LIST: '["sk-canary"]',
    CUT: '{"a":"sk-canary',
  };
  const prefix = (key: string, name: string) => `extracting json_key "${key}" from secret "${name}": `;
  const cases: readonly [variable: keyof typeof env, key: string, problem: string][] = [
    ["TEXT", "a", "secret value is not valid JSON (an object is needed)"],
    ["CUT", "a", "secret value is not valid JSON (an object is needed)"],
    ["LIST", "a", "secret value is not valid JSON (an object is needed)"],
    ["DOC", "missing", 'key "missing" not found in JSON'],
    ["DOC", "z", 'key "z" not found in JSON'],
    ["DOC", "constructor", 'key "constructor" not found in JSON'],
    ["DOC", "__proto__", 'key "__proto__" not found in JSON'],
    ["DOC", "n", 'key "n" is not a string (type number)'],
    ["DOC", "b", 'key "b" is not a string (type boolean)'],
    ["DOC", "o", 'key "o" is not a string (type object)'],
    ["DOC", "l", 'key "l" is not a string (type array)'],
    ["DOC", "empty", 'key "empty": resolved to empty value'],
    ["DOC", "nul", 'key "nul": the value has a NUL byte; store it as text'],
  ];
  for (const [variable, key, problem] of cases) {
    test(`${key} of ${env[variable].slice(0, 10)}: ${problem}`, async () => {
      const { handle } = scene({ env });
      const message = await failureOf(handle({ type: "env", var: variable, json_key: key }));
      assert.equal(message, prefix(key, variable) + problem);
      assert.ok(!message.includes("canary"));
    });
  }

  test("gives the field; without it the whole text", async () => {
    const { handle } = scene({ env });
    const field = handle({ type: "env", var: "DOC", json_key: "a" });
    assert.equal(await valueOf(field), "value-a");
    assert.equal(field.name, "DOC");
    assert.deepEqual(field.variables, ["DOC"]);
    assert.equal(await valueOf(handle({ type: "env", var: "DOC" })), env.DOC);
  });

  test("works on control_plane", async () => {
    const { handle } = scene();
    assert.equal(await valueOf(handle({ type: "control_plane", value: '{"a":"b"}', json_key: "a" })), "b");
  });
});

describe("env and control_plane", () => {
  test("R-02 building reads nothing; the variable is read at the first use", async () => {
    const env: NodeJS.ProcessEnv = {};
    const { handle } = scene({ env });
    const late = handle({ type: "env", var: "LATE" });
    env.LATE = "s1";
    assert.equal(await valueOf(late), "s1");
    assert.deepEqual(late.variables, ["LATE"]);
  });

  for (const value of [undefined, ""]) {
    test(`R-03 a variable that is ${value === "" ? "empty" : "not set"} is named`, async () => {
      const { handle } = scene({ env: { X: value } });
      assert.equal(await failureOf(handle({ type: "env", var: "X" })), 'env var "X" is not set or empty');
    });
  }

  test("R-12 control_plane has a fixed name, warns, and two values are two secrets", async () => {
    const { handle, warnings } = scene();
    const [a, b] = [
      handle({ type: "control_plane", value: "a" }),
      handle({ type: "control_plane", value: "b" }),
    ];
    assert.deepEqual([a.name, await valueOf(a), await valueOf(b)], ["control_plane", "a", "b"]);
    assert.match(warnings[0] ?? "", /^control_plane: the configuration holds a credential in plain text/);
  });
});

describe("check", () => {
  test("reads every source once and gives one line for each that failed", async () => {
    const { registry, handle } = scene({ env: { GOOD: "s", DOC: "{}" } });
    handle({ type: "env", var: "GOOD" });
    handle({ type: "env", var: "BAD" });
    handle({ type: "env", var: "BAD" });
    handle({ type: "env", var: "DOC", json_key: "a" });
    assert.deepEqual(await registry.check(), [
      { name: "BAD", message: 'env var "BAD" is not set or empty' },
      { name: "DOC", message: 'extracting json_key "a" from secret "DOC": key "a" not found in JSON' },
    ]);
  });

  test("asks at most eight at a time", async () => {
    let [running, most] = [0, 0];
    const kind = sourceKind({
      name: "slow",
      keys: { key: text },
      build: ({ key }) => ({
        name: key,
        identity: key,
        async fetch() {
          most = Math.max(most, ++running);
          await settled();
          running--;
          return "s";
        },
      }),
    });
    const { registry, handle } = scene({ kinds: [kind] });
    for (let i = 0; i < 30; i++) handle({ type: "slow", key: `k${i}` });
    assert.deepEqual(await registry.check(), []);
    assert.equal(most, 8);
  });

  test("closing the registry ends the refreshes of all its sources", async () => {
    const signals: AbortSignal[] = [];
    const kind = sourceKind({
      name: "slow",
      keys: { path: text, ...cacheKeys },
      build: ({ path }) => ({
        name: path,
        identity: path,
        fetch: (signal) => (signals.push(signal) <= 2 ? "s1" : new Promise<string>(() => {})),
      }),
    });
    const clock = fakeClock();
    const { registry, handle } = scene({ kinds: [kind], clock });
    const handles = ["a", "b"].map((path) => handle({ type: "slow", path, ttl: "1m" }));
    for (const one of handles) await one.get();
    clock.advance(55_000);
    for (const one of handles) assert.ok(one.get() instanceof Secret);
    registry.close();
    assert.deepEqual(
      signals.map((signal) => signal.aborted),
      [false, false, true, true],
    );
    assert.equal(clock.timers(), 0);
  });
});
