// The control service against its own description: every answer here is checked by it.
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import { keysOf } from "../callers/support.ts";
import { verifyToken } from "../../src/callers/token.ts";
import {
  declareTool,
  managementKey,
  type Service,
  signingKey,
  startService,
  toolsFolder,
} from "./support.ts";

const folder = toolsFolder({
  search: '{ name = "SEARCH_KEY", mode = "inject", inject_header = "X-Key", hosts = ["search.example.com"] }',
  crm: '{ name = "CRM_KEY", replacer = "crm-placeholder", match_headers = ["Authorization"], hosts = ["crm.example.com"] }, { name = "CRM_DB", type = "pg_dsn", database = "crm" }',
});
let service: Service;
let description: Description;

interface Operation {
  readonly security: readonly unknown[];
  readonly requestBody?: unknown;
  readonly responses: Readonly<Record<string, { content: Record<string, { schema: { $ref?: string } }> }>>;
}

interface Description {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, object>> };
}

before(async () => {
  service = await startService(folder.path);
  description = (await (await fetch(`${service.url}/openapi.json`)).json()) as Description;
});
after(() => {
  service.close();
  folder.remove();
});

const newAjv = () => new Ajv2020({ strict: true, allErrors: true, formats: { "date-time": true } });
const validators = new Map<string, ValidateFunction>();

/** Checks an answer by the schema that the description names for it. */
function check(path: string, method: string, status: number, type: string, body: string): void {
  const content = description.paths[path]?.[method.toLowerCase()]?.responses[status]?.content;
  assert.ok(content !== undefined, `${method} ${path} ${status} is not described`);
  const schema = content[type]?.schema;
  assert.ok(schema !== undefined, `${method} ${path} ${status} has ${type}, which is not described`);
  if (schema.$ref === undefined) return;
  const name = schema.$ref.replace("#/components/schemas/", "");
  const known = validators.get(name);
  const validate = known ?? newAjv().compile(description.components.schemas[name] ?? {});
  validators.set(name, validate);
  assert.ok(validate(JSON.parse(body)), `${method} ${path}: ${JSON.stringify(validate.errors)}\n${body}`);
}

interface Asked {
  readonly key?: string | undefined;
  readonly method?: string;
  readonly body?: string | object;
  readonly type?: string;
}

async function ask(pathAndQuery: string, { key = managementKey, method = "GET", body, type }: Asked = {}) {
  const response = await fetch(`${service.url}${pathAndQuery}`, {
    method,
    headers: {
      ...(key === "" ? {} : { Authorization: `Bearer ${key}` }),
      ...(body === undefined ? {} : { "Content-Type": type ?? "application/json" }),
    },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  const path = pathAndQuery.split("?", 1)[0] as string;
  const described = description.paths[path];
  if (described !== undefined) {
    const own = Object.keys(described)[0] as string;
    check(path, own, response.status, response.headers.get("content-type") ?? "", text);
  }
  return { status: response.status, headers: response.headers, text, json: () => JSON.parse(text) };
}

const create = (body: string | object, more: Asked = {}) =>
  ask("/v1/sandboxes", { method: "POST", body, ...more });

test("describes itself, without a key, in OpenAPI 3.1", () => {
  assert.equal(description.openapi, "3.1.0");
  assert.deepEqual(Object.keys(description.paths).sort(), [
    "/health",
    "/health/tools",
    "/v1/ca.pem",
    "/v1/sandboxes",
    "/v1/tools",
  ]);
  for (const schema of Object.values(description.components.schemas)) newAjv().compile(schema);
});

test("every operation that is said to need the key needs it, and no other does", async () => {
  for (const [path, operations] of Object.entries(description.paths)) {
    for (const [method, { security, requestBody }] of Object.entries(operations)) {
      for (const key of ["", "wrong", managementKey.slice(1), `${managementKey}x`]) {
        const { status, headers, json } = await ask(path, {
          key,
          method: method.toUpperCase(),
          ...(requestBody === undefined ? {} : { body: { name: "a" } }),
        });
        if (security.length === 0) assert.equal(status, 200, path);
        else {
          assert.equal(status, 401, path);
          assert.match(headers.get("www-authenticate") ?? "", /^Bearer /);
          assert.ok(!json().error.includes(managementKey.slice(1)));
        }
      }
    }
  }
});

test("lists what tools declare, without where the credentials are", async () => {
  const { status, json, text } = await ask("/v1/tools");
  assert.equal(status, 200);
  const { tools } = json();
  assert.deepEqual(
    tools.map(({ name }: { name: string }) => name),
    ["crm", "search", "OPENAI_API_KEY"],
  );
  assert.deepEqual(tools[0], {
    name: "crm",
    description: "the tool crm",
    secrets: [
      {
        name: "CRM_KEY",
        type: "http",
        mode: "replace",
        optional: false,
        hosts: ["crm.example.com"],
        placeholder: "crm-placeholder",
      },
      { name: "CRM_DB", type: "pg_dsn", mode: null, optional: false, hosts: [], placeholder: null },
    ],
  });
  assert.doesNotMatch(text, /secret_ref|op:\/\//);
});

test("makes a sandbox: a token, its end, and the environment that goes with it", async () => {
  const startedAt = Date.now();
  const { status, json } = await create({
    name: "sandbox-41",
    tools: ["crm"],
    ttl: "30m",
    env: { EXTRA: "x y" },
  });
  assert.equal(status, 201);
  const { name, tools, env, token, expires_at: expiresAt, warnings } = json();
  assert.deepEqual([name, tools, warnings], ["sandbox-41", ["crm"], []]);
  const claims = verifyToken(token, keysOf(signingKey).current.key, Date.now());
  assert.deepEqual([claims?.name, claims?.tools], ["sandbox-41", ["crm"]]);
  assert.equal(Date.parse(expiresAt), (claims?.expiresAt ?? 0) * 1000);
  assert.ok(Math.abs(Date.parse(expiresAt) - startedAt - 1_800_000) < 5000);
  assert.equal(env.HTTPS_PROXY, `http://sbx:${token}@proxy:8080`);
  assert.equal(env.NO_PROXY, "localhost,127.0.0.1,::1,[::1],proxy,api");
  assert.deepEqual([env.CRM_KEY, env.EXTRA, env.SSL_CERT_FILE], ["crm-placeholder", "x y", "/ca.pem"]);
  assert.deepEqual([env.SEARCH_KEY, env.OPENAI_API_KEY], [undefined, undefined], "of other tools");
});

test("without tools a sandbox has all of them, with none it has none", async () => {
  const all = (await create({ name: "a" })).json();
  assert.equal(all.tools, null);
  assert.deepEqual([all.env.SEARCH_KEY, all.env.OPENAI_API_KEY], ["SEARCH_KEY", "OPENAI_API_KEY"]);
  const none = (await create({ name: "a", tools: [], ttl: 60 })).json();
  assert.deepEqual([none.tools, none.env.SEARCH_KEY], [[], undefined]);
});

for (const [what, body, error] of [
  ["no JSON", "{", /^the body: /],
  ["no UTF-8", Buffer.from([0x22, 0xff, 0x22]).toString("latin1"), /^the body: /],
  ["a list", "[]", /^the body: /],
  ["no name", {}, /^name: /],
  ["a name with a space", { name: "a b" }, /^name: /],
  ["an unknown key", { name: "a", tool: ["crm"] }, /^the body: .*tool/],
  ["a tool that is not there", { name: "a", tools: ["crm", "mail"] }, /there is no "mail"; GET \/v1\/tools/],
  ["tools that are no list", { name: "a", tools: "crm" }, /^tools: /],
  ["a time that is none", { name: "a", ttl: "soon" }, /^ttl: write a duration/],
  ["no time at all", { name: "a", ttl: 0 }, /^ttl: /],
  ["a year", { name: "a", ttl: "8760h" }, /^ttl: /],
  ["a variable with a bad name", { name: "a", env: { "A B": "x" } }, /^env/],
  ["a variable that is no text", { name: "a", env: { A: 1 } }, /^env\.A: /],
] as const) {
  test(`refuses a sandbox with ${what}, and says what is wrong`, async () => {
    const { status, json } = await create(body);
    assert.equal(status, 400);
    assert.match(json().error, error);
  });
}

test("refuses what is not said to be JSON, and what is too large", async () => {
  assert.equal((await create("name=a", { type: "application/x-www-form-urlencoded" })).status, 415);
  assert.equal((await create("{}", { type: "application/json; charset=utf-8" })).status, 400, "JSON it is");
  assert.equal((await create({ name: "a", env: { A: "x".repeat(70_000) } })).status, 413);
});

test("I14: a variable of a sandbox may not hold a credential that this process happens to see", async () => {
  const other = await startService(folder.path, { CRM_KEY: "the-real-credential" });
  try {
    const response = await fetch(`${other.url}/v1/sandboxes`, {
      method: "POST",
      headers: { Authorization: `Bearer ${managementKey}`, "Content-Type": "application/json" },
      body: JSON.stringify({ name: "a", env: { A: "x the-real-credential" } }),
    });
    const text = await response.text();
    assert.equal(response.status, 400);
    assert.match(text, /A holds the value of CRM_KEY/);
    assert.doesNotMatch(text, /the-real/);
  } finally {
    other.close();
  }
});

test("gives the certificate, or the bundle, and nothing else", async () => {
  assert.equal((await ask("/v1/ca.pem")).text, "certificate");
  assert.equal((await ask("/v1/ca.pem?roots=system")).text, "certificate and roots");
  assert.equal((await ask("/v1/ca.pem?roots=key")).status, 400);
});

test("other methods get 405 with the right one, other paths 404", async () => {
  for (const [path, allowed] of [
    ["/v1/tools", "GET"],
    ["/v1/sandboxes", "POST"],
    ["/health", "GET"],
  ] as const) {
    const { status, headers } = await ask(path, { method: "DELETE" });
    assert.deepEqual([status, headers.get("allow")], [405, allowed]);
  }
  assert.equal((await ask("/v1/secrets")).status, 404);
});

test("sees new tools after a while, and says what is wrong with them", async () => {
  assert.deepEqual((await ask("/health/tools")).json().status, "ok");
  declareTool(folder.path, "mail", '{ name = "MAIL_KEY", mode = "nonsense", hosts = ["mail.example.com"] }');
  declareTool(folder.path, "new", '{ name = "NEW_KEY", match_headers = ["A"], hosts = ["new.example.com"] }');
  assert.equal((await ask("/v1/tools")).json().tools.length, 3, "not yet");
  service.advance(6000);
  const { tools } = (await ask("/v1/tools")).json();
  assert.ok(tools.some(({ name }: { name: string }) => name === "new"));
  const health = (await ask("/health/tools")).json();
  assert.deepEqual([health.status, health.tools, health.error], ["degraded", 4, null]);
  const [problem] = health.problems.filter(({ severity }: { severity: string }) => severity === "error");
  assert.deepEqual([problem.tool, problem.line], ["mail", 4]);
  rmSync(join(folder.path, "mail"), { recursive: true });
  service.advance(6000);
  assert.equal((await ask("/health/tools")).json().status, "ok");
});

test("goes on with the earlier declarations when the directory is gone", async () => {
  const other = toolsFolder({ a: '{ name = "A_KEY", match_headers = ["A"], hosts = ["a.example.com"] }' });
  const temporary = await startService(other.path);
  try {
    other.remove();
    temporary.advance(6000);
    const headers = { Authorization: `Bearer ${managementKey}` };
    const list = (await (await fetch(`${temporary.url}/v1/tools`, { headers })).json()) as {
      tools: unknown[];
    };
    assert.equal(list.tools.length, 2);
    const health = (await (await fetch(`${temporary.url}/health/tools`, { headers })).json()) as {
      status: string;
    };
    assert.equal(health.status, "degraded");
    assert.equal(temporary.log.length, 1, "said once");
  } finally {
    temporary.close();
  }
});
