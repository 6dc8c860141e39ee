// gRPC with the client that most of node uses: unary calls, streams both ways, and calls that are cancelled.
import {
  Client,
  type ClientDuplexStream,
  credentials,
  logVerbosity,
  Metadata,
  setLogVerbosity,
  status,
} from "@grpc/grpc-js";
import { pause, within } from "../harness/wait.ts";
import { placeholder } from "../harness/world.ts";
import { exchange, type Scene, type Stage } from "./stage.ts";

// What it thinks of a proxy that refuses it is no news here.
setLogVerbosity(logVerbosity.NONE);

const identity = (bytes: Buffer): Buffer => bytes;

function metadata(): Metadata {
  const fields = new Metadata();
  fields.set("authorization", `Bearer ${placeholder}`);
  return fields;
}

function unary(client: Client, id: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const message = Buffer.from(`hello ${id}`);
  client.makeUnaryRequest(`/soak.Echo/Unary/${id}`, identity, identity, message, metadata(), (error, got) => {
    if (error !== null) reject(error);
    else if (!got?.equals(message)) reject(new Error(`${got?.toString()} came back`));
    else resolve();
  });
  return within("a unary call", promise);
}

function chat(client: Client, id: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const call: ClientDuplexStream<Buffer, Buffer> = client.makeBidiStreamRequest(
    `/soak.Echo/Chat/${id}`,
    identity,
    identity,
    metadata(),
  );
  let left = 10;
  call.on("error", reject);
  call.on("data", (got: Buffer) => {
    if (got.length !== 2000) reject(new Error(`${got.length} bytes came back`));
    if (--left > 0) call.write(Buffer.alloc(2000, left));
    else call.end();
  });
  call.on("status", ({ code }) =>
    code === status.OK && left === 0 ? resolve() : reject(new Error(`status ${code}`)),
  );
  call.write(Buffer.alloc(2000, left));
  return within("a chat", promise);
}

async function cancelled(client: Client, id: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const call = client.makeBidiStreamRequest(`/soak.Echo/Cancelled/${id}`, identity, identity, metadata());
  call.on("error", () => {});
  call.on("status", ({ code }) =>
    code === status.CANCELLED ? resolve() : reject(new Error(`status ${code}`)),
  );
  call.on("data", () => call.cancel());
  call.write(Buffer.from("before it is cancelled"));
  await within("a cancelled call", promise);
  await pause(1);
}

/** The library finds the proxy by `grpc_proxy`. */
export const grpc: Scene = {
  name: "gRPC",
  weight: 8,
  async play(stage: Stage) {
    const client = new Client(
      stage.upstreams.h2,
      credentials.createSsl(Buffer.from(stage.world.proxyCa.certPem)),
      { "grpc.use_local_subchannel_pool": 1 },
    );
    try {
      for (const [kind, act] of [
        ["unary", unary],
        ["chat", chat],
        ["cancelled", cancelled],
      ] as const) {
        await exchange(stage, `gRPC ${kind}`, undefined, (id) => act(client, id));
      }
    } finally {
      client.close();
    }
  },
};
