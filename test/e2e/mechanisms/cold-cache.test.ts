// A thousand requests that all need credentials the proxy does not have yet: one fetch for each source, one mint for
// each token, and every request gets the right values.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fakeAccessKey, fakeAws } from "../../fakes/aws-secrets.ts";
import { fakeConnect } from "../../fakes/connect.ts";
import { valueOf } from "../harness/message.ts";
import type { Scripted } from "../harness/upstream.ts";
import { pause } from "../harness/wait.ts";
import { allowlist, clientCredentials, openWorld } from "../harness/world.ts";

const requests = 1000;
const connections = 50;

const unique = (name: string) => `canary-${name}-${randomBytes(12).toString("hex")}`;
const values = {
  sm: unique("sm"),
  ssm: unique("ssm"),
  connect: unique("connect"),
  file: unique("file"),
};
const token = unique("token");

const aws = await fakeAws("the-proxys-own-secret-key");
after(() => aws.close());
aws.secrets = { "prod/key": { SecretString: values.sm } };
aws.parameters = { "/prod/key": { Parameter: { Name: "/prod/key", Value: values.ssm } } };
const fields = [{ id: "f", label: "credential", value: values.connect }];
const items = [{ id: "i", title: "key", fields }];
const connectServer = await fakeConnect([{ id: "v", name: "agents", items }]);
after(() => connectServer.close());
const keyFolder = mkdtempSync(join(tmpdir(), "sallyport-cold-"));
after(() => rmSync(keyFolder, { recursive: true }));
const keyFile = join(keyFolder, "key");
writeFileSync(keyFile, values.file, { mode: 0o600 });
/** Nothing is known before the requests come: not even the look at each source at start-up gets an answer. */
let openStores = (): void => {};
aws.gate = connectServer.gate = new Promise((resolve) => {
  openStores = resolve;
});
/** What it takes to read each source once; of Connect vault, item and fields. */
const fetchesOnce = { aws: 2, connect: 3 };

const world = await openWorld({
  config: ({ securePort }) => ({
    transforms: [
      allowlist(["api.e2e.test:*"]),
      {
        name: "secrets",
        config: {
          secrets: [
            swapped("sm", { type: "aws_sm", secret_id: "prod/key" }),
            swapped("ssm", { type: "aws_ssm", name: "/prod/key" }),
            swapped("connect", { type: "1password_connect", secret_ref: "op://agents/key/credential" }),
            swapped("file", { type: "file", path: keyFile }),
          ],
        },
      },
      clientCredentials(
        `https://other.e2e.test:${securePort}/token`,
        ["E2E_CLIENT", "E2E_KEY"],
        [{ host: "api.e2e.test:*" }],
      ),
    ],
  }),
  env: {
    AWS_ACCESS_KEY_ID: fakeAccessKey,
    AWS_SECRET_ACCESS_KEY: "the-proxys-own-secret-key",
    AWS_REGION: "eu-west-1",
    AWS_ENDPOINT_URL: aws.url,
    AWS_CONFIG_FILE: "/dev/null",
    AWS_SHARED_CREDENTIALS_FILE: "/dev/null",
    OP_CONNECT_HOST: connectServer.url,
    OP_CONNECT_TOKEN: connectServer.token,
    E2E_CLIENT: "the-client",
  },
});

function swapped(name: string, source: object): object {
  return {
    source: { ...source, ttl: "1h" },
    replace: { proxy_value: `ph-of-${name}`, match_headers: [`X-Key-${name}`] },
    rules: [{ host: "api.e2e.test:*" }],
  };
}

for (const [name, value] of Object.entries({ ...values, token })) world.canary.watch(name, value);

test("a thousand requests on a cold cache make one fetch per source and one mint per token", async () => {
  world.secure.on("/token", async (request) => {
    await request.body();
    await pause(100); // so that everybody waits for it
    answerJson(request, { access_token: token, token_type: "Bearer", expires_in: 3600 });
  });
  const placeholders = Object.keys(values).map((name) => `X-Key-${name}: ph-of-${name}`);
  const clients = await Promise.all(Array.from({ length: connections }, () => world.connect()));
  const answered = Promise.all(
    clients.map(async (client) => {
      for (let sent = 0; sent < requests / connections; sent++) {
        const { status, body } = await client.request("GET", "/cold", { fields: placeholders });
        assert.equal(status, 200, body.toString());
      }
    }),
  );
  // Every connection has a request that waits for the stores, which have answered nothing yet.
  await pause(200);
  openStores();
  await answered;

  const received = world.secure.received.filter(({ target }) => target === "/cold");
  assert.equal(received.length, requests);
  for (const { fields: sent } of received) {
    assert.equal(valueOf(sent, "authorization"), `Bearer ${token}`);
    for (const [name, value] of Object.entries(values)) assert.equal(valueOf(sent, `x-key-${name}`), value);
  }
  assert.equal(aws.calls.length, fetchesOnce.aws);
  assert.equal(connectServer.requests.length, fetchesOnce.connect);
  assert.equal(world.secure.count("/token"), 1);
});

function answerJson(request: Scripted, content: object): void {
  const body = JSON.stringify(content);
  request.write(
    `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
}
