// Where credentials come from, where they go and where they never go, seen from both ends of the proxy.
import assert from "node:assert/strict";
import { unlinkSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { type Client, openRaw, startTls } from "./harness/client.ts";
import { type Answer, valueOf, valuesOf } from "./harness/message.ts";
import { allowlist, openWorld, placeholder, secrets, swap } from "./harness/world.ts";

const wide = "canary-wide-0123456789abcdef";
const long = "canary-long-0123456789abcdef";
const injected = "canary-injected-0123456789abcdef";
const broken = "canary-broken-0123456789abcdef";
const fromFile = "canary-file-0123456789abcdef";

const env = (variable: string) => ({ type: "env", var: variable });
const world = await openWorld({
  env: { E2E_WIDE: wide, E2E_LONG: long, E2E_INJECTED: injected, E2E_BROKEN: `${broken}\r\nX-Evil: yes` },
  config: ({ securePort, folder }) => {
    const api = [{ host: `api.e2e.test:${securePort}` }];
    const replace = (proxyValue: string, more: object = {}) => ({ proxy_value: proxyValue, ...more });
    const headers = { match_headers: ["Authorization"] };
    return {
      transforms: [
        allowlist(["*.e2e.test:*", { host: "other.e2e.test:*" }]),
        secrets([
          swap("E2E_KEY", placeholder, [`api.e2e.test:${securePort}`], { on_misuse: "report" }),
          { source: env("E2E_WIDE"), replace: replace("ph-wide"), rules: api },
          { source: env("E2E_LONG"), replace: replace("ph-wide-and-long"), rules: api },
          { source: env("E2E_MISSING"), replace: replace("ph-missing", headers), rules: api },
          {
            source: env("E2E_MISSING"),
            on_unavailable: "pass",
            replace: replace("ph-pass", headers),
            rules: api,
          },
          { source: env("E2E_BROKEN"), replace: replace("ph-broken", headers), rules: api },
          {
            source: { type: "file", path: `${folder}/secret`, ttl: "1s" },
            replace: replace("ph-file", headers),
            rules: api,
          },
          {
            source: env("E2E_WIDE"),
            replace: replace("ph-places", { match_query: true, match_path: true, match_body: true }),
            rules: api,
          },
          {
            source: env("E2E_INJECTED"),
            inject: { header: "Authorization", formatter: "Token {{ .Value }}" },
            rules: [{ host: `other.e2e.test:${securePort}` }],
          },
          {
            source: env("E2E_WIDE"),
            replace: replace("ph-required", { ...headers, require: true }),
            rules: [{ host: `deep.api.e2e.test:${securePort}` }],
          },
        ]),
        secrets([
          {
            source: env("E2E_WIDE"),
            inject: { header: "authorization" },
            rules: [{ host: `other.e2e.test:${securePort}` }],
          },
        ]),
      ],
    };
  },
});
for (const [label, value] of Object.entries({ wide, long, injected, broken, fromFile })) {
  world.canary.watch(label, value);
}
const { secure, proxy } = world;

/** Sends one request on a connection of its own and gives both ends of it. */
async function send(
  path: string,
  fields: readonly string[],
  options: { host?: string; method?: string; body?: string } = {},
): Promise<{ client: Client; answer: Answer }> {
  const { host = "api.e2e.test", method = "GET", body } = options;
  const client = await world.redirected(`${host}:${secure.port}`);
  const answer = await client.request(method, path, { fields, ...(body === undefined ? {} : { body }) });
  return { client, answer };
}

async function sentUpstream(path: string, name: string): Promise<string[]> {
  return valuesOf((await secure.request(path)).fields, name);
}

test("I7 attack 43: the placeholder is swapped where the entry says, and left alone everywhere else", async () => {
  const fields = [
    `Authorization: Bearer ${placeholder}`,
    `X-Api-Key: ${placeholder}`,
    `X-Other: ${placeholder}`,
    `Cookie: ${placeholder}`,
  ];
  await send(`/places?q=${placeholder}`, fields, { method: "POST", body: placeholder });
  const received = await secure.request("/places");
  assert.equal(valueOf(received.fields, "authorization"), `Bearer ${world.credential}`);
  assert.equal(valueOf(received.fields, "x-api-key"), world.credential);
  assert.equal(valueOf(received.fields, "x-other"), placeholder);
  assert.equal(valueOf(received.fields, "cookie"), placeholder);
  assert.equal(received.target, `/places?q=${placeholder}`);
  assert.equal(received.body.toString(), placeholder);
});

test("I7 attack 30 attack 41: every header never means those that are reflected, stored or of the handshake", async () => {
  const spared = [
    "Cookie",
    "Referer",
    "User-Agent",
    "X-Forwarded-For",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Protocol",
  ];
  await send("/wide", ["X-Any: ph-wide", ...spared.map((name) => `${name}: ph-wide`)]);
  assert.deepEqual(await sentUpstream("/wide", "x-any"), [wide]);
  for (const name of spared) assert.deepEqual(await sentUpstream("/wide", name), ["ph-wide"], name);
});

test("I7: a placeholder that begins another does it no harm, and nothing is swapped twice", async () => {
  await send("/prefix", ["X-Any: ph-wide-and-long ph-wide"]);
  assert.deepEqual(await sentUpstream("/prefix", "x-any"), [`${long} ${wide}`]);
});

test("I7: query, path and body are searched where the entry says so, and the length is right", async () => {
  const { client, answer } = await send("/p/ph-places/x?a=ph-places", [], {
    method: "POST",
    body: "[ph-places]",
  });
  assert.equal(answer.status, 200);
  const received = await secure.request(`/p/${wide}/x`);
  assert.equal(received.target, `/p/${wide}/x?a=${wide}`);
  assert.equal(received.body.toString(), `[${wide}]`);
  assert.deepEqual(valuesOf(received.fields, "content-length"), [String(wide.length + 2)]);
  const line = await proxy.audit.last(client, 1);
  assert.equal(line.audit.path, "/p/ph-places/x", "I14: the audit has the path as it arrived");
});

test("I4: a credential that cannot be had closes the request, and nothing goes out", async () => {
  const { client, answer } = await send("/missing", ["Authorization: Bearer ph-missing"]);
  assert.equal(answer.status, 403);
  assert.equal(valueOf(answer.fields, "sallyport-reason"), "secret_unavailable");
  assert.equal(secure.count("/missing"), 0);
  const line = await proxy.audit.last(client, 1);
  assert.equal(line.audit.action, "reject");
  assert.equal(line.rejected_by, "secrets");
});

test("I4: on_unavailable: pass lets the request go as it came", async () => {
  const { answer } = await send("/pass", ["Authorization: Bearer ph-pass"]);
  assert.equal(answer.status, 200);
  assert.deepEqual(await sentUpstream("/pass", "authorization"), ["Bearer ph-pass"]);
});

test("I4: without its placeholder a request needs no credential, whatever its source is like", async () => {
  assert.equal((await send("/without", [])).answer.status, 200);
});

test("I4: require refuses a request without the placeholder", async () => {
  const { answer } = await send("/required", [], { host: "deep.api.e2e.test" });
  assert.equal(answer.status, 403);
  assert.equal(valueOf(answer.fields, "sallyport-reason"), "placeholder_missing");
  assert.equal(secure.count("/required"), 0);
});

test("I14 attack 33: a credential with a line break splits no request and is not shown", async () => {
  const { answer } = await send("/split", ["Authorization: Bearer ph-broken"]);
  assert.equal(answer.status, 403);
  assert.equal(valueOf(answer.fields, "sallyport-reason"), "secret_invalid");
  assert.equal(secure.count("/split"), 0);
});

test("I5: the first of two entries for one header wins, and the audit says that the other was skipped", async () => {
  const { client, answer } = await send("/first", [], { host: "other.e2e.test" });
  assert.equal(answer.status, 200);
  assert.deepEqual(await sentUpstream("/first", "authorization"), [`Token ${injected}`]);
  const line = await proxy.audit.last(client, 1);
  const annotations = line.request_transforms?.map((trace) => trace.annotations?.["skipped"]);
  assert.deepEqual(annotations, [undefined, undefined, "credential_already_applied"]);
});

test("I6 attack 44: an injected header replaces every spelling that the workload sent", async () => {
  const mine = ["authorization: Basic bWU6bWU=", "AUTHORIZATION: Bearer mine", "Authorization: x"];
  await send("/double", mine, { host: "other.e2e.test" });
  assert.deepEqual(await sentUpstream("/double", "authorization"), [`Token ${injected}`]);
});

test("I6 attack 38: Connection cannot name the credential's header away", async () => {
  await send("/named", ["Connection: authorization, x-api-key, keep-alive"], { host: "other.e2e.test" });
  assert.deepEqual(await sentUpstream("/named", "authorization"), [`Token ${injected}`]);
  // In replace mode it names the workload's own field away, and no credential goes out at all.
  await send("/named-too", ["Connection: authorization", `Authorization: Bearer ${placeholder}`]);
  assert.deepEqual(await sentUpstream("/named-too", "authorization"), []);
});

test("attack 38: hop-by-hop fields end here, in both directions", async () => {
  secure.on("/hops", async (request) => {
    await request.body();
    request.write(
      "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\n" +
        "Proxy-Connection: x\r\nUpgrade: h2c\r\nX-End: 1\r\nContent-Length: 0\r\n\r\n",
    );
  });
  const fields = [
    "Connection: X-Hop",
    "X-Hop: 1",
    "Keep-Alive: 5",
    "Proxy-Authorization: Basic eDp5",
    "Proxy-Connection: keep-alive",
    "TE: gzip",
    "X-End: 1",
  ];
  const { client, answer } = await send("/hops", fields);
  assert.equal(answer.head, "HTTP/1.1 200 OK\r\nX-End: 1\r\nContent-Length: 0\r\n\r\n");
  const received = await secure.request("/hops");
  assert.equal(received.head, `GET /hops HTTP/1.1\r\nHost: ${client.authority}\r\nX-End: 1\r\n\r\n`);
});

test("attack 45: a redirect goes back to the client: its next hop is a new decision", async () => {
  secure.on("/redirect", async (request) => {
    await request.body();
    request.write("HTTP/1.1 302 Found\r\nLocation: https://evil.test/?next\r\nContent-Length: 0\r\n\r\n");
  });
  const queries = world.dns.queries.length;
  const { answer } = await send("/redirect", [`Authorization: Bearer ${placeholder}`]);
  assert.equal(answer.status, 302);
  assert.equal(valueOf(answer.fields, "location"), "https://evil.test/?next");
  assert.ok(!world.dns.queries.slice(queries).includes("evil.test"));
});

test("attack 59: nobody's word for where a request comes from counts but the connection's", async () => {
  const { client } = await send("/spoofed", ["X-Forwarded-For: 10.9.8.7", "Forwarded: for=10.9.8.7"]);
  assert.equal((await proxy.audit.last(client, 1)).audit.remote_addr, client.remote);
});

test("I14 attack 49: no refusal, failure or record shows a credential", async () => {
  // Each of these fails after the credential was attached or read.
  secure.on("/fails", (request) => request.reset());
  secure.on("/garbage", (request) => request.write("no HTTP at all\r\n\r\n"));
  for (const path of ["/fails", "/garbage"]) {
    const { answer } = await send(path, [`Authorization: Bearer ${placeholder}`], {
      method: "POST",
      body: "x",
    });
    assert.equal(answer.status, 502);
  }
  assert.ok(world.canary.searched > 0);
});

test("I4: a secret file that disappears keeps its value in force, and its return is noticed", async () => {
  const file = `${world.folder}/secret`;
  const fields = ["Authorization: Bearer ph-file"];
  const early = await send("/file-early", fields);
  assert.equal(valueOf(early.answer.fields, "sallyport-reason"), "secret_unavailable");

  writeFileSync(file, `${fromFile}\n`, { mode: 0o600 });
  const second = await world.another("file", {
    config: () => ({
      proxy: { tunnel_listen: "off", http_listen: "off" },
      transforms: [
        allowlist(["*.e2e.test:*"]),
        secrets([
          {
            source: { type: "file", path: file, ttl: "1s" },
            replace: { proxy_value: "ph-file", match_headers: ["Authorization"] },
            rules: [{ host: `api.e2e.test:${secure.port}` }],
          },
        ]),
      ],
    }),
  });
  const { host, port } = second.addresses.https as { host: string; port: number };
  const raw = await openRaw(world.context, { host, port }, world.secureAuthority);
  const client = await startTls(world.context, raw);
  const ask = async (path: string): Promise<string[]> => {
    const answer = await client.request("GET", path, { fields });
    assert.equal(answer.status, 200);
    return sentUpstream(path, "authorization");
  };
  assert.deepEqual(await ask("/file-1"), [`Bearer ${fromFile}`]);
  unlinkSync(file);
  // Past its ttl the file is read again, in vain: the old value serves, and the operator is told.
  await new Promise((resolve) => setTimeout(resolve, 1300));
  assert.deepEqual(await ask("/file-2"), [`Bearer ${fromFile}`]);
  const warning = await second.line("a secret source failed");
  assert.match(String(warning["error"]), /does not exist/);
  client.close();
  await second.stop();
});
