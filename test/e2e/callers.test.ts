// Sandboxes that prove who they are: whoever has no good token gets one and the same 407, whoever has one gets what
// its tools declare and nothing else.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { issueToken } from "../../src/callers/token.ts";
import { basic, keysOf, newKey } from "../callers/support.ts";
import { openRaw, startTls } from "./harness/client.ts";
import { valueOf } from "./harness/message.ts";
import { missing, run } from "./harness/programs.ts";
import type { Address } from "./harness/sallyport.ts";
import { runSallyport } from "./harness/sallyport.ts";
import { allowlist, openWorld, secrets, type World } from "./harness/world.ts";

const key = newKey();
const keys = keysOf(key);
const tokenFor = (name: string, tools?: readonly string[], ttl = 600, by = keys, now = Date.now()) =>
  issueToken({ name, tools, ttl }, by.current.key, now).token;

/** Sandboxes of the last test, each with a tool and a secret of its own. */
const crowd = Array.from({ length: 200 }, (_, index) => ({
  name: `sandbox-${index}`,
  tool: `tool-${index}`,
  variable: `E2E_CROWD_${index}`,
  placeholder: `<placeholder ${index}>`,
  secret: `canary-crowd-${index}-${randomBytes(9).toString("base64url")}`,
}));

const entry = (variable: string, proxyValue: string, rule: object) => ({
  source: { type: "env", var: variable },
  replace: { proxy_value: proxyValue, match_headers: ["Authorization", "X-Api-Key"], on_misuse: "report" },
  rules: [rule],
});

const world: World = await openWorld({
  config: ({ securePort, plainPort }) => ({
    proxy: { require_caller: true },
    transforms: [
      allowlist(["*.e2e.test:*", "plain.localhost"]),
      secrets([
        entry("E2E_KEY", "PLACEHOLDER_CRM", { host: `api.e2e.test:${securePort}`, tools: ["crm"] }),
        entry("E2E_SEARCH", "PLACEHOLDER_SEARCH", { host: `api.e2e.test:${securePort}`, tools: ["search"] }),
        entry("E2E_ADMIN", "PLACEHOLDER_ADMIN", { host: `api.e2e.test:${securePort}` }),
        entry("E2E_KEY", "PLACEHOLDER_PLAIN", { host: `plain.localhost:${plainPort}`, tools: ["crm"] }),
        ...crowd.map(({ variable, placeholder, tool }) =>
          entry(variable, placeholder, { host: `other.e2e.test:${securePort}`, tools: [tool] }),
        ),
      ]),
    ],
  }),
  env: {
    SANDBOX_SIGNING_KEY: key,
    E2E_SEARCH: "the-search-credential",
    E2E_ADMIN: "the-admin-credential",
    ...Object.fromEntries(crowd.map(({ variable, secret }) => [variable, secret])),
  },
});
world.canary.watch("the signing key", key);
for (const { name, secret } of crowd) world.canary.watch(`the secret of ${name}`, secret);

const { tunnel, http, https } = world.proxy.addresses as Required<typeof world.proxy.addresses>;
const proxyUrl = (token: string, at: Address = tunnel) => `http://sbx:${token}@${at.host}:${at.port}`;

const good = tokenFor("a");
world.canary.watch("a token", good);
const bad: readonly (readonly [what: string, credentials: string | undefined])[] = [
  ["nothing", undefined],
  ["a tampered token", basic(good.replace(/.$/, (last) => (last === "A" ? "B" : "A")))],
  ["an expired token", basic(tokenFor("a", undefined, 60, keys, Date.now() - 61_000))],
  ["a token of another key", basic(tokenFor("a", undefined, 600, keysOf(newKey())))],
  ["a password that is no token", basic("secret")],
  ["no base64", "Basic ?"],
  ["another scheme", `Digest ${good}`],
  ["a tampered Bearer token", `Bearer ${good.slice(0, -1)}`],
];

/** Sends a head to a port of the proxy and gives the answer: for `HEAD`, as after an accepted CONNECT, its head. */
async function ask(
  at: Address,
  requestLine: string,
  host: string,
  credentials: string | undefined,
  as?: "HEAD",
) {
  const client = await openRaw(world.context, at);
  const field = credentials === undefined ? "" : `Proxy-Authorization: ${credentials}\r\n`;
  client.send(`${requestLine}\r\nHost: ${host}\r\n${field}\r\n`);
  const answer = await client.answer(as);
  assert.ok(answer !== undefined);
  return { client, answer };
}

const spellings = {
  CONNECT: [tunnel, `CONNECT ${world.secureAuthority} HTTP/1.1`, world.secureAuthority],
  "absolute form on the tunnel port": [
    tunnel,
    `GET http://${world.plainAuthority}/ HTTP/1.1`,
    world.plainAuthority,
  ],
  "absolute form on the HTTP port": [
    http,
    `GET http://${world.plainAuthority}/ HTTP/1.1`,
    world.plainAuthority,
  ],
  "origin form on the HTTP port": [http, "GET / HTTP/1.1", world.plainAuthority],
} as const;

for (const [spelling, [at, line, host]] of Object.entries(spellings)) {
  test(`T40: one and the same 407 for all that is no good token: ${spelling}`, async () => {
    const upstreams = world.secure.connections + world.plain.connections;
    const heads = new Set<string>();
    for (const [what, credentials] of bad) {
      const { client, answer } = await ask(at, line, host, credentials);
      assert.equal(answer.status, 407, what);
      assert.equal(valueOf(answer.fields, "proxy-authenticate"), 'Basic realm="sallyport"');
      assert.equal(valueOf(answer.fields, "sallyport-reason"), "caller_required");
      const body = answer.body.toString().replace(/"request_id":"[^"]*"/, "");
      heads.add(`${answer.head.replace(/Content-Length: \d+/, "")}${body}`);
      const record = await world.proxy.audit.last(client, 1);
      assert.deepEqual([record.audit.reason, record.audit.caller], ["caller_required", undefined]);
      client.close();
    }
    assert.equal(heads.size, 1, "nothing tells one from the other");
    assert.equal(world.secure.connections + world.plain.connections, upstreams, "I8: nothing was dialled");
  });

  test(`a good token is let in and named in the record: ${spelling}`, async () => {
    for (const credentials of [basic(good), basic(good, "any"), `Bearer ${good}`]) {
      const { client, answer } = await ask(at, line, host, credentials, "HEAD");
      assert.equal(answer.status, 200);
      const record = await world.proxy.audit.last(client, 1);
      assert.equal(record.audit.caller, "a");
      client.close();
    }
  });
}

test("redirected TLS carries no proof, so each request has to", async () => {
  const request = async (...fields: string[]) => {
    const client = await startTls(world.context, await openRaw(world.context, https, world.secureAuthority));
    const { status } = await client.request("GET", "/redirected", { fields });
    return { status, caller: (await world.proxy.audit.last(client, 1)).audit.caller };
  };
  assert.deepEqual(await request(), { status: 407, caller: undefined });
  assert.deepEqual(await request(`Proxy-Authorization: ${basic(good)}`), { status: 200, caller: "a" });
  const { fields } = await world.secure.request("/redirected");
  assert.equal(valueOf(fields, "proxy-authorization"), undefined, "I14: the token stays here");
});

test("curl gets the same by its proxy URL, through a tunnel and without", {
  skip: missing("curl"),
}, async () => {
  const curl = (url: string, token: string) => {
    const format = "%{http_connect} %{http_code}";
    const trust = ["--cacert", world.proxyCaFile];
    return run("curl", ["-s", "-o", "/dev/null", "-w", format, ...trust, "-x", proxyUrl(token), url]);
  };
  const [secure, plain] = [`https://${world.secureAuthority}/`, `http://${world.plainAuthority}/`];
  assert.equal((await curl(secure, good)).stdout, "200 200");
  assert.equal((await curl(plain, good)).stdout, "000 200");
  for (const token of [`${good}x`, "nonsense", tokenFor("a", undefined, 600, keysOf(newKey()))]) {
    assert.equal((await curl(secure, token)).stdout, "407 000");
    assert.equal((await curl(plain, token)).stdout, "000 407");
  }
});

/** A tunnel that a token opened. */
async function openTunnelAs(token: string, authority = world.secureAuthority, at: Address = tunnel) {
  const raw = await openRaw(world.context, at, authority);
  raw.send(
    `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\nProxy-Authorization: ${basic(token)}\r\n\r\n`,
  );
  const head = await raw.reader.until("\r\n\r\n");
  assert.match(head ?? "", /^HTTP\/1\.1 200 /);
  return raw;
}

/** A TLS client inside one. */
async function inside(token: string, authority?: string, at?: Address) {
  return startTls(world.context, await openTunnelAs(token, authority, at));
}

const everything = "PLACEHOLDER_CRM PLACEHOLDER_SEARCH PLACEHOLDER_ADMIN";

for (const [who, tools, [crm, search, admin]] of [
  ["a caller without limits", undefined, [true, true, true]],
  ["a caller limited to crm", ["crm"], [true, false, false]],
  ["a caller limited to both tools", ["crm", "search"], [true, true, false]],
  ["a caller limited to another tool", ["mail"], [false, false, false]],
  ["a caller limited to no tool", [], [false, false, false]],
] as const) {
  test(`${who} uses exactly what its tools declare`, async () => {
    const client = await inside(tokenFor("b", tools));
    const path = `/tools/${tools?.join("+") ?? "all"}`;
    await client.request("GET", path, { fields: [`X-Api-Key: ${everything}`] });
    const { fields } = await world.secure.request(path);
    assert.equal(
      valueOf(fields, "x-api-key"),
      [
        crm ? world.credential : "PLACEHOLDER_CRM",
        search ? "the-search-credential" : "PLACEHOLDER_SEARCH",
        admin ? "the-admin-credential" : "PLACEHOLDER_ADMIN",
      ].join(" "),
    );
    for (const { audit } of await world.proxy.audit.of(client, 2)) assert.equal(audit.caller, "b");
  });
}

test("what one caller may is not remembered for the next on the same connection", async () => {
  const client = await openRaw(world.context, tunnel, world.plainAuthority);
  for (const [number, [tools, swapped]] of (
    [
      [undefined, true],
      [["search"], false],
      [["crm"], true],
      [[], false],
    ] as const
  ).entries()) {
    const path = `/same/${number}`;
    const target = `http://${world.plainAuthority}${path}`;
    const credentials = `Proxy-Authorization: ${basic(tokenFor(`same-${number}`, tools))}`;
    const fields = `Host: ${world.plainAuthority}\r\n${credentials}\r\nX-Api-Key: PLACEHOLDER_PLAIN`;
    client.send(`GET ${target} HTTP/1.1\r\n${fields}\r\n\r\n`);
    assert.equal((await client.answer())?.status, 200);
    const received = await world.plain.request(path);
    assert.equal(valueOf(received.fields, "x-api-key") === world.credential, swapped);
    assert.equal(valueOf(received.fields, "proxy-authorization"), undefined);
  }
  const records = await world.proxy.audit.of(client, 4);
  assert.deepEqual(
    records.map(({ audit }) => audit.caller),
    ["same-0", "same-1", "same-2", "same-3"],
  );
});

test("records about what is wrong name the caller too", async () => {
  const authorization = `Proxy-Authorization: ${basic(tokenFor("c"))}\r\n`;
  for (const [text, status] of [
    [`CONNECT refused.example:443 HTTP/1.1\r\nHost: refused.example:443\r\n${authorization}\r\n`, 403],
    [`CONNECT api.e2e.test:443 HTTP/1.1\r\nHost: other.e2e.test:443\r\n${authorization}\r\n`, 421],
    [`CONNECT ::: HTTP/1.1\r\nHost: a\r\n${authorization}\r\n`, 400],
    [`GET http://plain.localhost/%2e%2e/ HTTP/1.1\r\nHost: plain.localhost\r\n${authorization}\r\n`, 400],
    [`GET http://a.e2e.test/ HTTP/1.1\r\nHost: b.e2e.test\r\n${authorization}\r\n`, 421],
    [`GET http://refused.example/ HTTP/1.1\r\nHost: refused.example\r\n${authorization}\r\n`, 403],
    [`TRACE http://plain.localhost/ HTTP/1.1\r\nHost: plain.localhost\r\n${authorization}\r\n`, 405],
  ] as const) {
    const client = await openRaw(world.context, tunnel);
    client.send(text);
    const answer = await client.answer();
    const { audit } = await world.proxy.audit.last(client, 1);
    assert.deepEqual([answer?.status, audit.caller], [status, "c"], text.slice(0, 40));
  }
  const client = await inside(tokenFor("c"));
  client.send("GET / HTTP/1.1\r\nHost: a b\r\nbad line\r\n\r\n");
  assert.equal((await client.answer())?.status, 400);
  assert.equal((await world.proxy.audit.last(client, 2)).audit.caller, "c", "bytes that are no request");
  for (const [bytes, reason] of [
    [Buffer.from([0x16, 3, 1, 0, 4, 1, 0, 0, 0]), "tls_client_hello_invalid"],
    [Buffer.from([0x99, 1, 2, 3]), "protocol_not_supported"],
  ] as const) {
    const raw = await openTunnelAs(tokenFor("c"));
    raw.send(bytes);
    const { audit } = await world.proxy.audit.last(raw, 2);
    assert.deepEqual([audit.reason, audit.caller], [reason, "c"]);
  }
});

test("a tunnel does not outlive the token that opened it", async () => {
  const client = await inside(tokenFor("d", undefined, 2));
  assert.equal((await client.request("GET", "/")).status, 200);
  await delay(2100);
  const refused = await client.request("GET", "/");
  assert.equal(refused.status, 407);
});

test("a reload puts other keys in force: the previous one goes on being good until it is gone", async () => {
  const file = join(world.folder, "signing-key");
  const [first, second] = [newKey(), newKey()];
  const previous = join(world.folder, "previous-key");
  writeFileSync(file, first);
  writeFileSync(previous, newKey());
  const proxy = await world.another("keys", {
    config: () => ({ proxy: { require_caller: true } }),
    env: { SANDBOX_SIGNING_KEY_FILE: file, SANDBOX_SIGNING_KEY_PREVIOUS_FILE: previous },
  });
  const at = proxy.addresses.tunnel as Address;
  const client = await inside(tokenFor("e", undefined, 600, keysOf(first)), world.secureAuthority, at);
  const reload = async () => {
    const lines = proxy.log.length;
    proxy.signal("SIGHUP");
    await proxy.line("pipeline reloaded", lines);
  };
  assert.equal((await client.request("GET", "/")).status, 200);
  writeFileSync(file, second);
  writeFileSync(previous, first);
  await reload();
  assert.equal((await client.request("GET", "/")).status, 200, "the old key is the previous one now");
  await inside(tokenFor("f", undefined, 600, keysOf(second)), world.secureAuthority, at);
  writeFileSync(previous, newKey());
  await reload();
  assert.equal((await client.request("GET", "/")).status, 407, "and is gone now");
  await proxy.stop();
});

test("without require_caller nobody has to prove anything, and a bad proof is refused all the same", async () => {
  const proxy = await world.another("optional", { env: { SANDBOX_SIGNING_KEY: key } });
  const at = proxy.addresses.tunnel as Address;
  const line = `CONNECT ${world.secureAuthority} HTTP/1.1`;
  for (const [what, credentials] of bad) {
    const { answer } = await ask(at, line, world.secureAuthority, credentials, "HEAD");
    assert.equal(answer.status, credentials === undefined ? 200 : 407, what);
  }
  const { client, answer } = await ask(at, line, world.secureAuthority, basic(good), "HEAD");
  assert.equal(answer.status, 200);
  assert.equal((await proxy.audit.last(client, 1)).audit.caller, "a");
  await proxy.stop();
});

for (const [what, env, message] of [
  ["without a key", {}, /proxy\.require_caller needs SANDBOX_SIGNING_KEY, which is not set/],
  [
    "with a short key",
    { SANDBOX_SIGNING_KEY: "a-short-key" },
    /SANDBOX_SIGNING_KEY: holds fewer than 32 bytes/,
  ],
] as const) {
  test(`does not start with require_caller ${what}, and says which variable it is`, async () => {
    const file = join(world.folder, "key-needed.yaml");
    const tls = { ca_cert: join(world.folder, "proxy-ca.crt"), ca_key: join(world.folder, "proxy-ca.key") };
    const proxy = {
      require_caller: true,
      tunnel_listen: "127.0.0.1:0",
      http_listen: "off",
      https_listen: "off",
    };
    writeFileSync(file, JSON.stringify({ proxy, tls, metrics: { listen: "off" } }));
    const { code, stderr } = await runSallyport(["start", "--config", file], env);
    assert.equal(code, 1);
    assert.match(stderr, message);
    assert.ok(!stderr.includes("a-short-key"));
  });
}

test("I10: 200 sandboxes share one proxy, and no two of them a connection or a secret", async () => {
  const authority = `other.e2e.test:${world.secure.port}`;
  const before = world.secure.received.length;
  const ask = async (index: number) => {
    const own = crowd[index] as (typeof crowd)[number];
    const neighbour = crowd[(index + 1) % crowd.length] as (typeof crowd)[number];
    const client = await inside(tokenFor(own.name, [own.tool]), authority);
    const fields = [`X-Api-Key: ${own.placeholder}${neighbour.placeholder}`, `X-Sandbox: ${own.name}`];
    for (const _round of [1, 2]) {
      assert.equal((await client.request("GET", `/crowd/${own.name}`, { fields })).status, 200);
    }
    const [received] = world.secure.received.filter(({ target }) => target === `/crowd/${own.name}`);
    assert.equal(valueOf(received?.fields ?? [], "x-api-key"), own.secret + neighbour.placeholder, own.name);
    client.close();
  };
  // Some at the same time, and others on the connections that those left behind.
  for (let index = 0; index < crowd.length; index += 25) {
    await Promise.all(Array.from({ length: 25 }, (_, offset) => ask(index + offset)));
  }
  const received = world.secure.received.slice(before);
  assert.equal(received.length, 400);
  const users = Map.groupBy(received, ({ connection }) => connection);
  for (const [connection, requests] of users) {
    const names = new Set(requests.map(({ fields }) => valueOf(fields, "x-sandbox")));
    assert.equal(names.size, 1, `connection ${connection} has served ${[...names].join(" and ")}`);
  }
  assert.ok(users.size >= 200 && users.size < 400, "each sandbox has used its own connection again");
});
