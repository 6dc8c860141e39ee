// What is neither plain HTTP/1.1 nor HTTP/2: DNS, TLS that is passed through, minted tokens, and credentials that come back.
import { createSocket } from "node:dgram";
import { Resolver } from "node:dns/promises";
import { once } from "node:events";
import { connect } from "node:net";
import { gunzipSync } from "node:zlib";
import * as packet from "dns-packet";
import { startTls } from "../harness/client.ts";
import { pause, within } from "../harness/wait.ts";
import { placeholder } from "../harness/world.ts";
import { auth, expectAnswer } from "./h1.ts";
import { exchange, oneOf, open, type Scene, type Stage, tunnel, Weathered } from "./stage.ts";

/** Records of refused names that one second may have, well below what the proxy writes at most. */
const refusedPerSecond = 15;
let second = 0;
let refused = 0;

/** Whether a record of one refused name more is sure to be written. */
function mayBeRefused(): boolean {
  const now = Math.floor(performance.now() / 1000);
  if (now !== second) {
    second = now;
    refused = 0;
  }
  return ++refused <= refusedPerSecond;
}

async function askOverTcp({ dns }: Stage, name: string): Promise<string> {
  const [host, port] = dns.split(":");
  const socket = connect({ host: host as string, port: Number(port) });
  socket.on("error", () => {});
  try {
    socket.write(
      packet.streamEncode({ type: "query", id: 7, questions: [{ type: "A", name, class: "IN" }] }),
    );
    const [chunk] = (await within("an answer over TCP", once(socket, "data"))) as [Buffer];
    const first = packet.streamDecode(chunk)?.answers?.[0];
    return first?.type === "A" ? first.data : "no address";
  } finally {
    socket.destroy();
  }
}

/** Some bytes that are no question. */
function sendGarbage({ dns, random }: Stage): void {
  const [host, port] = dns.split(":");
  const socket = createSocket("udp4");
  socket.send(
    Buffer.from(Array.from({ length: 30 }, () => Math.floor(random() * 256))),
    Number(port),
    host,
    () => socket.close(),
  );
}

export const dns: Scene = {
  name: "DNS",
  weight: 4,
  async play(stage) {
    const { weather } = stage;
    const began = performance.now();
    const resolver = new Resolver({ timeout: 3000, tries: 2 });
    resolver.setServers([stage.dns]);
    try {
      const expect = (got: string, wanted: string) => {
        if (got !== wanted) throw new Error(`DNS: ${got} in place of ${wanted}`);
      };
      expect((await resolver.resolve4("api.e2e.test")).join(), "127.0.0.1");
      expect(await askOverTcp(stage, "api.e2e.test"), "127.0.0.1");
      expect((await resolver.resolve4("real.e2e.test")).join(), "203.0.113.9");
      sendGarbage(stage);
      stage.counts["DNS"] = (stage.counts["DNS"] ?? 0) + 1;
    } catch (error) {
      if (weather.roughSince(began)) throw new Weathered();
      throw error;
    }
    if (!mayBeRefused()) return;
    await exchange(stage, "DNS, a refused name", undefined, async (id) => {
      const error = await resolver
        .resolve4(`${id}.evil.test`)
        .catch((thrown: NodeJS.ErrnoException) => thrown);
      if ((error as NodeJS.ErrnoException).code !== "ENOTFOUND")
        throw new Error(`${String(error)} for a refused name`);
    });
  },
};

/** Pinned clients: the proxy sees their bytes, and nothing of their requests. */
export const passthrough: Scene = {
  name: "TLS passed through",
  weight: 4,
  async play(stage) {
    const { world, books, weather, counts } = stage;
    const authority = `deep.api.e2e.test:${world.secure.port}`;
    const began = performance.now();
    let remote: string | undefined;
    try {
      const over = await tunnel(stage, oneOf(stage, ["connect", "socks5"] as const), authority);
      remote = over.remote;
      const client = await startTls(world.context, over, { ca: world.upstreamCa.certPem });
      try {
        expectAnswer(await client.request("GET", "/large/pinned", { fields: auth }), 200);
        if (stage.random() < 0.3) client.reset();
        else client.socket.end();
        await pause(1);
      } finally {
        client.close();
      }
      books.connection(remote, 2);
      counts["passed through"] = (counts["passed through"] ?? 0) + 1;
    } catch (error) {
      if (!weather.roughSince(began)) throw error;
      if (remote === undefined) books.failed();
      else books.connection(remote, 0, 2);
      throw new Weathered();
    }
  },
};

/** Longer than the pause after a failed mint is likely to become while the resolver is dead. */
const mintSlackMs = 20_000;

/** Credentials that are minted, and one that comes back compressed. */
export const credentials: Scene = {
  name: "credentials",
  weight: 6,
  async play(stage) {
    const client = await open(stage, "connect", stage.world.secureAuthority);
    try {
      for (let left = 3; left > 0; left--) {
        await exchange(
          stage,
          "a minted token",
          client,
          async (id) => expectAnswer(await client.request("GET", `/api/${id}`), 200),
          { slackMs: mintSlackMs },
        );
        await exchange(stage, "a credential that comes back", client, async (id) => {
          const { body } = expectAnswer(await client.request("GET", `/leak/${id}`, { fields: auth }), 200);
          const text = gunzipSync(body);
          stage.world.canary.search("a compressed answer", text);
          if (!text.includes(placeholder)) throw new Error("no placeholder came back");
        });
      }
    } finally {
      client.close();
    }
  },
};
