// Many requests at once that need a Google token nobody has asked for yet: it is minted once.
import assert from "node:assert/strict";
import { test } from "node:test";
import { valueOf } from "../harness/message.ts";
import { audience, hosts, openGoogleWorld, scope } from "./google-world.ts";

const requests = 500;
const connections = 25;

const { world, tokens, issued } = await openGoogleWorld();

for (const [kind, wanted] of [
  ["access", scope],
  ["identity", audience],
] as const) {
  test(`five hundred requests on a cold cache mint one ${kind} token`, async () => {
    const clients = await Promise.all(
      Array.from({ length: connections }, () => world.connect(`${hosts[kind]}:${world.secure.port}`)),
    );
    await Promise.all(
      clients.map(async (client) => {
        for (let sent = 0; sent < requests / connections; sent++) {
          const { status, body } = await client.request("GET", `/call?${kind}`);
          assert.equal(status, 200, body.toString());
        }
      }),
    );
    const received = world.secure.received.filter(({ target }) => target === `/call?${kind}`);
    assert.equal(received.length, requests);
    for (const { fields } of received) {
      assert.equal(valueOf(fields, "authorization"), `Bearer ${tokens[kind]}`);
    }
    assert.equal(issued.filter((one) => one === wanted).length, 1);
  });
}
