// Replies of SOCKS5 where nothing inside is opened: the upstream is connected first, and the reply says how that went.
import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { freePort } from "../helpers/free-port.ts";
import { openRaw } from "./harness/client.ts";
import { missing, run } from "./harness/programs.ts";
import type { Address } from "./harness/sallyport.ts";
import { eventually } from "./harness/wait.ts";
import { allowlist, openWorld } from "./harness/world.ts";
import { anyone, ask, request } from "./socks5-support.ts";

const world = await openWorld({
  config: () => ({
    tls: { passthrough: ["nowhere.test:*", "*.e2e.test:*"] },
    transforms: [allowlist(["nowhere.test:*", "*.e2e.test:*"])],
  }),
});
const { proxy } = world;
const noCurl = missing("curl");

/** What the system says at once of an address; `undefined` where it tries. */
async function verdictOn(host: string): Promise<string | undefined> {
  const socket = connect({ host, port: 443 });
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  socket.on("error", ({ code }: NodeJS.ErrnoException) => resolve(code));
  const late = setTimeout(() => resolve(undefined), 500);
  const code = await promise;
  clearTimeout(late);
  socket.destroy();
  return code;
}

// Linux says so of the broadcast address without asking anybody.
const unreachable = (await verdictOn("255.255.255.255")) === "ENETUNREACH" ? "255.255.255.255" : undefined;

const failures: readonly {
  readonly what: string;
  readonly host: string;
  readonly at?: string | undefined;
  readonly port?: number;
  readonly reply: number;
  readonly audit: readonly [action: string, status: number, reason: string];
}[] = [
  {
    what: "policy refuses the name",
    host: "refused.test",
    reply: 2,
    audit: ["reject", 403, "host_not_allowed"],
  },
  {
    what: "the name's address is denied",
    host: "denied.e2e.test",
    at: "127.0.0.66",
    reply: 2,
    audit: ["reject", 403, "upstream_address_denied"],
  },
  {
    what: "the name leads back to the proxy",
    host: "self.e2e.test",
    port: (proxy.addresses.tunnel as Address).port,
    reply: 2,
    audit: ["reject", 403, "proxy_loop"],
  },
  {
    what: "there is no way to the network",
    host: "net.e2e.test",
    at: unreachable,
    reply: 3,
    audit: ["error", 502, "upstream_connect_failed"],
  },
  {
    what: "nobody knows the name",
    host: "nowhere.test",
    reply: 4,
    audit: ["error", 502, "upstream_resolve_failed"],
  },
  {
    what: "nothing listens there",
    host: "pinned.e2e.test",
    port: await freePort(),
    reply: 5,
    audit: ["error", 502, "upstream_connect_failed"],
  },
];

test("I13: a client that leaves while its upstream is looked up is on record, once", async () => {
  world.dns.set("slow.e2e.test", "silent");
  const client = await openRaw(world.context, proxy.addresses.tunnel as Address);
  const asked = world.dns.queries.length;
  client.send(Buffer.concat([anyone, request("slow.e2e.test", 443)]));
  await eventually("the name is looked up", () => world.dns.queries.length > asked);
  client.reset();
  const line = await proxy.audit.last(client, 1);
  assert.deepEqual([line.audit.action, line.audit.reason], ["client_cancel", "client_disconnected"]);
  assert.equal(line.audit.host, "slow.e2e.test:443");
});

for (const { what, host, port = 443, reply, audit, ...rest } of failures) {
  const elsewhere = "at" in rest && rest.at === undefined ? "this machine's routes do not say so" : false;
  test(`reply ${reply} where ${what}`, { skip: elsewhere }, async () => {
    if (rest.at !== undefined) world.dns.set(host, [rest.at]);
    const client = await openRaw(world.context, proxy.addresses.tunnel as Address, `${host}:${port}`);
    assert.equal(await ask(client, request(host, port)), reply);
    assert.equal(await client.ended(), "end");
    const line = await proxy.audit.last(client, 1);
    assert.deepEqual([line.audit.action, line.audit.status_code, line.audit.reason], audit);
    assert.equal(line.audit.method, "CONNECT");
  });

  test(`curl reads reply ${reply} where ${what}`, { skip: noCurl || elsewhere }, async () => {
    const { host: at, port: tunnelPort } = proxy.addresses.tunnel as Address;
    const before = proxy.audit.read().length;
    const url = `https://${host}:${port}/`;
    const args = ["-sS", "--noproxy", "", "--max-time", "10", "--socks5-hostname", `${at}:${tunnelPort}`];
    const { stderr, code } = await run("curl", [...args, url]);
    assert.equal(code, 97, stderr);
    assert.match(stderr, new RegExp(`SOCKS5 connection to .*\\(${reply}\\)`));
    const line = await eventually("its record", () => proxy.audit.read()[before]);
    assert.deepEqual([line.audit.action, line.audit.status_code, line.audit.reason], audit);
  });
}
