// Google's own library on the side of the workload, with a throw-away key file or with a metadata server that is none; the
// API gets the token that the proxy was given for an assertion which another library verifies.
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { jwtVerify } from "jose";
import { valueOf } from "../harness/message.ts";
import { run } from "../harness/programs.ts";
import type { Address } from "../harness/sallyport.ts";
import { answer, type Script } from "../harness/upstream.ts";
import { allowlist, openWorld } from "../harness/world.ts";

const [real, throwAway] = [newKey(), newKey()];
function newKey() {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { pem: privateKey.export({ type: "pkcs8", format: "pem" }), publicKey };
}

const robot = "robot@project.iam.gserviceaccount.com";
const scope = "https://www.googleapis.com/auth/cloud-platform";
const audience = "https://reports-x7f3a-ew.a.run.app";
const google = ["oauth2.googleapis.com", "metadata.google.internal", "169.254.169.254"];

const world = await openWorld({
  config: ({ securePort, folder }) => {
    const keyfile = join(folder, "robot.json");
    const tokenUri = `https://other.e2e.test:${securePort}/token`;
    writeFileSync(keyfile, keyfileOf(robot, real.pem, tokenUri), { mode: 0o600 });
    const common = { keyfile_path: keyfile, allow_token_uri: [`other.e2e.test:${securePort}`] };
    return {
      transforms: [
        allowlist(["*.e2e.test:*", ...google]),
        {
          name: "gcp_auth",
          config: { ...common, scopes: [scope], rules: [{ host: `api.e2e.test:${securePort}` }] },
        },
        {
          name: "gcp_id_token",
          config: { ...common, audience, rules: [{ host: `deep.api.e2e.test:${securePort}` }] },
        },
      ],
    };
  },
});

function keyfileOf(email: string, key: string, tokenUri: string): string {
  return JSON.stringify({
    type: "service_account",
    project_id: "project",
    client_email: email,
    private_key: key,
    private_key_id: "kid",
    token_uri: tokenUri,
  });
}

const tokens = { access: world.canary.secret("access-token"), identity: idToken() };
world.canary.watch("id token", tokens.identity);
world.canary.watch("key of the robot", real.pem.split("\n")[5] as string);
const asked: unknown[] = [];
world.secure.on("/token", giveToken());
world.secure.on("/call", answer("hello from the API"));

function idToken(): string {
  const part = (content: object) => Buffer.from(JSON.stringify(content)).toString("base64url");
  const exp = Math.floor(Date.now() / 1000) + 3600;
  return `${part({ alg: "RS256" })}.${part({ aud: audience, exp, canary: Math.random() })}.c2ln`;
}

/** Google's token endpoint, as far as an assertion goes. */
function giveToken(): Script {
  return async (request) => {
    const { body } = await request.body();
    const assertion = new URLSearchParams(body.toString()).get("assertion") ?? "";
    const checks = {
      algorithms: ["RS256"],
      issuer: robot,
      audience: `https://other.e2e.test:${world.secure.port}/token`,
    };
    const { payload } = await jwtVerify(assertion, real.publicKey, checks);
    const wantsId = payload["target_audience"] !== undefined;
    asked.push(wantsId ? payload["target_audience"] : payload["scope"]);
    const given = wantsId ? { id_token: tokens.identity } : { access_token: tokens.access };
    const text = JSON.stringify({ ...given, token_type: "Bearer", expires_in: 3599 });
    request.write(
      `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${text.length}\r\n\r\n${text}`,
    );
  };
}

const program = fileURLToPath(new URL("google-client.ts", import.meta.url));
const { host, port } = world.proxy.addresses.tunnel as Address;
const placeholderFile = join(world.folder, "placeholder.json");
writeFileSync(
  placeholderFile,
  keyfileOf("stub@iron-proxy.local", throwAway.pem, "https://oauth2.googleapis.com/token"),
);

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
const targets = { access: "api.e2e.test", identity: "deep.api.e2e.test" };

for (const [what, variables] of Object.entries(environments)) {
  for (const kind of ["access", "identity"] as const) {
    test(`google-auth-library, with ${what}: the API gets the real ${kind} token`, async () => {
      const before = world.secure.count("/call");
      const url = `https://${targets[kind]}:${world.secure.port}/call`;
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
  assert.deepEqual(asked, [scope, audience]);
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
  assert.ok(!world.dns.queries.some((name) => google.includes(name)));
});
