// gRPC with grpcurl, which is grpc-go's client: calls of each kind, an error of the server, and a refusal.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, type TestContext, test } from "node:test";
import {
  Metadata,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type sendUnaryData,
  status,
} from "@grpc/grpc-js";
import { type Ran, run } from "../e2e/harness/programs.ts";
import { allowlist, openWorld, placeholder, secrets, secureHosts, swap } from "../e2e/harness/world.ts";
import { makeLeaf } from "../helpers/pki.ts";
import { folder, noGo, workloadEnv } from "./peers.ts";

const module = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4";
const proto = `syntax = "proto3";
package peers;
message Text { string text = 1; }
service Echo {
  rpc Unary(Text) returns (Text);
  rpc Fail(Text) returns (Text);
  rpc Forbidden(Text) returns (Text);
  rpc Chat(stream Text) returns (stream Text);
}
`;

/** One field, number 1, shorter than 128 bytes. */
const wire = {
  serialize: (text: string) =>
    Buffer.concat([Buffer.from([0x0a, Buffer.byteLength(text)]), Buffer.from(text)]),
  deserialize: (bytes: Buffer) => bytes.subarray(2).toString(),
};
function method(name: string, streams = false): MethodDefinition<string, string> {
  return {
    path: `/peers.Echo/${name}`,
    requestStream: streams,
    responseStream: streams,
    requestSerialize: wire.serialize,
    requestDeserialize: wire.deserialize,
    responseSerialize: wire.serialize,
    responseDeserialize: wire.deserialize,
  };
}

let authorization = "";
const server = new Server();
server.addService(
  {
    unary: method("Unary"),
    fail: method("Fail"),
    forbidden: method("Forbidden"),
    chat: method("Chat", true),
  },
  {
    unary(call: ServerUnaryCall<string, string>, done: sendUnaryData<string>) {
      authorization = String(call.metadata.get("authorization")[0]);
      const trailing = new Metadata();
      trailing.set("x-trailing", "last");
      done(null, `you said ${call.request}`, trailing);
    },
    fail: (_call: unknown, done: sendUnaryData<string>) =>
      done({ code: status.FAILED_PRECONDITION, details: "not yet: 50 %" }),
    forbidden: (_call: unknown, done: sendUnaryData<string>) => done(null, "must not be reached"),
    chat(call: ServerDuplexStream<string, string>) {
      call.on("data", (text: string) => call.write(`you said ${text}`));
      call.on("end", () => call.end());
    },
  },
);
after(() => server.forceShutdown());

async function installed(t: TestContext): Promise<string | undefined> {
  const own = Object.entries(process.env).filter(
    ([name, value]) => name.startsWith("GO") && value !== undefined,
  );
  const env = { ...(Object.fromEntries(own) as Record<string, string>), GOBIN: folder };
  const built = await run("go", ["install", module], { env, timeoutMs: 280_000 });
  if (built.code === 0) return join(folder, "grpcurl");
  t.skip(`go install failed: ${built.stderr.trim().split("\n").at(-1)}`);
  return undefined;
}

test("grpcurl: a unary call, a stream both ways, an error, a refusal", {
  skip: noGo,
  timeout: 290_000,
}, async (t) => {
  const grpcurl = await installed(t);
  if (grpcurl === undefined) return;
  const world = await openWorld({
    config: () => ({
      transforms: [
        allowlist(
          ["Unary", "Fail", "Chat"].map((name) => ({
            host: "api.e2e.test:*",
            methods: ["POST"],
            paths: [`/peers.Echo/${name}`],
          })),
        ),
        secrets([swap("E2E_KEY", placeholder, ["api.e2e.test:*"])]),
      ],
    }),
  });
  const leaf = makeLeaf(world.upstreamCa, [...secureHosts]);
  const pair = { private_key: Buffer.from(leaf.keyPem), cert_chain: Buffer.from(leaf.certPem) };
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createSsl(null, [pair]), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  writeFileSync(join(world.folder, "echo.proto"), proto);
  const call = (name: string, data: string): Promise<Ran> => {
    const args = ["-v", "-cacert", world.proxyCaFile, "-import-path", world.folder, "-proto", "echo.proto"];
    const sent = ["-H", `authorization: Bearer ${placeholder}`, "-max-time", "20", "-d", data];
    const to = [`api.e2e.test:${port}`, `peers.Echo/${name}`];
    return run(grpcurl, [...args, ...sent, ...to], { env: workloadEnv(world) });
  };

  const unary = await call("Unary", '{"text":"hello"}');
  assert.match(unary.stdout, /"text": "you said hello"/, unary.stderr);
  assert.match(unary.stdout, /x-trailing: last/);
  assert.equal(authorization, `Bearer ${world.credential}`);

  const chat = await call("Chat", '{"text":"one"} {"text":"two"} {"text":"three"}');
  assert.deepEqual(
    [...chat.stdout.matchAll(/"you said (\w+)"/g)].map(([, word]) => word),
    ["one", "two", "three"],
    chat.stderr,
  );

  const fail = await call("Fail", '{"text":"x"}');
  assert.match(fail.stderr, /Code: FailedPrecondition\n\s+Message: not yet: 50 %/);

  const forbidden = await call("Forbidden", '{"text":"x"}');
  assert.match(forbidden.stderr, /Code: PermissionDenied\n\s+Message: .*request_not_allowed/);
});
