// Google's own library on the side of the workload, with a throw-away key file or with a metadata server that is none; the
// API gets the token that the proxy was given for an assertion which another library verifies.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { valueOf } from "../harness/message.ts";
import { run } from "../harness/programs.ts";
import type { Address } from "../harness/sallyport.ts";
import { audience, googleHosts, hosts, openGoogleWorld, scope } from "./google-world.ts";

const { world, tokens, issued, placeholderFile } = await openGoogleWorld();
const program = fileURLToPath(new URL("google-client.ts", import.meta.url));
const { host, port } = world.proxy.addresses.tunnel as Address;

/** What the environment tells the workload about its credentials. */
const environments = {
  "a throw-away key file": { GOOGLE_APPLICATION_CREDENTIALS: placeholderFile },
  // Without a project in the environment the library looks for it with gcloud first.
  "a metadata server": {
    METADATA_SERVER_DETECTION: "assume-present",
    GOOGLE_CLOUD_PROJECT: "project",
    HOME: world.folder,
  },
};

for (const [what, variables] of Object.entries(environments)) {
  for (const kind of ["access", "identity"] as const) {
    test(`google-auth-library, with ${what}: the API gets the real ${kind} token`, async () => {
      const before = world.secure.count("/call");
      const url = `https://${hosts[kind]}:${world.secure.port}/call`;
      const proxy = `http://${host}:${port}`;
      const ran = await run(process.execPath, [program, kind, url, audience], {
        env: { ...variables, HTTPS_PROXY: proxy, HTTP_PROXY: proxy, NODE_EXTRA_CA_CERTS: world.proxyCaFile },
      });
      assert.equal(ran.stdout, "hello from the API", ran.stderr);
      const received = await world.secure.request("/call", before + 1);
      assert.equal(valueOf(received.fields, "authorization"), `Bearer ${tokens[kind]}`);
    });
  }
}

test("each token was minted once, for its scope or its audience", () => {
  assert.deepEqual(issued, [scope, audience]);
});

test("what the workload took for tokens was the proxy's stubs, and none of it reached Google", () => {
  const records = world.proxy.audit.read();
  const stubbed = records.flatMap(({ request_transforms: traces }) => {
    const kind = traces?.at(-1)?.annotations?.["stubbed"];
    return kind === undefined ? [] : [kind];
  });
  for (const kind of ["oauth2_token_endpoint", "gcp_metadata_identity_endpoint"]) {
    assert.ok(stubbed.includes(kind), `${kind} among ${JSON.stringify(stubbed)}`);
  }
  assert.ok(!world.dns.queries.some((name) => googleHosts.includes(name)));
});
