// I2, I6: values and their schema, without helm; and that templates, values, schema and manual know the same keys.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Ajv } from "ajv";
import { parse } from "yaml";
import { codes, read, rows } from "../docs/pages.ts";
import { chartFile, connectBlock, defaults, serviceAccountBlock, templates, type Values } from "./chart.ts";

const schema = JSON.parse(chartFile("values.schema.json")) as Values;
const ajv = new Ajv({ allErrors: true, strict: true, allowUnionTypes: true });
const validate = ajv.compile(schema);

/** What the schema says of values: pointer and message. */
function problems(values: unknown): string[] {
  return validate(values)
    ? []
    : (validate.errors ?? []).map((error) => `${error.instancePath} ${error.message}`);
}

test("the schema accepts the defaults", () => {
  assert.deepEqual(problems(defaults), []);
});

for (const [name, block] of [
  ["Connect", connectBlock],
  ["service account", serviceAccountBlock],
]) {
  test(`I1: the schema accepts the page's block for ${name}`, () => {
    assert.deepEqual(problems(parse(block ?? "")), []);
  });
}

test("I1: the page's blocks are the page's", () => {
  // The page shows them without the blank that ends each empty line of the text above.
  for (const block of [connectBlock, serviceAccountBlock]) {
    assert.deepEqual(Object.keys(parse(block) as Values).at(-1), "secretManager");
    assert.ok(
      read("docs/kubernetes.md").includes(block.replaceAll(/^ $/gm, "")),
      "docs/kubernetes.md shows it",
    );
  }
});

const pageDefaults: readonly [path: string, value: unknown][] = [
  ["secretManager.existingSecretName", "centaur-infra-env"],
  ["secretManager.envPrefix", ""],
  ["ironProxy.secretSource", "onepassword"],
  ["ironProxy.secretTtl", "10m"],
  ["ironProxy.service.proxyPort", 8080],
  ["ironProxy.service.managementPort", 9092],
  ["ironProxy.service.healthPort", 9090],
  ["onepasswordConnect.connect.create", false],
  ["onepasswordConnect.connect.credentialsName", "centaur-onepassword-connect-credentials"],
  ["onepasswordConnect.connect.credentialsKey", "1password-credentials.json"],
  ["ca.create.certSecret", "centaur-firewall-ca"],
  ["ca.create.keySecret", "centaur-firewall-ca-key"],
  ["networkPolicy.enabled", true],
  ["networkPolicy.apiServerPort", 6443],
  ["metrics.serviceMonitor.enabled", false],
];

for (const [path, value] of pageDefaults) {
  test(`I2: ${path} is ${JSON.stringify(value)} by default`, () => {
    assert.equal(at(defaults, path), value);
  });
}

const refused: readonly [why: string, values: string, problem: RegExp][] = [
  [
    "a misspelt mode (T50)",
    "ironProxy: { secretSource: onepassword_connect }",
    /secretSource must be equal to one of/,
  ],
  ["a mode of another type", "ironProxy: { secretSource: true }", /secretSource must be equal/],
  ["a duration that is none", "ironProxy: { secretTtl: ten }", /secretTtl must match pattern/],
  ["a duration without a unit", "ironProxy: { secretTtl: 600 }", /secretTtl must/],
  [
    "a stale key (T52)",
    "ironProxy: { manager: { secretSource: env } }",
    /^\/ironProxy must NOT have additional/,
  ],
  ["a misspelt key", "onepasswordConnect: { connect: { crate: true } }", /connect must NOT have additional/],
  ["a misspelt section", "ironproxy: { secretSource: env }", /^ must NOT have additional/],
  ["a text for a switch", 'onepasswordConnect: { connect: { create: "true" } }', /create must be boolean/],
  ["a scalar for a list (T43)", "proxy: { envSecrets: WAREHOUSE_API_KEY }", /envSecrets must be array/],
  ["a name that is no variable", "proxy: { envSecrets: [warehouse-key] }", /envSecrets\/0 must/],
  [
    "no name of the infra Secret",
    'secretManager: { existingSecretName: "" }',
    /existingSecretName must match/,
  ],
  ["a port below 1024", "ironProxy: { service: { proxyPort: 443 } }", /proxyPort must be >= 1024/],
  ["a port as text", 'ironProxy: { service: { proxyPort: "8080" } }', /proxyPort must be integer/],
  [
    "no labels for sandboxes",
    "networkPolicy: { sandbox: { podLabels: {} } }",
    /podLabels must NOT have fewer/,
  ],
  [
    "a tool whose name is a path",
    'tools: { declarations: { "../x": "a" } }',
    /declarations (?:property name )?must/,
  ],
  ["a URL with a password", 'onepasswordConnect: { host: "http://u:p@connect:8080" }', /host must match/],
  ["a digest that is none", "image: { digest: latest }", /digest must match/],
];

for (const [why, values, problem] of refused) {
  test(`I6: the schema refuses ${why}`, () => {
    const found = problems(parse(values));
    assert.ok(
      found.some((line) => problem.test(line)),
      found.join("\n"),
    );
  });
}

test("I6: the schema takes no unknown key in any section of ours", () => {
  // Text, lists and maps that belong to Kubernetes, to the proxy's file or to the user are open.
  const open = (schema["definitions"] as Values)["strings"];
  assert.ok(open !== undefined);
  const sections = [...leaves(schema, [])];
  assert.deepEqual(sections, []);
});

/** Paths of objects in the schema that have properties and take others too. */
function* leaves(node: unknown, path: readonly string[]): Generator<string> {
  if (typeof node !== "object" || node === null) return;
  const { properties, additionalProperties, required } = node as Values;
  if (properties !== undefined && additionalProperties !== false && required === undefined)
    yield path.join(".");
  for (const [key, child] of Object.entries(node)) yield* leaves(child, [...path, key]);
}

const used = new Set(
  templates
    .flatMap((path) => [...chartFile(path).matchAll(/(?:\$|\.root)?\.Values\.([A-Za-z.]+)/g)])
    .map(([, path = ""]) => path),
);

test("templates use no value that does not exist", () => {
  for (const path of used) {
    if (!path.startsWith("config.")) assert.notEqual(at(defaults, path), undefined, `.Values.${path}`);
  }
});

test("every value is used by a template", () => {
  // Reached through `with` or a component's name rather than by their whole path.
  const indirect =
    /^(?:image|api|proxy|telemetry|metrics\.serviceMonitor|networkPolicy|onepasswordConnect\.connect|ironProxy\.service)\./;
  const text = templates.map((path) => chartFile(path)).join("\n");
  for (const path of paths(defaults)) {
    if ([...used].some((known) => path === known || path.startsWith(`${known}.`))) continue;
    assert.match(path, indirect, `${path} is used nowhere`);
    assert.match(text, new RegExp(`\\.${path.split(".").at(-1)}\\b`), `${path} is used nowhere`);
  }
});

test("the manual lists every value with its default, and no other", () => {
  const listed = new Map(
    rows(read("docs/kubernetes.md"))
      .filter(([key = ""]) => /^`[a-zA-Z.]+`$/.test(key))
      .map(([key = "", standard = ""]) => [codes(key)[0] ?? "", codes(standard)[0] ?? ""]),
  );
  const wanted = new Map(
    paths(defaults).map((path) => {
      const value = at(defaults, path);
      return [path, typeof value === "string" && value !== "" ? value : JSON.stringify(value)];
    }),
  );
  assert.deepEqual([...listed.keys()].sort(), [...wanted.keys()].sort());
  for (const [path, standard] of wanted) assert.equal(listed.get(path), standard, path);
});

test("the chart's application is this version", () => {
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  assert.equal((parse(chartFile("Chart.yaml")) as Values)["appVersion"], version);
});

function at(values: unknown, path: string): unknown {
  return path.split(".").reduce<unknown>((above, key) => (above as Values | undefined)?.[key], values);
}

/** Paths of all values; a map that is the user's own, or Kubernetes', counts as one value. */
function paths(values: Values, above: readonly string[] = []): string[] {
  return Object.entries(values).flatMap(([key, value]) => {
    const path = [...above, key];
    const inner =
      typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Values) : {};
    const whole = /^(?:resources|podLabels|config)$/.test(key) || Object.keys(inner).length === 0;
    return whole ? [path.join(".")] : paths(inner, path);
  });
}
