// Misuse of placeholders and leaked credentials, seen from both ends of the proxy and in its audit.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { eventually } from "./harness/wait.ts";
import type { Client, RequestOptions } from "./harness/client.ts";
import { type Answer, valueOf } from "./harness/message.ts";
import { answer } from "./harness/upstream.ts";
import { allowlist, openWorld, placeholder, secrets, swap } from "./harness/world.ts";
import { echo, upgraded } from "./websocket-support.ts";

const other = "placeholder-of-another-host";
const lenient = "placeholder-that-is-only-reported";
const strict = "placeholder-that-blocks-bodies-too";
const injected = "canary-injected-/+%&0123456789";

/** What the webhook got. */
const posted: { signature: string; body: string }[] = [];
const receiver = createServer((request, response) => {
  let body = "";
  request.on("data", (chunk: Buffer) => (body += chunk.toString()));
  request.on("end", () => {
    posted.push({ signature: String(request.headers["sallyport-signature"]), body });
    response.writeHead(204).end();
  });
});
receiver.listen(0, "127.0.0.1");
await once(receiver, "listening");
after(() => {
  receiver.closeAllConnections();
  receiver.close();
});

const world = await openWorld({
  env: {
    E2E_WEBHOOK: "canary-webhook-0123456789abcdef",
    E2E_OTHER: "canary-other-0123456789abcdef",
    E2E_INJECTED: injected,
  },
  config: ({ securePort }) => ({
    findings: {
      webhook: {
        url: `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`,
        secret: { type: "env", var: "E2E_WEBHOOK" },
      },
    },
    transforms: [
      allowlist(["*.e2e.test:*"]),
      secrets([
        swap("E2E_KEY", placeholder, [`api.e2e.test:${securePort}`]),
        swap("E2E_OTHER", other, [`other.e2e.test:${securePort}`]),
        swap("E2E_OTHER", lenient, [`other.e2e.test:${securePort}`], { on_misuse: "report" }),
        swap("E2E_OTHER", strict, [`other.e2e.test:${securePort}`], { on_misuse: "block" }),
        swap("E2E_OTHER", "NAME_OF_A_KEY", [`other.e2e.test:${securePort}`]),
        swap("E2E_OTHER", "placeholder-twice", [`api.e2e.test:${securePort}`], { max_occurrences: 2 }),
        {
          source: { type: "env", var: "E2E_OTHER" },
          replace: { proxy_value: "placeholder-in-bodies", match_body: true },
          rules: [{ host: `api.e2e.test:${securePort}` }],
        },
        swap("E2E_OTHER", "placeholder-for-posts", []),
        {
          source: { type: "env", var: "E2E_OTHER" },
          replace: { proxy_value: "placeholder-of-one-path", match_headers: ["Authorization"] },
          rules: [{ host: `api.e2e.test:${securePort}`, paths: ["/only"] }],
        },
        {
          source: { type: "env", var: "E2E_INJECTED" },
          inject: { header: "X-Injected" },
          rules: [{ host: `deep.api.e2e.test:${securePort}` }],
        },
      ]),
    ],
  }),
});
world.canary.watch("injected", injected);
const { secure, credential, proxy } = world;

async function send(
  path: string,
  {
    host = "api.e2e.test",
    method = "GET",
    ...options
  }: RequestOptions & { host?: string; method?: string } = {},
): Promise<{ client: Client; got: Answer }> {
  const client = await world.redirected(`${host}:${secure.port}`);
  return { client, got: await client.request(method, path, options) };
}

async function refused(
  sent: Promise<{ client: Client; got: Answer }>,
  reason: string,
  expected: { kind: string; where: string; secret?: string; count?: number },
): Promise<void> {
  const { client, got } = await sent;
  assert.equal(got.status, 403);
  assert.equal(valueOf(got.fields, "sallyport-reason"), reason);
  const [found] = await proxy.audit.findingsOf(client);
  const { kind, where, action, count } = found ?? {};
  assert.deepEqual(
    { kind, where, action, count },
    { kind: expected.kind, where: expected.where, action: "blocked", count: expected.count ?? 1 },
  );
  if (expected.secret !== undefined) assert.equal(found?.secret, expected.secret);
  const record = await proxy.audit.last(client, 1);
  assert.equal(record.audit.reason, reason);
  assert.equal(record.rejected_by, "findings");
  assert.equal(record.audit.request_id, found?.request_id);
}

const misused = "placeholder_misused";
const basic = (text: string) => `Authorization: Basic ${Buffer.from(text).toString("base64")}`;

for (const [what, fields, path, where] of [
  ["a header", [`Authorization: Bearer ${other}`], "/", "header:authorization"],
  ["Basic credentials", [basic(`user:${other}`)], "/", "header:authorization"],
  ["a cookie", [`Cookie: a=${other}`], "/", "header:cookie"],
  ["the query", [], `/?q=${encodeURIComponent(other)}`, "query"],
  ["the path, escaped", [], `/${other.replaceAll("-", "%2D")}`, "path"],
] as const) {
  test(`attack 41: a placeholder for another host in ${what} is blocked, and told`, async () => {
    await refused(send(path, { fields }), misused, {
      kind: "placeholder_wrong_host",
      where,
      secret: "E2E_OTHER",
    });
  });
}

test("a placeholder in another header than its own, and for another path of its host, is blocked", async () => {
  const wrong = { kind: "placeholder_wrong_place" };
  await refused(send("/", { fields: [`X-Note: ${placeholder}`] }), misused, {
    ...wrong,
    where: "header:x-note",
  });
  const elsewhere = send("/elsewhere", { fields: ["Authorization: placeholder-of-one-path"] });
  await refused(elsewhere, misused, { ...wrong, where: "header:authorization" });
});

test("attack 42: a second copy beside the legitimate one is blocked, unless the entry allows it", async () => {
  const fields = [`Authorization: Bearer ${placeholder}`, `X-Api-Key: ${placeholder}`];
  await refused(send("/", { fields }), misused, {
    kind: "placeholder_repeated",
    where: "header:x-api-key",
    secret: "E2E_KEY",
  });
  const two = ["Authorization: Bearer placeholder-twice", "X-Api-Key: placeholder-twice"];
  assert.equal((await send("/", { fields: two })).got.status, 200);
  const bodies = (count: number) => ({ method: "POST", body: "placeholder-in-bodies ".repeat(count) });
  assert.equal((await send("/", bodies(4))).got.status, 200);
  await refused(send("/", bodies(6)), misused, { kind: "placeholder_repeated", where: "body", count: 2 });
});

test("a placeholder in the history of a chat stops no agent, and is told once a minute", async () => {
  const body = JSON.stringify({ messages: [{ role: "user", content: `my key is ${placeholder}` }] });
  const fields = [`Authorization: Bearer ${placeholder}`, "Content-Type: application/json"];
  const client = await world.redirected(`api.e2e.test:${secure.port}`);
  for (let turn = 0; turn < 3; turn++) {
    const got = await client.request("POST", "/chat", { fields, body });
    assert.equal(got.status, 200);
    const received = await secure.request("/chat", turn + 1);
    assert.equal(valueOf(received.fields, "authorization"), `Bearer ${credential}`);
    assert.equal(received.body.toString(), body, "not swapped");
  }
  await proxy.audit.of(client, 3);
  const found = await proxy.audit.findingsOf(client);
  assert.deepEqual(
    found.map(({ kind, action, where }) => ({ kind, action, where })),
    [{ kind: "placeholder_wrong_place", action: "reported", where: "body" }],
  );
});

test("a placeholder for another host is only told in a body, and blocked there with on_misuse: block", async () => {
  const { client, got } = await send("/", { method: "POST", body: `a=1&b=${other}` });
  assert.equal(got.status, 200);
  const [found] = await proxy.audit.findingsOf(client);
  assert.equal(found?.kind, "placeholder_wrong_host");
  assert.equal(found?.action, "reported");
  await refused(send("/", { method: "POST", body: `a=1&b=${strict}` }), misused, {
    kind: "placeholder_wrong_host",
    where: "body",
  });
});

test("on_misuse: report lets everything go, and tells", async () => {
  const { client, got } = await send(`/?a=${lenient}`, { fields: [`X-Note: ${lenient}`] });
  assert.equal(got.status, 200);
  const found = await proxy.audit.findingsOf(client, 2);
  assert.deepEqual(found.map(({ where, action }) => `${where} ${action}`).sort(), [
    "header:x-note reported",
    "query reported",
  ]);
});

test("the name of a variable in a URL is a mention, and in a header a placeholder", async () => {
  assert.equal((await send("/search?q=NAME_OF_A_KEY")).got.status, 200);
  await refused(send("/", { fields: ["Authorization: NAME_OF_A_KEY"] }), misused, {
    kind: "placeholder_wrong_host",
    where: "header:authorization",
  });
});

test("what policy refuses is refused by policy, and the placeholder that it held is told", async () => {
  const { client, got } = await send("/", { host: "denied.test", fields: [`Authorization: ${other}`] });
  assert.equal(valueOf(got.fields, "sallyport-reason"), "host_not_allowed");
  const [found] = await proxy.audit.findingsOf(client);
  assert.equal(found?.kind, "placeholder_wrong_host");
  assert.equal(found?.action, "blocked");
});

const leaked = "credential_in_request";

/** A compressed one. */
function grpcMessage(payload: Buffer): Buffer {
  const prefix = Buffer.from([1, 0, 0, 0, 0]);
  prefix.writeUInt32BE(payload.length, 1);
  return Buffer.concat([prefix, payload]);
}

for (const [what, options, where] of [
  ["a header", { fields: [`X-A: ${credential}`] }, "header:x-a"],
  ["base64", { fields: [basic(`me:${credential}`)] }, "header:authorization"],
  ["a body", { method: "POST", body: `{"key":"${credential}"}` }, "body"],
  ["hexadecimal in a body", { method: "POST", body: Buffer.from(credential).toString("hex") }, "body"],
  [
    "a body in gzip",
    {
      method: "POST",
      body: gzipSync(`{"key":"${credential}"}`).toString("latin1"),
      fields: ["Content-Encoding: gzip"],
    },
    "body",
  ],
  [
    "a compressed message of gRPC",
    {
      method: "POST",
      body: grpcMessage(gzipSync(`key: ${credential}`)).toString("latin1"),
      fields: ["Content-Type: application/grpc", "grpc-encoding: gzip"],
    },
    "body",
  ],
  ["a value that was never sent", { fields: [`X-A: ${encodeURIComponent(injected)}`] }, "header:x-a"],
] as const) {
  test(`a real value from the workload is blocked whatever the host: ${what}`, async () => {
    const before = secure.received.length;
    await refused(send("/leak", { host: "other.e2e.test", ...options }), leaked, { kind: leaked, where });
    assert.equal(
      secure.received.slice(before).filter(({ complete }) => complete).length,
      0,
      "no complete request at the upstream",
    );
  });
}

test("a real value that comes in pieces ends the request before it is complete", async () => {
  // Nobody holds the body of this one.
  const client = await world.redirected(`other.e2e.test:${secure.port}`);
  client.send(`POST /pieces HTTP/1.1\r\nHost: ${client.authority}\r\nTransfer-Encoding: chunked\r\n\r\n`);
  for (const letter of credential) {
    client.send(`1\r\n${letter}\r\n`);
    await pause(1);
  }
  const got = await client.answer();
  assert.equal(got?.status, 403);
  assert.equal(valueOf(got?.fields ?? [], "sallyport-reason"), leaked);
  const [found] = await proxy.audit.findingsOf(client);
  assert.equal(found?.kind, leaked);
  assert.equal(found?.where, "body");
});

test("a coded body without a finding goes on as it came, also one in a coding that is not taken off", async () => {
  for (const [coding, body] of [
    ["gzip", gzipSync(`a mention of ${placeholder}`)],
    ["deflate", gzipSync("not what it says")],
    ["compress", Buffer.from("whatever")],
    ["gzip, br", Buffer.from("whatever")],
    ["aws-chunked", Buffer.from("5;chunk-signature=0\r\nhello\r\n")],
  ] as const) {
    const before = secure.count("/coded");
    const { client, got } = await send("/coded", {
      method: "POST",
      body: body.toString("latin1"),
      fields: [`Content-Encoding: ${coding}`],
    });
    assert.equal(got.status, 200);
    const received = await secure.request("/coded", before + 1);
    assert.deepEqual(received.body, body);
    if (coding !== "gzip") continue;
    const [found] = await proxy.audit.findingsOf(client);
    assert.deepEqual([found?.action, found?.where], ["reported", "body"]);
  }
});

test("attack 31: a real value that the workload says on a WebSocket closes it; a placeholder there is told", async () => {
  secure.on("/frames", echo);
  const client = await world.redirected(`other.e2e.test:${secure.port}`);
  await upgraded(client, "/frames");
  const say = (text: string) =>
    client.send(Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)]));
  say(`see ${placeholder}`);
  const first = await client.reader.take(placeholder.length + 10);
  assert.ok(first.includes(placeholder));
  const [mention] = await proxy.audit.findingsOf(client);
  assert.deepEqual(
    [mention?.kind, mention?.action, mention?.where],
    ["placeholder_wrong_host", "reported", "frame"],
  );
  say(`see ${credential}`);
  assert.equal((await client.reader.take(1)).length, 0, "nothing comes back, and it is over");
  const [, found] = await proxy.audit.findingsOf(client, 2);
  assert.deepEqual([found?.kind, found?.action, found?.where], [leaked, "blocked", "frame"]);
  const record = await proxy.audit.last(client, 1);
  assert.deepEqual(
    [record.audit.status_code, record.audit.action, record.audit.reason, record.rejected_by],
    [101, "reject", leaked, "findings"],
  );
});

test("a real value in a response is a finding, beside what the record of the exchange says", async () => {
  secure.on("/echo", async (request) => {
    await request.body();
    await answer(`you sent ${valueOf(request.fields, "authorization")}`)(request);
  });
  const { client, got } = await send("/echo", { fields: [`Authorization: Bearer ${placeholder}`] });
  assert.equal(got.body.toString(), `you sent Bearer ${placeholder}`);
  const [found] = await proxy.audit.findingsOf(client);
  assert.equal(found?.kind, "credential_in_response");
  assert.equal(found?.action, "scrubbed");
  assert.equal(found?.secret, "E2E_KEY");
  assert.equal(found?.where, "body");
});

test("attack 45: a redirect is handed on, with no credential in it, and never followed", async () => {
  secure.on("/away", async (request) => {
    const got = valueOf(request.fields, "authorization") ?? "";
    const to = `https://other.e2e.test:${secure.port}/followed?t=${encodeURIComponent(got)}`;
    request.write(`HTTP/1.1 302 Found\r\nLocation: ${to}\r\nContent-Length: 0\r\n\r\n`);
  });
  const { got } = await send("/away", { fields: [`Authorization: Bearer ${placeholder}`] });
  assert.equal(got.status, 302);
  const location = valueOf(got.fields, "location") ?? "";
  assert.ok(location.endsWith(encodeURIComponent(`Bearer ${placeholder}`)), location);
  assert.equal(secure.received.filter(({ target }) => target.startsWith("/followed")).length, 0);
});

test("the webhook gets what the audit has, signed", async () => {
  const { client } = await send("/", { fields: [`X-Hook: ${other}`] });
  const [found] = await proxy.audit.findingsOf(client);
  const post = await eventually("the finding", () =>
    posted.find(({ body }) => body.includes(`"${found?.request_id}"`)),
  );
  const { type, finding } = JSON.parse(post.body) as { type: string; finding: object };
  assert.equal(type, "finding");
  assert.deepEqual(finding, found);
  const [, seconds, hex] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(post.signature) ?? [];
  const key = "canary-webhook-0123456789abcdef";
  assert.equal(hex, createHmac("sha256", key).update(`${seconds}.${post.body}`).digest("hex"));
});
