// Tokens from issuers that others wrote, asked for over TLS by the real executable. The API asks the issuer whose the
// token is that it got.
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { join } from "node:path";
import { after, test } from "node:test";
import { createLocalJWKSet, jwtVerify } from "jose";
import { OAuth2Server } from "oauth2-mock-server";
import { clientSecret, startOidcProvider } from "../../fakes/oidc-provider.ts";
import { openRaw, startTls } from "../harness/client.ts";
import { valueOf } from "../harness/message.ts";
import type { Address, Sallyport } from "../harness/sallyport.ts";
import type { Script } from "../harness/upstream.ts";
import { allowlist, openWorld, type WorldOptions } from "../harness/world.ts";

const oidc = await startOidcProvider({ after });
const mock = new OAuth2Server();
await mock.issuer.keys.generate("RS256");
await mock.start(0, "127.0.0.1");
after(() => mock.stop());

const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const rotating = await oidc.newRefreshToken("basic");
const revoked = await oidc.newRefreshToken("post");
const env = {
  CLIENT_SECRET: clientSecret,
  BASIC: "basic",
  POST: "post",
  ROTATING: rotating,
  REVOKED: revoked,
  ALICE: "alice@e2e.test",
  ROBOT: "robot@e2e.test",
  PASSWORD: "s3 cret&of=alice",
  PRIVATE_KEY: privateKey.export({ type: "pkcs8", format: "pem" }),
};
const read = (name: keyof typeof env) => ({ type: "env", var: name });

/** The entries, each for paths of its own; the issuers stand on another name of the same upstream. */
const options: WorldOptions = {
  env,
  config: ({ securePort, folder }) => {
    const at = `https://other.e2e.test:${securePort}`;
    const oidcEntry = (path: string, more: object) => ({
      token_endpoint: `${at}/token`,
      client_secret: read("CLIENT_SECRET"),
      rules: [{ host: "api.e2e.test:*", paths: [path] }],
      ...more,
    });
    const mockEntry = (path: string, more: object) => ({
      token_endpoint: `${at}/mock/token`,
      scopes: ["read", "write"],
      rules: [{ host: "api.e2e.test:*", paths: [path] }],
      ...more,
    });
    const client = { grant: "client_credentials", scopes: ["api:read"] };
    const tokens = [
      oidcEntry("/basic", { ...client, client_id: read("BASIC"), client_auth: "basic" }),
      oidcEntry("/post", { ...client, client_id: read("POST") }),
      oidcEntry("/rotated", {
        grant: "refresh_token",
        client_id: read("BASIC"),
        client_auth: "basic",
        refresh_token: read("ROTATING"),
        rotation_file: join(folder, "rotated"),
      }),
      oidcEntry("/revoked", {
        grant: "refresh_token",
        client_id: read("POST"),
        refresh_token: read("REVOKED"),
      }),
      mockEntry("/password", {
        grant: "password",
        client_id: read("POST"),
        username: read("ALICE"),
        password: read("PASSWORD"),
      }),
      mockEntry("/assertion", {
        grant: "jwt_bearer",
        issuer: read("ROBOT"),
        subject: read("ALICE"),
        private_key: read("PRIVATE_KEY"),
        audience: "https://login.e2e.test/",
      }),
    ];
    return {
      transforms: [allowlist(["*.e2e.test:*"]), { name: "oauth_token", config: { tokens } }],
    };
  },
};
const world = await openWorld(options);
for (const name of ["CLIENT_SECRET", "ROTATING", "REVOKED", "PASSWORD"] as const) {
  world.canary.watch(name, env[name]);
}
world.canary.watch("PRIVATE_KEY", env.PRIVATE_KEY.split("\n")[5] as string);
world.secure.on("/token", relayTo(`${oidc.url}/token`));
world.secure.on("/mock/token", relayTo(`http://127.0.0.1:${mock.address().port}/token`));

/** Passes a token request on to an issuer that speaks plain HTTP on loopback. */
function relayTo(url: string): Script {
  return async (request) => {
    const { body, fields } = await request.body();
    const kept = ["authorization", "content-type"].flatMap((name) => {
      const value = valueOf(fields, name);
      return value === undefined ? [] : [[name, value] as [string, string]];
    });
    const answer = await fetch(url, { method: "POST", headers: kept, body: new Uint8Array(body) });
    const text = await answer.text();
    request.write(
      `HTTP/1.1 ${answer.status} Because\r\nContent-Type: ${answer.headers.get("content-type")}\r\n` +
        `Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
    );
  };
}

/** Sends a request with a placeholder token and gives the token that the API got in its place. */
async function tokenFor(path: string, proxy: Sallyport = world.proxy): Promise<string> {
  const before = world.secure.count(path);
  const { client, answer } = await ask(path, proxy);
  client.close();
  assert.equal(answer.status, 200, answer.body.toString());
  const received = await world.secure.request(path, before + 1);
  const [, token = ""] = /^Bearer (\S+)$/.exec(valueOf(received.fields, "authorization") ?? "") ?? [];
  world.canary.watch(`token of ${path}`, token);
  return token;
}

async function ask(path: string, proxy: Sallyport = world.proxy) {
  const https = proxy.addresses.https as Address;
  const raw = await openRaw(world.context, https, world.secureAuthority);
  const client = await startTls(world.context, raw);
  const answer = await client.request("GET", path, { fields: ["Authorization: Bearer placeholder"] });
  return { client, answer };
}

for (const client of ["basic", "post"]) {
  test(`oidc-provider, client_credentials: a token of the client "${client}"`, async () => {
    assert.equal(await oidc.ownerOf(await tokenFor(`/${client}`)), client);
  });
}

test("oidc-provider, refresh_token: a rotated one survives a restart, for the first is spent", async () => {
  assert.equal(await oidc.ownerOf(await tokenFor("/rotated")), "basic");
  const next = await world.another("restarted", options);
  assert.equal(await oidc.ownerOf(await tokenFor("/rotated", next)), "basic");
  await next.stop();
});

test("oidc-provider, refresh_token: a revoked one is refused with 502, and the audit says invalid_grant", async () => {
  await oidc.revoke(revoked);
  const { client, answer } = await ask("/revoked");
  assert.equal(answer.status, 502);
  assert.equal(valueOf(answer.fields, "sallyport-reason"), "token_unavailable");
  assert.equal(world.secure.count("/revoked"), 0);
  const record = await world.proxy.audit.last(client, 1);
  const annotations = { grant: "refresh_token", error: "invalid_grant", rejected: "token_unavailable" };
  assert.deepEqual(record.request_transforms?.at(-1)?.annotations, annotations);
});

const claims = { password: env.ALICE, assertion: env.ALICE };
for (const [grant, subject] of Object.entries(claims)) {
  test(`oauth2-mock-server, ${grant}: a token that verifies with the issuer's keys`, async () => {
    const keys = createLocalJWKSet({ keys: mock.issuer.keys.toJSON() });
    const { payload } = await jwtVerify(await tokenFor(`/${grant}`), keys);
    assert.equal(payload.sub, subject);
  });
}

test("a workload that asks the issuer itself gets a stub, and the issuer never hears of it", async () => {
  const asked = world.secure.count("/token");
  const client = await world.connect(`other.e2e.test:${world.secure.port}`);
  const body = "grant_type=client_credentials&client_id=dummy&client_secret=dummy";
  const fields = ["Content-Type: application/x-www-form-urlencoded"];
  const answer = await client.request("POST", "/token", { fields, body });
  assert.equal(answer.status, 200);
  const stub = JSON.parse(answer.body.toString()) as { access_token: string; token_type: string };
  assert.equal(stub.token_type, "Bearer");
  assert.equal(await oidc.ownerOf(stub.access_token), undefined);
  assert.equal(world.secure.count("/token"), asked);
});
