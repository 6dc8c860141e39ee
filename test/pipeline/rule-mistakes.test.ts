import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAuthority } from "../../src/http/authority.ts";
import type { RuleConfig } from "../../src/pipeline/types.ts";
import { compile, facts } from "./rules-support.ts";

const mistakes: [rule: RuleConfig, ...messages: (string | RegExp)[]][] = [
  [{ host: "a.example", cidr: "10.0.0.0/8" }, "0: host and cidr are mutually exclusive"],
  [{}, "0: one of host or cidr is required"],
  [{ host: "" }, "0: one of host or cidr is required"],
  [{ cidr: "10.0.0.0" }, /^0\.cidr: parsing CIDR "10\.0\.0\.0": /],
  [{ cidr: "10.0.0.0/33" }, /^0\.cidr: parsing CIDR .*0 to 32$/],
  [{ cidr: "10.0/8" }, /parsing CIDR/],
  [{ cidr: "::ffff:10.0.0.0/90" }, /96 to 128/],
  [{ cidr: "example.com/8" }, /parsing CIDR/],
  [{ cidr: "fe80::1%eth0/64" }, /parsing CIDR/],
  [{ host: "a.example", paths: ["v1"] }, '0.paths.0: path "v1" must start with /'],
  [{ host: "a.example", paths: ["/ok", "*"] }, '0.paths.1: path "*" must start with /'],
  [{ host: "a.example", paths: ["/["] }, /^0\.paths\.0: path "\/\[": a \[class\] is not closed/],
  [
    { host: "a.example", paths: ["/[]", "/[b-a]", "/[a-]", "/[%41", "/a\\"] },
    /0/,
    /1.*backwards/,
    /2/,
    /3/,
    /4.*end/,
  ],
  [
    { host: "a.example", paths: ["/%", "/%zz", "/a\\\\b", "/%5Cb", "/a/../b", "/%2e/x"] },
    /0/,
    /1/,
    /2/,
    /3/,
    /4.*never/,
    /5.*never/,
  ],
  [{ host: "a.example", methods: ["GET", "P OST", ""] }, /^0\.methods\.1: method "P OST"/, /^0\.methods\.2/],
  [{ host: "[" }, /^0\.host: host "\["/],
  [{ host: "a[.example" }, /not closed/],
  [{ host: "https://api.example.com" }, /leave out the scheme/],
  [{ host: "api.example.com/v1" }, /leave out the scheme and the path/],
  [{ host: "user@example.com" }, /user information/],
  [{ host: "a.example:0" }, /port/],
  [{ host: "a.example:https" }, /port/],
  [{ host: "a.example:65536" }, /port/],
  [{ host: "a..example" }, /empty label/],
  [{ host: " a.example" }, /character/],
  [{ host: "*.a b.example" }, /character/],
  [{ host: "git*.\u00e9*.example" }, /xn--/],
  [{ host: "\u0430pple.com" }, /scripts/],
  [{ host: "*.\u0430pple.com" }, /scripts/],
  [{ host: "10.0.*" }, /four parts/],
  [{ host: "a*.1" }, /four parts/],
  [{ host: "*.0.0.1" }, /address/],
  [{ host: "2130706433" }, /looks like an IP address/],
  [{ host: "[example.com]" }, /host/],
];

test("every mistake is reported at its place, and the rule then matches nothing", () => {
  for (const [rule, ...messages] of mistakes) {
    const { rules, errors } = compile([rule]);
    assert.equal(errors.length, messages.length, `${JSON.stringify(rule)}: ${errors.join("; ")}`);
    for (const [at, message] of messages.entries()) {
      if (typeof message === "string") assert.equal(errors[at], message);
      else assert.match(errors[at] as string, message);
    }
    assert.equal(rules.size, 0);
    assert.equal(rules.admits(parseAuthority("a.example", 443), undefined), false);
  }
});

test("a mistake in one rule leaves the others and their numbers alone", () => {
  const { rules, errors } = compile([{ host: "a..b" }, { host: "b.example" }]);
  assert.match(errors.join(), /^0\.host: /);
  assert.equal(rules.size, 1);
  assert.equal(rules.describe(facts("b.example")).text, "rule 2 (b.example) matches");
});

test("warns of hosts that reach further, or less far, than they look", () => {
  const table: [host: string, warning: RegExp | undefined][] = [
    ["*", /every host/],
    ["*:8443", /every host/],
    ["*.com", /every name under \.com/],
    ["*example.com", /write \*\.example\.com/],
    ["git*", /one label/],
    ["example.*", /top-level domain/],
    ["*.*", /top-level domain/],
    ["*.internal", undefined],
    ["*.example.com", undefined],
    ["git*.example.com", undefined],
    ["api.*.com", undefined],
    ["10.0.0.*", undefined],
    ["localhost", undefined],
  ];
  for (const [host, warning] of table) {
    const { warnings, errors } = compile([{ host }]);
    assert.deepEqual(errors, []);
    if (warning) assert.match(warnings.join(), warning, host);
    else assert.deepEqual(warnings, [], host);
  }
});

test("warns of duplicate rules, a star beside methods, a query in a path and a network of everything", () => {
  const twins = [
    { host: "*.A.example", methods: ["get", "POST"], paths: ["/%41", "/b"] },
    { host: "*.a.example.", methods: ["POST", "GET"], paths: ["/b", "/A"] },
    { host: "*.a.example", methods: ["POST"] },
  ];
  assert.deepEqual(compile(twins).warnings, [
    "1: rule 2 (*.a.example. POST, GET /b, /A) matches the same requests as rule 1",
  ]);
  assert.match(compile([{ host: "a.example", methods: ["GET", "*"] }]).warnings.join(), /^0\.methods\.1: /);
  assert.match(
    compile([{ host: "a.example", paths: ["/search?q=*"] }]).warnings.join(),
    /^0\.paths\.0: .*query/,
  );
  assert.match(compile([{ cidr: "0.0.0.0/0" }]).warnings.join(), /every address/);
});
