// A strict issuer that others wrote (oidc-provider): it authenticates clients, rotates refresh tokens and revokes what
// came of one that is used twice. On loopback, over plain HTTP.
import { generateKeyPairSync } from "node:crypto";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";

/** What is used of the package, which has no types of its own. */
interface Provider {
  callback(): RequestListener;
  readonly Client: { find(id: string): Promise<unknown> };
  readonly Grant: new (fields: object) => { addOIDCScope(scope: string): void; save(): Promise<string> };
  readonly RefreshToken: new (fields: object) => { save(): Promise<string> };
  readonly AccessToken: { find(token: string): Promise<{ readonly clientId: string } | undefined> };
  readonly ClientCredentials: {
    find(token: string): Promise<{ readonly clientId: string; readonly scope?: string } | undefined>;
  };
}

type MakeProvider = new (issuer: string, configuration: object) => Provider;

export const clientSecret = "a s&cret+of/the=client%";

export interface OidcIssuer {
  readonly url: string;
  readonly tokenEndpoint: string;
  /** Client a token was issued to; `undefined` for a token that the issuer does not know. */
  ownerOf(accessToken: string): Promise<string | undefined>;
  /** A refresh token as a login would have given it. */
  newRefreshToken(clientId: string): Promise<string>;
  /** RFC 7009. */
  revoke(refreshToken: string): Promise<void>;
}

/** Clients are `basic` and `post`, by how they authenticate; both have {@link clientSecret}. */
export async function startOidcProvider(t: { after(hook: () => void): void }): Promise<OidcIssuer> {
  let listener: RequestListener = (_, response) => response.destroy();
  const server = createServer((request, response) => listener(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const provider = await makeProvider(url);
  listener = provider.callback();
  return {
    url,
    tokenEndpoint: `${url}/token`,
    async ownerOf(token) {
      const found =
        (await provider.AccessToken.find(token)) ?? (await provider.ClientCredentials.find(token));
      return found?.clientId;
    },
    async newRefreshToken(clientId) {
      const grant = new provider.Grant({ accountId: "alice", clientId });
      grant.addOIDCScope("openid offline_access");
      const grantId = await grant.save();
      const client = await provider.Client.find(clientId);
      const scope = "openid offline_access";
      const fields = { accountId: "alice", client, grantId, gty: "authorization_code", scope };
      return new provider.RefreshToken(fields).save();
    },
    async revoke(token) {
      const form = { token, client_id: "post", client_secret: clientSecret };
      const { status } = await fetch(`${url}/token/revocation`, {
        method: "POST",
        body: new URLSearchParams(form),
      });
      if (status !== 200) throw new Error(`revocation: ${status}`);
    },
  };
}

async function makeProvider(url: string): Promise<Provider> {
  const name = "oidc-provider";
  const { default: Provider } = (await import(name)) as { default: MakeProvider };
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const client = (id: string, method: string) => ({
    client_id: id,
    client_secret: clientSecret,
    token_endpoint_auth_method: method,
    grant_types: ["client_credentials", "refresh_token", "authorization_code"],
    redirect_uris: ["https://app.example.com/callback"],
    id_token_signed_response_alg: "ES256",
  });
  return new Provider(url, {
    clients: [client("basic", "client_secret_basic"), client("post", "client_secret_post")],
    jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), use: "sig", alg: "ES256" }] },
    cookies: { keys: ["test"] },
    features: {
      clientCredentials: { enabled: true },
      revocation: { enabled: true, allowedPolicy: () => true },
      devInteractions: { enabled: false },
    },
    scopes: ["openid", "offline_access", "api:read", "api:write"],
    rotateRefreshToken: true,
    findAccount: (_: unknown, accountId: string) => ({ accountId, claims: () => ({ sub: accountId }) }),
    ttl: { AccessToken: 3600, ClientCredentials: 3600, RefreshToken: 86_400, Grant: 86_400, IdToken: 3600 },
  });
}
