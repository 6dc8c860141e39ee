// google-auth for Python and Go's oauth2 as workloads with a key file that means nothing.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { valueOf } from "../e2e/harness/message.ts";
import { type Ran, run } from "../e2e/harness/programs.ts";
import { audience, hosts, openGoogleWorld } from "../e2e/mechanisms/google-world.ts";
import { buildGo, noGo, noPython, pythonProgram, workloadEnv } from "./peers.ts";

const { world, tokens, placeholderFile } = await openGoogleWorld();
const env = workloadEnv(world);

for (const kind of ["access", "identity"] as const) {
  const url = `https://${hosts[kind]}:${world.secure.port}/call`;
  const args = [kind, placeholderFile, url, audience];

  /** The workload reads the API's answer; the API got the real token. */
  const calls = async (client: () => Promise<Ran>): Promise<void> => {
    const before = world.secure.count("/call");
    const ran = await client();
    assert.equal(ran.stdout, "hello from the API", ran.stderr);
    const received = await world.secure.request("/call", before + 1);
    assert.equal(valueOf(received.fields, "authorization"), `Bearer ${tokens[kind]}`);
  };

  test(`google-auth for Python gets an ${kind} token`, { skip: noPython }, async () => {
    const script = fileURLToPath(new URL("clients/google_client.py", import.meta.url));
    await calls(() => run(pythonProgram("python"), [script, ...args], { env }));
  });
}

describe("Go", { skip: noGo }, () => {
  test("golang.org/x/oauth2 gets an access token", async (t) => {
    const source = new URL("clients/google_client.go", import.meta.url);
    const built = await buildGo("google-client", source, ["golang.org/x/oauth2@v0.37.0"]);
    if ("missing" in built) return t.skip(built.missing);
    const before = world.secure.count("/call");
    const url = `https://${hosts.access}:${world.secure.port}/call`;
    const ran = await run(built.program, [placeholderFile, url], { env });
    assert.equal(ran.stdout, "hello from the API", ran.stderr);
    const received = await world.secure.request("/call", before + 1);
    assert.equal(valueOf(received.fields, "authorization"), `Bearer ${tokens.access}`);
  });
});
