import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { Agent } from "undici";
import type { FindingRecord } from "../../src/findings/types.ts";
import { Webhook, type WebhookOptions } from "../../src/findings/webhook.ts";
import { Secret, SourceError } from "../../src/sources/types.ts";
import { eventually } from "../e2e/harness/wait.ts";

const record = (where: string): FindingRecord => ({
  kind: "placeholder_wrong_host",
  action: "blocked",
  secret: "KEY",
  where,
  count: 1,
  time: 0,
  requestId: "r",
  host: "h",
  method: "GET",
  remoteAddress: "10.0.0.1:1",
  caller: undefined,
  repeated: 0,
});

/** A receiver that answers with these statuses, the last of them for ever; `0` is no answer. */
async function setUp(t: TestContext, statuses: number[], change: Partial<WebhookOptions> = {}) {
  const got: { headers: IncomingHttpHeaders; body: string }[] = [];
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString()));
    request.on("end", () => {
      got.push({ headers: request.headers, body });
      const status = statuses.length > 1 ? statuses.shift() : statuses[0];
      if (status === 0) return;
      response.writeHead(status ?? 200, { Location: "/elsewhere" }).end("thanks");
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const dispatcher = new Agent();
  t.after(async () => {
    server.closeAllConnections();
    server.close();
    await dispatcher.destroy();
  });
  const said: string[] = [];
  const webhook = new Webhook({
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    secret: { name: "S", variables: [], get: () => new Secret("signing-secret") },
    timeoutMs: 300,
    dispatcher,
    bodyOf: ({ where }) => JSON.stringify({ where }),
    onProblem: (message) => said.push(message),
    onRecovery: (message) => said.push(message),
    pauses: [1, 1, 1],
    now: () => 1_700_000_000_000,
    ...change,
  });
  const settled = () => eventually("nothing waits", () => webhook.stats.waiting === 0);
  return { webhook, got, said, settled };
}

test("posts each finding once, in order and signed", async (t) => {
  const { webhook, got, settled } = await setUp(t, [204]);
  for (const where of ["a", "b", "c"]) webhook.post(record(where));
  await settled();
  assert.deepEqual(
    got.map(({ body }) => body),
    ['{"where":"a"}', '{"where":"b"}', '{"where":"c"}'],
  );
  const [first] = got;
  const hmac = createHmac("sha256", "signing-secret").update(`1700000000.${first?.body}`).digest("hex");
  assert.equal(first?.headers["sallyport-signature"], `t=1700000000,v1=${hmac}`);
  assert.equal(first?.headers["content-type"], "application/json");
  assert.deepEqual(webhook.stats, { sent: 3, failed: 0, dropped: 0, waiting: 0 });
});

for (const [title, statuses, attempts, sent] of [
  ["503 twice, then 200", [503, 503, 200], 3, 1],
  ["429, then 200", [429, 200], 2, 1],
  ["no answer, then 200", [0, 200], 2, 1],
  ["500 for ever", [500], 4, 0],
  ["400: nothing will change", [400], 1, 0],
  ["a redirect, which is not followed", [302], 1, 0],
] as const) {
  test(`a receiver with ${title}`, async (t) => {
    const { webhook, got, said, settled } = await setUp(t, [...statuses]);
    webhook.post(record("a"));
    await settled();
    assert.equal(got.length, attempts);
    assert.deepEqual(webhook.stats, { sent, failed: 1 - sent, dropped: 0, waiting: 0 });
    assert.equal(said.length, 1 - sent);
    for (const message of said) assert.doesNotMatch(message, /127\.0\.0\.1|signing/);
  });
}

test("says once that it fails and once that it works again", async (t) => {
  const { webhook, said, settled } = await setUp(t, [400, 400, 200]);
  for (const where of ["a", "b", "c"]) webhook.post(record(where));
  await settled();
  assert.equal(said.length, 2);
  assert.match(said[0] ?? "", /^a finding was not delivered to findings\.webhook: it answers 400\./);
  assert.match(said[1] ?? "", /again$/);
});

test("a secret that cannot be read posts nothing unsigned", async (t) => {
  const secret = {
    name: "S",
    variables: [],
    get: () => {
      throw new SourceError("no");
    },
  };
  const { webhook, got, settled } = await setUp(t, [200], { secret });
  webhook.post(record("a"));
  await settled();
  assert.equal(got.length, 0);
  assert.equal(webhook.stats.failed, 1);
});

test("I12: 256 wait, further ones are dropped and counted; a stop ends the pauses", async (t) => {
  const { webhook, got } = await setUp(t, [503], { pauses: [60_000] });
  for (let number = 0; number < 300; number++) webhook.post(record(String(number)));
  assert.equal(webhook.stats.waiting, 256);
  assert.equal(webhook.stats.dropped, 44);
  await eventually("a first attempt", () => got.length === 1);
  await webhook.close(500);
  const { waiting, failed, dropped } = webhook.stats;
  assert.equal(waiting, 0);
  assert.ok(failed >= 1);
  assert.ok(failed + dropped >= 300, "each is counted");
});
