// Callers who are limited to tools: the one place where it is decided what they may use.
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { parseAuthority } from "../../src/http/authority.ts";
import { compileRules } from "../../src/pipeline/rules.ts";
import type { Caller, RuleConfig } from "../../src/pipeline/types.ts";
import { compile, facts } from "./rules-support.ts";

const host = "a.example";
const limited = (...tools: string[]): Caller => ({ name: "sandbox", tools });
const unlimited: Caller = { name: "sandbox", tools: undefined };

function mistake(_path: unknown, message: string): never {
  throw new Error(message);
}

function rulesFor(callers: "all" | "unlimited", ...configs: RuleConfig[]) {
  return compileRules(configs, { ports: "scheme", callers, error: mistake, warn: mistake });
}

const table = [
  // rule, who may: nobody known, unlimited, search, crm, both, no tool at all
  { callers: "unlimited", tools: undefined, may: [true, true, false, false, false, false] },
  { callers: "all", tools: undefined, may: [true, true, true, true, true, true] },
  { callers: "unlimited", tools: ["search"], may: [true, true, true, false, true, false] },
  { callers: "all", tools: ["search"], may: [true, true, true, false, true, false] },
  { callers: "unlimited", tools: ["search", "crm"], may: [true, true, true, true, true, false] },
] as const;

const callers = [
  undefined,
  unlimited,
  limited("search"),
  limited("crm"),
  limited("crm", "search"),
  limited(),
];

for (const { callers: meant, tools, may } of table) {
  test(`a rule with tools ${tools?.join(" and ") ?? "left out"} of a ${meant === "all" ? "policy" : "credential"}`, () => {
    const rules = rulesFor(meant, { host, ...(tools === undefined ? {} : { tools }) });
    const authority = parseAuthority(host, 443);
    for (const [index, caller] of callers.entries()) {
      const who = caller?.tools?.join(" and ") ?? "no limit";
      assert.equal(rules.match({ ...facts(host), caller }), may[index], `match for ${who}`);
      assert.equal(rules.admits(authority, caller), may[index], `tunnel for ${who}`);
      assert.equal(rules.serves(caller), may[index], `serves ${who}`);
      assert.equal(rules.describe({ ...facts(host), caller }).matched, may[index], `described for ${who}`);
    }
  });
}

test("tools narrow a rule and never widen it", () => {
  const rules = rulesFor("unlimited", { host, methods: ["GET"], paths: ["/v1"], tools: ["search"] });
  const caller = limited("search");
  assert.equal(rules.match({ ...facts(host, "GET", "/v1"), caller }), true);
  assert.equal(rules.match({ ...facts(host, "POST", "/v1"), caller }), false);
  assert.equal(rules.match({ ...facts(host, "GET", "/v2"), caller }), false);
  assert.equal(rules.match({ ...facts("b.example", "GET", "/v1"), caller }), false);
  assert.equal(rules.match({ ...facts(`${host}:8443`, "GET", "/v1"), caller }), false);
});

test("names of tools are compared as they are, whatever they are called", () => {
  for (const [tool, other] of [
    ["search", "Search"],
    ["search", "search "],
    ["*", "search"],
    ["toString", "constructor"],
    ["__proto__", "search"],
  ] as const) {
    const rules = rulesFor("unlimited", { host, tools: [tool] });
    assert.equal(rules.match({ ...facts(host), caller: limited(tool) }), true, tool);
    assert.equal(rules.match({ ...facts(host), caller: limited(other) }), false, other);
  }
});

test("a limited caller gets exactly the rules that name one of its tools", () => {
  const names = fc.uniqueArray(fc.constantFrom("a", "b", "c", "d"), { maxLength: 4 });
  const config = fc.option(
    names.filter((list) => list.length > 0),
    { nil: undefined },
  );
  fc.assert(
    fc.property(fc.array(config, { maxLength: 6 }), names, (lists, tools) => {
      const rules = compileRules(
        lists.map((list) => ({ host, ...(list === undefined ? {} : { tools: list }) })),
        { ports: "scheme", callers: "unlimited", error: mistake, warn: () => {} },
      );
      const expected = lists.some((list) => list?.some((tool) => tools.includes(tool)) === true);
      assert.equal(rules.match({ ...facts(host), caller: limited(...tools) }), expected);
    }),
  );
});

test("says whom a rule is for", () => {
  const text = (config: RuleConfig, caller: Caller) => {
    return rulesFor("unlimited", config).describe({ ...facts(host), caller }).text;
  };
  assert.equal(
    text({ host, tools: ["search"] }, limited("crm")),
    "rule 1: host matches, the caller may use crm, and the rule is for search",
  );
  assert.equal(
    text({ host }, limited()),
    "rule 1: host matches, the caller may use no tool, and the rule is for callers who are not limited to tools",
  );
  assert.equal(
    text({ host, tools: ["search", "crm"] }, limited("crm")),
    "rule 1 (a.example for search, crm) matches",
  );
});

test("reports tools that mean nothing, and two rules that are the same", () => {
  assert.deepEqual(compile([{ host, tools: [] }]).errors, [
    "0.tools: tools names no tool; leave it out where the rule does not depend on tools",
  ]);
  assert.deepEqual(compile([{ host, tools: ["a", " "] }]).errors, ["0.tools.1: the name of a tool is empty"]);
  assert.deepEqual(
    compile([
      { host, tools: ["a", "b"] },
      { host, tools: ["b", "a"] },
    ]).warnings,
    ["1: rule 2 (a.example for b, a) matches the same requests as rule 1"],
  );
  assert.deepEqual(compile([{ host, tools: ["a"] }, { host, tools: ["b"] }, { host }]).warnings, []);
});
