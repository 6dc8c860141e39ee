import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { formatIssue } from "../../src/config/issues.ts";
import { loadConfig } from "../../src/config/load.ts";
import type { BuildContext, Transform, TransformKind } from "../../src/pipeline/types.ts";
import { buildTransforms } from "../../src/proxy/build-transforms.ts";
import { SourceRegistry } from "../../src/sources/registry.ts";
import { transformKinds } from "../../src/transforms/registry.ts";
import { ca } from "../helpers/config.ts";
import { fakeExchange, fakeTunnel } from "../helpers/exchange.ts";

interface Built {
  transforms: Transform[];
  /** Without the file's name; those of the loader are not among them. */
  issues: string[];
}

function build(text: string, kinds: readonly TransformKind[] = transformKinds): Built {
  const { draft, locate } = loadConfig({ file: "p.yaml", text: `${ca}${text}`, env: {} });
  assert.ok(draft !== undefined);
  const sources = new SourceRegistry({ env: {}, onWarning: () => {} });
  const { transforms, issues } = buildTransforms(draft, { kinds, sources, locate, file: "p.yaml" });
  sources.close();
  return { transforms, issues: issues.map((issue) => formatIssue(issue).replace(/^p\.yaml:/, "")) };
}

/** A transform for tests: one list of rules, one credential, and complaints on demand. */
function kindOf(
  options: { build?: (context: BuildContext) => void; closed?: () => void } = {},
): TransformKind {
  const kind: TransformKind<z.ZodObject<{ n: z.ZodOptional<z.ZodInt>; list: z.ZodOptional<z.ZodArray> }>> = {
    name: "probe",
    credential: true,
    schema: z.strictObject({ n: z.int().optional(), list: z.array(z.any()).optional() }),
    build(_, context) {
      options.build?.(context);
      return { name: "probe", close: () => options.closed?.() };
    },
  };
  return kind;
}

const openAi = `
- name: secrets
  config:
    secrets:
    - source: {type: env, var: OPENAI_API_KEY}
      replace: {proxy_value: placeholder-openai, match_headers: [Authorization]}
      rules: [{host: api.openai.com}]
`;

test("I2: an unknown transform is an error with the nearest name; those of iron-proxy are not supported yet", () => {
  const { transforms, issues } = build(
    "transforms: [{name: allow_list}, {name: judge}, {name: grpc}, {name: zzzzzz}]",
  );
  assert.deepEqual(transforms, []);
  assert.equal(issues[0], '2:21: unknown transform "allow_list"; did you mean "allowlist"?');
  assert.equal(issues[1], '2:41: transform "judge" is not supported yet');
  assert.equal(issues[2], '2:56: transform "grpc" is not supported yet');
  assert.match(issues[3] ?? "", /^2:70: unknown transform "zzzzzz"; known: allowlist, /);
});

test("errors of several entries come at once, with what their kinds and sources say", () => {
  const { transforms, issues } = build(`
transforms:
- name: allowlist
  config:
    rules:
    - {host: a.example, cidr: 10.0.0.0/8}
    - {domain: b.example}
- name: secrets
  config:
    secrets:
    - source: {type: envv, var: A}
      replace: {proxy_value: placeholder-a}
      rules: [{host: a.example, paths: [v1]}]
    - source: {type: env, vra: A}
      inject: {header: X, qeury_param: y}
      rules: [{host: a.example}]
`);
  assert.deepEqual(transforms, []);
  assert.deepEqual(
    issues,
    [
      "7:7: host and cidr are mutually exclusive",
      '8:8: unknown key "domain" in rules[1]; did you mean "host"?',
      '12:22: unsupported source type "envv"; did you mean "env"?',
      '14:41: path "v1" must start with /',
      '15:27: unknown key "vra" in env source; did you mean "var"?',
      '15:7: env source requires "var" field',
      '16:27: unknown key "qeury_param" in secrets[1].inject; did you mean "query_param"?',
    ].toSorted(byPlace),
  );
});

function byPlace(a: string, b: string): number {
  const [line = 0, column = 0] = a.split(":").map(Number);
  const [otherLine = 0, otherColumn = 0] = b.split(":").map(Number);
  return line - otherLine || column - otherColumn;
}

test("an entry after a broken one keeps its own line and number", () => {
  const { issues } = build(`
transforms:
- name: secrets
  config:
    secrets:
    - 5
    - source: {type: env, var: A}
      rules: [{host: a.example}]
`);
  assert.deepEqual(issues, [
    "7:7: secrets[0] must be a mapping (key: value), not a number",
    "8:7: must specify either inject or replace",
  ]);
});

test("a kind's complaints about what was already reported are not repeated", () => {
  const kind = kindOf({
    build(context) {
      context.error(["n"], "n is missing");
      context.error(["list"], "list is missing");
    },
  });
  assert.deepEqual(
    build("proxy: {default: allow}\ntransforms: [{name: probe, config: {n: x}}]", [kind]).issues,
    ["3:28: list is missing", "3:40: n must be a whole number, not text"].toSorted(byPlace),
  );
});

test("with any error nothing is built, and what was is closed", () => {
  let closed = 0;
  const kind = kindOf({ closed: () => closed++ });
  const { transforms } = build("transforms: [{name: probe}, {name: nope}]", [kind]);
  assert.deepEqual(transforms, []);
  assert.equal(closed, 1);
});

test("a transform that calls out fails where a configuration is only checked", () => {
  let call: (() => unknown) | undefined;
  const kind = kindOf({
    build(context) {
      call = () => context.dispatcher();
    },
  });
  build("transforms: [{name: probe}]", [kind]);
  assert.throws(() => call?.(), /only checked/);
});

test("I2: a credential transform with sni-only is an error", () => {
  const { draft, locate } = loadConfig({
    text: "tls: {mode: sni-only}\ntransforms: [{name: secrets}]",
    env: {},
  });
  assert.ok(draft !== undefined);
  const sources = new SourceRegistry({ env: {}, onWarning: () => {} });
  const { issues } = buildTransforms(draft, { kinds: transformKinds, sources, locate, file: "p.yaml" });
  assert.ok(
    issues
      .map(formatIssue)
      .includes(
        'p.yaml:2:21: transform "secrets" needs tls.mode mitm: with sni-only no request is ever seen',
      ),
  );
});

test("without an allowlist only hosts of credentials are reachable, and the file's owner is told", () => {
  const { transforms, issues } = build(`transforms:${openAi}`);
  assert.deepEqual(issues, [
    "2:1: warning: there is no allowlist, so only hosts that credentials are for can be reached: api.openai.com",
  ]);
  const [policy, secrets] = transforms;
  assert.deepEqual([policy?.name, secrets?.name], ["allowlist", "secrets"]);
  const tunnel = (authority: string) => policy?.onTunnel?.(fakeTunnel(authority));
  assert.equal(tunnel("api.openai.com:443"), undefined);
  const refusal = { kind: "reject", status: 403, reason: "host_not_allowed" };
  assert.deepEqual(tunnel("evil.example:443"), refusal);
  assert.deepEqual(tunnel("api.openai.com:8443"), refusal);
  const request = (url: string) => policy?.onRequest?.(fakeExchange({ url }));
  assert.equal(request("https://api.openai.com/any"), undefined);
  assert.deepEqual(request("https://evil.example/"), refusal);
  assert.match(
    policy?.explain?.(fakeExchange({ url: "https://evil.example/" })).join() ?? "",
    /refused: .*no credential/,
  );
});

test("without an allowlist and without credentials every request is refused", () => {
  const { transforms, issues } = build("transforms: []");
  assert.deepEqual(issues, [
    "2:1: warning: there is no allowlist, so every request is refused; add an allowlist transform",
  ]);
  assert.equal(transforms[0]?.onRequest?.(fakeExchange()) === undefined, false);
});

test("without a file every request is refused", () => {
  const { config, locate } = loadConfig({ env: {} });
  assert.ok(config !== undefined);
  const sources = new SourceRegistry({ env: {}, onWarning: () => {} });
  const built = buildTransforms(config, { kinds: transformKinds, sources, locate, file: config.file });
  assert.match(built.issues.map(formatIssue).join(), /without a configuration file every request is refused/);
  assert.equal(built.transforms.length, 1);
  assert.notEqual(built.transforms[0]?.onTunnel?.(fakeTunnel("a.example:443")), undefined);
});

test("proxy.default: allow lets everything pass where no allowlist stands, with a warning", () => {
  const { transforms, issues } = build("proxy: {default: allow}\ntransforms: []");
  assert.deepEqual(transforms, []);
  assert.deepEqual(issues, [
    "2:18: warning: there is no allowlist, and proxy.default is allow: every host can be reached",
  ]);
});

test("an allowlist of the file is the policy, even an empty one", () => {
  const { transforms } = build(`proxy: {default: allow}\ntransforms:\n- name: allowlist${openAi}`);
  assert.deepEqual(
    transforms.map(({ name }) => name),
    ["allowlist", "secrets"],
  );
  assert.notEqual(transforms[0]?.onRequest?.(fakeExchange({ url: "https://api.openai.com/" })), undefined);
});

/** An allowlist, and a credential for some hosts. */
function reach(allowed: string, hosts: string): string[] {
  return build(`
transforms:
- name: allowlist
  config: ${allowed}
- name: secrets
  config:
    secrets:
    - source: {type: env, var: A}
      replace: {proxy_value: placeholder-a, match_headers: [Authorization]}
      rules: ${hosts}
`).issues;
}

const unreachable = (at: string, host: string) =>
  `11:${at}: warning: the allowlist refuses ${host}, so this credential is never used there`;
const reaches: readonly [allowed: string, hosts: string, ...issues: string[]][] = [
  ["{domains: [a.example]}", "[{host: a.example}]"],
  ["{domains: [a.example]}", "[{host: b.example}]", unreachable("22", "b.example")],
  ["{domains: [a.example]}", "[{host: A.EXAMPLE.}]"],
  ["{domains: [a.example]}", "[{host: a.example}, {host: b.example}]", unreachable("41", "b.example")],
  ["{domains: ['*.a.example']}", "[{host: b.a.example}]"],
  ["{domains: [b.a.example]}", "[{host: '*.a.example'}]"],
  ["{domains: [b.example]}", "[{host: '*.a.example'}]", unreachable("22", "*.a.example")],
  ["{domains: ['a.example:8443']}", "[{host: 'a.example:8443'}]"],
  ["{domains: ['a.example:8443']}", "[{host: a.example}]", unreachable("22", "a.example")],
  ["{domains: [a.example]}", "[{host: 'a.example:8443'}]", unreachable("22", "a.example:8443")],
  ["{cidrs: [10.0.0.0/8]}", "[{cidr: 10.1.0.0/16}]"],
  ["{cidrs: [10.1.2.0/24]}", "[{cidr: 10.1.0.0/16}]"],
  ["{cidrs: [10.0.0.0/8]}", "[{cidr: 192.0.2.0/24}]", unreachable("22", "192.0.2.0/24")],
  ["{rules: [{host: a.example, methods: [GET]}]}", "[{host: a.example}]"],
];

for (const [allowed, hosts, ...issues] of reaches) {
  test(`allowlist ${allowed} and a credential for ${hosts}: ${issues.length} unreachable`, () => {
    assert.deepEqual(reach(allowed, hosts), issues);
  });
}

test("an allowlist that only warns makes nothing unreachable", () => {
  assert.ok(reach("{warn: true}", "[{host: b.example}]").every((issue) => !issue.includes("never used")));
});

test("a header filter before a credential is pointed out, one after the last is not", () => {
  const filter = "- name: header_allowlist\n  config: {headers: [Accept, Authorization]}\n";
  const allow = "transforms:\n- name: allowlist\n  config: {domains: [api.openai.com]}\n";
  assert.deepEqual(build(`${allow}${filter.trimEnd()}${openAi}`).issues, [
    "5:9: warning: header_allowlist stands before secrets: it removes headers with placeholders unless they are listed, and leaves what comes later alone; put it last",
  ]);
  assert.deepEqual(build(`${allow.trimEnd()}${openAi}${filter}`).issues, []);
});

const injecting = `
- name: secrets
  config:
    secrets:
    - source: {type: env, var: A}
      inject: {header: X-Api-Key}
      rules: [{host: api.openai.com}]
`;
const filters: readonly [config: string, ...issues: string[]][] = [
  [
    "{headers: [Accept]}",
    "11:9: warning: header_allowlist removes X-Api-Key, which secrets sets before it; list it under headers",
  ],
  ["{headers: [x-api-key]}"],
  ["{headers: [/^x-/]}"],
  ["{headers: [Accept], rules: [{host: other.example}]}"],
  [
    "{headers: [Accept], rules: [{host: '*.openai.com'}]}",
    "11:9: warning: header_allowlist removes X-Api-Key, which secrets sets before it; list it under headers",
  ],
];

for (const [config, ...issues] of filters) {
  test(`a filter ${config} after a credential in X-Api-Key: ${issues.length} warnings`, () => {
    const text = `transforms:\n- name: allowlist\n  config: {domains: ["*.openai.com"]}${injecting}- name: header_allowlist\n  config: ${config}\n`;
    assert.deepEqual(build(text).issues, issues);
  });
}

/** Two transforms, each with a placeholder for a host. */
function placeholders(first: [text: string, host: string], second: [text: string, host: string]): string[] {
  const entry = ([text, host]: [string, string]) =>
    `- name: secrets\n  config: {secrets: [{source: {type: env, var: A}, replace: {proxy_value: ${text}, match_headers: [X]}, rules: [{host: ${host}}]}]}\n`;
  return build(
    `transforms:\n- {name: allowlist, config: {domains: ["*.a.example", b.example]}}\n${entry(first)}${entry(second)}`,
  ).issues;
}

test("the same placeholder in two transforms is pointed out where their hosts meet", () => {
  const same =
    /^7:75: warning: the same placeholder as in transforms\[1\].config.secrets\[0\] for the same host; the earlier/;
  assert.match(placeholders(["placeholder", "x.a.example"], ["placeholder", "x.a.example"]).join(), same);
  assert.match(placeholders(["placeholder", "'*.a.example'"], ["placeholder", "x.a.example"]).join(), same);
  assert.deepEqual(placeholders(["placeholder", "x.a.example"], ["placeholder", "b.example"]), []);
});

test("I7: a placeholder that is part of a later transform's is pointed out", () => {
  const part =
    /^7:75: warning: the placeholder of transforms\[1\].config.secrets\[0\] is part of this one; its transform/;
  assert.match(placeholders(["placeholder", "x.a.example"], ["placeholder-2", "x.a.example"]).join(), part);
  assert.deepEqual(placeholders(["placeholder-2", "x.a.example"], ["placeholder", "x.a.example"]), []);
});

test("one mistake in an anchor is reported once", () => {
  const { issues } = build(`
transforms:
- name: allowlist
  config: {domains: [a.example], rules: [&r {host: a.example, paths: [x]}]}
- name: allowlist
  config: {rules: [*r]}
`);
  assert.deepEqual(issues, ['5:71: path "x" must start with /']);
});
