// gRPC through the real executable, with the client and the server of @grpc/grpc-js.
import assert from "node:assert/strict";
import {
  type Client,
  credentials as channelCredentials,
  type ClientDuplexStream,
  type ClientReadableStream,
  type ClientWritableStream,
  makeGenericClientConstructor,
  Metadata,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceError,
  status,
  type sendUnaryData,
} from "@grpc/grpc-js";
import { after, test } from "node:test";
import { makeLeaf } from "../helpers/pki.ts";
import type { Address } from "./harness/sallyport.ts";
import { eventually, within } from "./harness/wait.ts";
import { allowlist, openWorld, placeholder, secrets, secureHosts, swap } from "./harness/world.ts";

const text = {
  requestSerialize: (value: string) => Buffer.from(value),
  requestDeserialize: (bytes: Buffer) => bytes.toString(),
  responseSerialize: (value: string) => Buffer.from(value),
  responseDeserialize: (bytes: Buffer) => bytes.toString(),
};
function method(
  name: string,
  requestStream = false,
  responseStream = false,
): MethodDefinition<string, string> {
  return { path: `/test.Echo/${name}`, requestStream, responseStream, ...text };
}
const service = {
  unary: method("Unary"),
  fail: method("Fail"),
  hang: method("Hang"),
  forbidden: method("Forbidden"),
  collect: method("Collect", true, false),
  count: method("Count", false, true),
  chat: method("Chat", true, true),
};

let cancelled = 0;
/** Of the last unary call. */
let authorization = "";
const server = new Server();
server.addService(service, {
  unary(call: ServerUnaryCall<string, string>, done: sendUnaryData<string>) {
    const trailing = new Metadata();
    trailing.set("x-trailing", "last");
    trailing.set("x-bytes-bin", Buffer.from([0, 255]));
    const initial = new Metadata();
    initial.set("x-initial", String(call.metadata.get("x-workload")[0]));
    call.sendMetadata(initial);
    authorization = String(call.metadata.get("authorization")[0]);
    done(null, `you said ${call.request}`, trailing);
  },
  fail(_call: unknown, done: sendUnaryData<string>) {
    done({ code: status.FAILED_PRECONDITION, details: "not yet: 50 % done, é" });
  },
  hang(call: ServerUnaryCall<string, string>) {
    call.on("cancelled", () => cancelled++);
  },
  forbidden(_call: unknown, done: sendUnaryData<string>) {
    done(null, "must not be reached");
  },
  collect(call: ServerReadableStream<string, string>, done: sendUnaryData<string>) {
    const parts: string[] = [];
    call.on("data", (part: string) => parts.push(part));
    call.on("end", () => done(null, parts.join("+")));
  },
  count(call: ServerWritableStream<string, string>) {
    for (let n = 0; n < Number(call.request); n++) call.write(String(n));
    call.end();
  },
  chat(call: ServerDuplexStream<string, string>) {
    call.on("data", (part: string) => call.write(`you said ${part}`));
    call.on("end", () => call.end());
  },
});

const world = await openWorld();
const leaf = makeLeaf(world.upstreamCa, [...secureHosts]);
const port = await new Promise<number>((resolve, reject) => {
  const pair = { private_key: Buffer.from(leaf.keyPem), cert_chain: Buffer.from(leaf.certPem) };
  server.bindAsync("127.0.0.1:0", ServerCredentials.createSsl(null, [pair]), (error, bound) =>
    error === null ? resolve(bound) : reject(error),
  );
});
const proxy = await world.another("grpc", {
  config: () => ({
    transforms: [
      allowlist(
        ["Unary", "Fail", "Hang", "Collect", "Count", "Chat"].map((name) => ({
          host: "api.e2e.test:*",
          methods: ["POST"],
          paths: [`/test.Echo/${name}`],
        })),
      ),
      secrets([swap("E2E_KEY", placeholder, [`api.e2e.test:${port}`, "api.e2e.test:1"])]),
    ],
  }),
});
after(() => server.forceShutdown());

type Calls = Client & {
  unary: (
    r: string,
    m: Metadata,
    o: object,
    done: (error: ServiceError | null, answer?: string) => void,
  ) => UnaryCall;
  fail: Calls["unary"];
  hang: Calls["unary"];
  forbidden: Calls["unary"];
  collect: (
    m: Metadata,
    done: (error: ServiceError | null, answer?: string) => void,
  ) => ClientWritableStream<string>;
  count: (r: string, m: Metadata) => ClientReadableStream<string>;
  chat: (m: Metadata) => ClientDuplexStream<string, string>;
};
type UnaryCall = {
  on(event: string, listener: (metadata: Metadata & { metadata?: Metadata }) => void): void;
  cancel(): void;
};

const tunnel = proxy.addresses.tunnel as Address;
/** What a workload has in its environment; the library reads it when a client is made. */
process.env["grpc_proxy"] = `http://${tunnel.host}:${tunnel.port}`;
function clientOf(authority: string): Calls {
  const Echo = makeGenericClientConstructor(service, "test.Echo");
  const client = new Echo(
    authority,
    channelCredentials.createSsl(Buffer.from(world.proxyCa.certPem)),
  ) as never as Calls;
  after(() => client.close());
  return client;
}
const client = clientOf(`api.e2e.test:${port}`);

function metadata(): Metadata {
  const sent = new Metadata();
  sent.set("authorization", `Bearer ${placeholder}`);
  sent.set("x-workload", "blue");
  return sent;
}

interface Outcome {
  readonly error: ServiceError | null;
  readonly answer: string | undefined;
  readonly initial: Metadata | undefined;
  readonly trailing: Metadata | undefined;
}

function call(
  name: "unary" | "fail" | "hang" | "forbidden",
  by: Calls = client,
  options: object = {},
  onCall: (one: UnaryCall) => void = () => {},
): Promise<Outcome> {
  return within(
    `an answer of ${name}`,
    new Promise((resolve) => {
      let initial: Metadata | undefined;
      let trailing: Metadata | undefined;
      let got: { error: ServiceError | null; answer: string | undefined } | undefined;
      const finish = (): void => {
        if (got !== undefined && trailing !== undefined) resolve({ ...got, initial, trailing });
      };
      const one = by[name]("hello", metadata(), options, (error, answer) => {
        got = { error, answer };
        finish();
      });
      one.on("metadata", (fields) => {
        initial = fields;
      });
      one.on("status", (end) => {
        trailing = end.metadata;
        finish();
      });
      onCall(one);
    }),
  );
}

test("a unary call, with the credential in place of its placeholder and metadata both ways", async () => {
  const { error, answer, initial, trailing } = await call("unary");
  assert.equal(error, null);
  assert.equal(answer, "you said hello");
  assert.equal(authorization, `Bearer ${world.credential}`);
  assert.deepEqual(initial?.get("x-initial"), ["blue"]);
  assert.deepEqual(trailing?.get("x-trailing"), ["last"]);
  assert.deepEqual(trailing?.get("x-bytes-bin"), [Buffer.from([0, 255])]);
});

test("the client streams", async () => {
  const answer = await within(
    "an answer",
    new Promise<string | undefined>((resolve, reject) => {
      const stream = client.collect(metadata(), (error, got) =>
        error === null ? resolve(got) : reject(error),
      );
      for (const part of ["a", "b", "c"]) stream.write(part);
      stream.end();
    }),
  );
  assert.equal(answer, "a+b+c");
});

test("the server streams", async () => {
  const parts = (await within("the stream", client.count("500", metadata()).toArray())) as string[];
  assert.deepEqual(
    parts,
    Array.from({ length: 500 }, (_, n) => String(n)),
  );
});

test("both stream, each message on its way before the next is sent", async () => {
  const chat = client.chat(metadata());
  for (const word of ["one", "two", "three"]) {
    const answered = new Promise((resolve) => chat.once("data", resolve));
    chat.write(word);
    assert.equal(await within("an answer", answered), `you said ${word}`);
  }
  const ended = new Promise((resolve) => chat.once("status", resolve));
  chat.end();
  chat.resume();
  assert.equal(((await within("the end", ended)) as { code: number }).code, status.OK);
});

test("an error of the server is an error of the server, word for word", async () => {
  const { error } = await call("fail");
  assert.deepEqual([error?.code, error?.details], [status.FAILED_PRECONDITION, "not yet: 50 % done, é"]);
});

test("a deadline ends the call at both ends", async () => {
  const before = cancelled;
  const { error } = await call("hang", client, { deadline: Date.now() + 300 });
  assert.equal(error?.code, status.DEADLINE_EXCEEDED);
  await eventually("the server hears of it", () => cancelled === before + 1);
});

test("a cancellation reaches the server", async () => {
  const before = cancelled;
  const outcome = call("hang", client, {}, (one) => setTimeout(() => one.cancel(), 200));
  assert.equal((await outcome).error?.code, status.CANCELLED);
  await eventually("the server hears of it", () => cancelled === before + 1);
});

test("a method that policy forbids is PERMISSION_DENIED, and says why", async () => {
  const { error } = await call("forbidden");
  assert.equal(error?.code, status.PERMISSION_DENIED);
  assert.match(error?.details ?? "", /^request_not_allowed: .*ask the operator/);
  const record = await eventually("its record", () =>
    proxy.audit.read().find(({ audit }) => audit.path === "/test.Echo/Forbidden"),
  );
  assert.deepEqual(
    [record.audit.action, record.audit.reason, record.audit.status_code],
    ["reject", "request_not_allowed", 403],
  );
});

test("an upstream that cannot be reached is UNAVAILABLE, and says why", async () => {
  const gone = clientOf("api.e2e.test:1");
  const { error } = await call("unary", gone);
  assert.equal(error?.code, status.UNAVAILABLE);
  assert.match(error?.details ?? "", /^upstream_connect_failed: /);
});

test("I13, I14: one record for each call, and no credential where none belongs", async () => {
  client.close();
  const paths = proxy.audit.read().flatMap(({ audit }) => (audit.path === "" ? [] : [audit.path]));
  for (const [path, count] of [
    ["/test.Echo/Collect", 1],
    ["/test.Echo/Count", 1],
    ["/test.Echo/Chat", 1],
    ["/test.Echo/Fail", 1],
    ["/test.Echo/Hang", 2],
    ["/test.Echo/Forbidden", 1],
  ] as const) {
    assert.equal(paths.filter((one) => one === path).length, count, path);
  }
  await proxy.stop();
});
