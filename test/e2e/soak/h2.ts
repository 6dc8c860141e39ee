// HTTP/2: many exchanges on one connection, to upstreams of both versions, and streams that either side breaks off.
import { once } from "node:events";
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from "node:http2";
import type { Client } from "../harness/client.ts";
import { pause, within } from "../harness/wait.ts";
import { placeholder } from "../harness/world.ts";
import { exchange, oneOf, open, pick, type Scene, type SoakWay, type Stage } from "./stage.ts";
import { large } from "./upstreams.ts";

const ways: readonly SoakWay[] = ["connect", "redirected", "socks5"];
const rounds = 4;
const streamsAtOnce = 5;

export interface H2Client {
  readonly client: Client;
  readonly session: ClientHttp2Session;
}

/** Node's client of HTTP/2, by one of the ways in. */
export async function openSession(stage: Stage, way: SoakWay, authority: string): Promise<H2Client> {
  const client = await open(stage, way, authority, { ALPNProtocols: ["h2"] });
  const unread = client.reader.release();
  if (unread.length > 0) client.socket.unshift(unread);
  const session = connect(`https://${authority}`, { createConnection: () => client.socket });
  session.on("error", () => {});
  return { client, session };
}

/** Waits for the end of a stream, be it good or bad. */
export function untilClosed(stream: ClientHttp2Stream): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  stream.once("close", resolve);
  if (stream.closed && stream.destroyed) resolve();
  return within("the end of a stream", promise);
}

interface Got {
  readonly status: number;
  readonly body: Buffer;
  readonly trailers: IncomingHttpHeaders;
  /** With which the stream ended; 0 for well. */
  readonly code: number;
}

/** Sends a request and reads its answer, whatever its end. */
async function ask(
  stage: Stage,
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  body: string | Buffer = "",
): Promise<Got> {
  const stream = session.request(headers, { endStream: body.length === 0 });
  const hear = stage.world.canary.listen("an answer over HTTP/2");
  const chunks: Buffer[] = [];
  let status = 0;
  let trailers: IncomingHttpHeaders = {};
  stream.on("error", () => {});
  stream.on("response", (head) => {
    status = Number(head[":status"]);
  });
  stream.on("trailers", (fields) => {
    trailers = fields;
  });
  stream.on("data", (chunk: Buffer) => {
    hear(chunk);
    chunks.push(chunk);
  });
  if (body.length > 0) stream.end(body);
  await untilClosed(stream);
  if (session.destroyed) throw new Error("the connection is gone");
  return { status, body: Buffer.concat(chunks), trailers, code: stream.rstCode ?? 0 };
}

function expectGot({ status, body, code }: Got, wanted: number, length: number | undefined, end = 0): void {
  if (status === wanted && code === end && (length === undefined || body.length === length)) return;
  const said = status >= 400 ? body.toString() : `${body.length} bytes`;
  throw new Error(`${status}, ${said}, code ${code}, in place of ${wanted}, ${length}, ${end}`);
}

const authorization = `Bearer ${placeholder}`;
const sent = Buffer.alloc(100_000, "sent ");

interface Kind {
  readonly name: string;
  readonly weight: number;
  /** Which upstreams can play it. */
  readonly to: "both" | "h1" | "h2";
  /** False where the record has no path, as it could not be made out. */
  readonly named?: boolean;
  run(stage: Stage, session: ClientHttp2Session, id: string): Promise<void>;
}

const kinds: readonly Kind[] = [
  {
    name: "h2 get",
    weight: 20,
    to: "both",
    async run(stage, session, id) {
      expectGot(await ask(stage, session, { ":path": `/ok/${id}`, authorization }), 200, 2);
    },
  },
  {
    name: "h2 download",
    weight: 3,
    to: "both",
    async run(stage, session, id) {
      expectGot(await ask(stage, session, { ":path": `/large/${id}` }), 200, large.length);
    },
  },
  {
    name: "h2 upload to HTTP/1.1",
    weight: 3,
    to: "h1",
    async run(stage, session, id) {
      const got = await ask(stage, session, { ":path": `/count/${id}`, ":method": "POST" }, sent);
      expectGot(got, 200, undefined);
      if (got.body.toString() !== String(sent.length))
        throw new Error(`${got.body.toString()} bytes arrived`);
    },
  },
  {
    name: "h2 echo",
    weight: 3,
    to: "h2",
    async run(stage, session, id) {
      const got = await ask(stage, session, { ":path": `/echo/${id}`, ":method": "POST" }, sent);
      expectGot(got, 200, sent.length);
    },
  },
  {
    name: "h2 trailers",
    weight: 3,
    to: "h2",
    async run(stage, session, id) {
      const got = await ask(stage, session, { ":path": `/trailers/${id}` });
      expectGot(got, 200, 3);
      if (got.trailers["x-sum"] !== "6") throw new Error("no trailer");
    },
  },
  {
    name: "h2 events",
    weight: 2,
    to: "h1",
    async run(stage, session, id) {
      expectGot(await ask(stage, session, { ":path": `/events/${id}` }), 200, 45);
    },
  },
  {
    name: "h2 refused, with a body on its way",
    named: false,
    weight: 3,
    to: "both",
    async run(stage, session, id) {
      const headers = { ":path": `/a/..%2f/${id}`, ":method": "POST", "content-length": 20_000 };
      expectGot(await ask(stage, session, headers, sent.subarray(0, 20_000)), 400, undefined);
    },
  },
  {
    name: "h2 upstream resets its stream",
    weight: 2,
    to: "h2",
    async run(stage, session, id) {
      const got = await ask(stage, session, { ":path": `/reset/${id}` });
      if (got.code === 0) throw new Error("an answer that was cut looks whole");
    },
  },
  {
    name: "h2 upstream resets its connection",
    weight: 1,
    to: "h1",
    async run(stage, session, id) {
      expectGot(
        await ask(stage, session, { ":path": `/reset/${id}`, ":method": "POST" }, "x"),
        502,
        undefined,
      );
    },
  },
  {
    name: "h2 client resets its stream",
    weight: 3,
    to: "both",
    async run(_stage, session, id) {
      const stream = session.request({ ":path": `/large/${id}` });
      stream.on("error", () => {});
      await within("an answer", once(stream, "response"));
      stream.close(8);
      await untilClosed(stream);
    },
  },
  {
    name: "h2 slow reader",
    weight: 2,
    to: "both",
    async run(_stage, session, id) {
      const stream = session.request({ ":path": `/large/${id}` });
      await within("an answer", once(stream, "response"));
      await pause(50);
      let size = 0;
      stream.on("data", (chunk: Buffer) => {
        size += chunk.length;
      });
      await untilClosed(stream);
      if (size !== large.length) throw new Error(`${size} bytes, read slowly`);
    },
  },
];

export const h2: Scene = {
  name: "HTTP/2",
  weight: 30,
  async play(stage) {
    const to = oneOf(stage, ["h1", "h2"] as const);
    const authority = to === "h1" ? stage.world.secureAuthority : stage.upstreams.h2;
    const { client, session } = await openSession(stage, oneOf(stage, ways), authority);
    const fitting = kinds.filter((kind) => kind.to === to || kind.to === "both");
    try {
      for (let round = 0; round < rounds; round++) {
        const streams = Array.from({ length: streamsAtOnce }, () => {
          const kind = pick(stage.random, fitting);
          const { named = true } = kind;
          const act = (id: string) => kind.run(stage, session, id);
          return exchange(stage, `${kind.name}, ${to}`, client, act, { named });
        });
        // All of them, so that none goes on behind the scene.
        const failed = (await Promise.allSettled(streams)).find(({ status }) => status === "rejected");
        if (failed?.status === "rejected") throw failed.reason;
      }
    } finally {
      session.destroy();
      client.close();
    }
  },
};

/** A client that vanishes with its streams open. */
export const vanishing: Scene = {
  name: "HTTP/2 clients that vanish",
  weight: 4,
  async play(stage) {
    const authority = oneOf(stage, [stage.world.secureAuthority, stage.upstreams.h2]);
    const { client, session } = await openSession(stage, "connect", authority);
    try {
      const streams = Array.from({ length: 3 }, () =>
        exchange(stage, "h2 client vanishes", client, async (id) => {
          const stream = session.request({ ":path": `/large/${id}` });
          stream.on("error", () => {});
          await within("an answer", once(stream, "response"));
        }),
      );
      const failed = (await Promise.allSettled(streams)).find(({ status }) => status === "rejected");
      if (failed?.status === "rejected") throw failed.reason;
      client.reset();
    } finally {
      session.destroy();
      client.close();
    }
  },
};

/** What goes to an upstream that may be dead, or dies. */
export const mortalH2: Scene = {
  name: "HTTP/2 to an upstream that is killed",
  weight: 6,
  async play(stage) {
    const { client, session } = await openSession(stage, "connect", stage.upstreams.mortalH2);
    try {
      for (let left = 6; left > 0; left--) {
        await exchange(stage, "h2, an upstream that is killed", client, async (id) => {
          const path = oneOf(stage, ["ok", "large"]);
          const { status, code } = await ask(stage, session, { ":path": `/${path}/${id}` });
          if (status !== 502 && status !== 200) throw new Error(`${status}, code ${code}`);
        });
      }
    } finally {
      session.destroy();
      client.close();
    }
  },
};
