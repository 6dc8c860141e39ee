// WebSockets over both versions of HTTP, ended in order or cut by their client.
import { once } from "node:events";
import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders } from "node:http2";
import { within } from "../harness/wait.ts";
import type { Client } from "../harness/client.ts";
import { openSession, untilClosed } from "./h2.ts";
import { exchange, oneOf, open, type Scene, type Stage } from "./stage.ts";

const fields = [
  "Connection: Upgrade",
  "Upgrade: websocket",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

/** A host that no credential is for, so that bytes of any kind may pass. */
export function freeAuthority({ world }: Stage): string {
  return `other.e2e.test:${world.secure.port}`;
}

export async function upgrade(client: Client, id: string): Promise<void> {
  client.send(client.text("GET", `/websocket/${id}`, { fields }));
  const head = await within("an answer to the handshake", client.reader.until("\r\n\r\n"));
  if (head?.startsWith("HTTP/1.1 101 ") !== true) throw new Error(head?.split("\r\n")[0] ?? "closed");
}

/** Sends bytes and waits for them to come back. */
export async function echo(client: Client, size: number): Promise<void> {
  client.send(Buffer.alloc(size, "frame "));
  const got = await within("an echo", client.reader.take(size));
  if (got.length !== size) throw new Error(`${got.length} of ${size} bytes came back`);
}

export async function upgradeStream(session: ClientHttp2Session, id: string): Promise<ClientHttp2Stream> {
  if (session.remoteSettings.enableConnectProtocol !== true)
    await within("settings", once(session, "remoteSettings"));
  const stream = session.request(
    {
      ":method": "CONNECT",
      ":protocol": "websocket",
      ":path": `/websocket/${id}`,
      "sec-websocket-version": "13",
    },
    { endStream: false },
  );
  stream.on("error", () => {});
  const [headers] = (await within("an answer to the handshake", once(stream, "response"))) as [
    IncomingHttpHeaders & { ":status"?: number },
  ];
  if (headers[":status"] !== 200) throw new Error(`${headers[":status"]}`);
  return stream;
}

export async function echoStream(stream: ClientHttp2Stream, size: number): Promise<void> {
  let left = size;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onClose = () => reject(new Error(`closed with ${left} of ${size} bytes missing`));
  const onData = (chunk: Buffer) => {
    left -= chunk.length;
    if (left <= 0) resolve();
  };
  stream.on("data", onData);
  stream.on("close", onClose);
  stream.write(Buffer.alloc(size, "frame "));
  try {
    await within("an echo", promise);
  } finally {
    stream.off("data", onData);
    stream.off("close", onClose);
  }
}

export const websocket: Scene = {
  name: "WebSocket",
  weight: 6,
  async play(stage) {
    const client = await open(
      stage,
      oneOf(stage, ["connect", "redirected", "socks5"] as const),
      freeAuthority(stage),
    );
    try {
      const isCut = stage.random() < 0.3;
      await exchange(stage, isCut ? "WebSocket, cut" : "WebSocket", client, async (id) => {
        await upgrade(client, id);
        for (let turn = 0; turn < 5; turn++) await echo(client, 1 + Math.floor(stage.random() * 20_000));
        if (isCut) client.reset();
        else {
          client.socket.end();
          await within("the end of a WebSocket", client.reader.rest());
        }
      });
    } finally {
      client.close();
    }
  },
};

export const websocketH2: Scene = {
  name: "WebSocket over HTTP/2",
  weight: 6,
  async play(stage) {
    const { client, session } = await openSession(stage, "connect", freeAuthority(stage));
    try {
      for (const isCut of [false, true]) {
        await exchange(stage, isCut ? "WebSocket over h2, cut" : "WebSocket over h2", client, async (id) => {
          const stream = await upgradeStream(session, id);
          for (let turn = 0; turn < 3; turn++)
            await echoStream(stream, 1 + Math.floor(stage.random() * 20_000));
          if (isCut) stream.close(8);
          else stream.end();
          stream.resume();
          await untilClosed(stream);
        });
      }
    } finally {
      session.destroy();
      client.close();
    }
  },
};
