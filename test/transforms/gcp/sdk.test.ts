// Google's own library as the workload: it holds nothing real, and every request of it goes through the transforms.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Compute, gaxios, IdTokenClient, JWT, UserRefreshClient } from "google-auth-library";
import type { Transform, Verdict } from "../../../src/pipeline/types.ts";
import { fakeExchange } from "../../helpers/exchange.ts";
import { type IssuerAnswer, startIssuer, type TokenRequestSeen } from "../oauth-token/fixture.ts";
import { buildAuth, buildIdToken, claimsOf, jwtOf, keyfileOf, otherKey, url } from "./support.ts";

const realIdToken = jwtOf({
  real: true,
  iat: Math.floor(Date.now() / 1000),
  exp: Math.floor(Date.now() / 1000) + 3600,
});

/** Google behind the proxy: the real tokens, for the assertions of the real key alone. */
async function google({ body }: TokenRequestSeen): Promise<IssuerAnswer> {
  const { payload } = await claimsOf({ body } as TokenRequestSeen);
  return {
    body:
      payload["target_audience"] === undefined
        ? { access_token: "real-token", expires_in: 3599 }
        : { id_token: realIdToken },
  };
}

/** What an upstream saw of a request. */
interface Arrived {
  readonly url: string;
  readonly authorization: string | undefined;
}

/** The network of a sandbox: every request goes through the transforms; what they let through arrives. */
function sandbox(transforms: readonly Transform[]) {
  const arrived: Arrived[] = [];
  const send = async (input: unknown, init: RequestInit = {}): Promise<Response> => {
    const target = new URL(String(input));
    const exchange = fakeExchange({
      method: init.method ?? "GET",
      url: target.href,
      headers: [...new Headers(init.headers)],
      ...(init.body === undefined || init.body === null
        ? {}
        : { body: (init.body as string | URLSearchParams).toString() }),
    });
    for (const transform of transforms) {
      const verdict: Verdict = await transform.onRequest?.(exchange);
      if (verdict?.kind === "stub") {
        const { status, headers, body } = verdict.response;
        return new Response(body, {
          status,
          headers: headers.map(([name, value]): [string, string] => [name, value]),
        });
      }
      if (verdict !== undefined) return new Response(verdict.reason, { status: verdict.status });
    }
    arrived.push({ url: target.href, authorization: exchange.request.headers.get("authorization") });
    return Response.json({ ok: true });
  };
  return { arrived, options: { transporterOptions: { fetchImplementation: send } }, send };
}

async function transforms(t: Parameters<typeof startIssuer>[0]) {
  const issuer = await startIssuer(t, google);
  const config = { allow_token_uri: [issuer.authority] };
  const keyfile = keyfileOf(issuer.endpoint);
  const access = buildAuth(
    t,
    { ...config, project_id: "my-project", rules: [{ host: "storage.googleapis.com" }] },
    keyfile,
  );
  const identity = buildIdToken(t, { ...config, rules: [{ host: "service.run.app" }] }, keyfile);
  return [access.transform, identity.transform];
}

const scopes = ["https://www.googleapis.com/auth/devstorage.read_only"];
const service = "https://service.run.app";

test("a client with a throw-away key: its token is the stub, and what arrives is the real one", async (t) => {
  const { arrived, options } = sandbox(await transforms(t));
  const client = new JWT({ email: "stub@iron-proxy.local", key: otherKey.pem, scopes, ...options });
  const { token } = await client.getAccessToken();
  assert.equal(token, "iron-proxy-stub-token");
  const { data } = await client.request<{ ok: boolean }>({ url });
  assert.deepEqual(data, { ok: true });
  assert.deepEqual(arrived, [{ url, authorization: "Bearer real-token" }]);
});

test("a client with a throw-away key asks for an ID token", async (t) => {
  const { arrived, options } = sandbox(await transforms(t));
  const provider = new JWT({ email: "stub@iron-proxy.local", key: otherKey.pem, ...options });
  const client = new IdTokenClient({ targetAudience: service, idTokenProvider: provider, ...options });
  await client.request({ url: `${service}/reports` });
  assert.deepEqual(arrived, [{ url: `${service}/reports`, authorization: `Bearer ${realIdToken}` }]);
});

test("a client with a person's made-up credentials", async (t) => {
  const { arrived, options } = sandbox(await transforms(t));
  const client = new UserRefreshClient({ clientId: "x", clientSecret: "x", refreshToken: "x", ...options });
  await client.request({ url });
  assert.deepEqual(arrived, [{ url, authorization: "Bearer real-token" }]);
});

test("a client without credentials finds the metadata server, and tokens of both kinds there", async (t) => {
  const { arrived, options, send } = sandbox(await transforms(t));
  // The library asks the metadata server by the shared instance of its HTTP client.
  const { defaults } = gaxios.instance;
  gaxios.instance.defaults = { ...defaults, fetchImplementation: send };
  t.after(() => {
    gaxios.instance.defaults = defaults;
  });
  const { gcpMetadata } = await import("google-auth-library");
  assert.equal(await gcpMetadata.isAvailable(), true);
  assert.equal(await gcpMetadata.project("project-id"), "my-project");
  assert.equal(await gcpMetadata.universe("universe-domain"), "googleapis.com");
  assert.equal(await gcpMetadata.instance("service-accounts/default/email"), "stub@iron-proxy.local");
  const compute = new Compute({ scopes, ...options });
  await compute.request({ url });
  const idTokens = new IdTokenClient({ targetAudience: service, idTokenProvider: compute, ...options });
  await idTokens.request({ url: `${service}/` });
  assert.deepEqual(arrived, [
    { url, authorization: "Bearer real-token" },
    { url: `${service}/`, authorization: `Bearer ${realIdToken}` },
  ]);
});
