// Google for tests: a service account, a token endpoint that checks its assertions, an API, and a proxy that keeps the key
// of the account. The workload has a key file too, with a key that means nothing.
import { generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { jwtVerify } from "jose";
import { answer, type Script } from "../harness/upstream.ts";
import { allowlist, openWorld, type World } from "../harness/world.ts";

export const scope = "https://www.googleapis.com/auth/cloud-platform";
export const audience = "https://reports-x7f3a-ew.a.run.app";
/** Hosts of Google's that the proxy answers for. */
export const googleHosts = ["oauth2.googleapis.com", "metadata.google.internal", "169.254.169.254"];
/** Where each kind of token is for. */
export const hosts = { access: "api.e2e.test", identity: "deep.api.e2e.test" } as const;

export interface GoogleWorld {
  readonly world: World;
  /** What the API has to get. */
  readonly tokens: Readonly<Record<keyof typeof hosts, string>>;
  /** Scope or audience of every token that was issued. */
  readonly issued: readonly unknown[];
  /** Path of the workload's key file. */
  readonly placeholderFile: string;
}

/** Opens it; the API answers `/call` with "hello from the API". */
export async function openGoogleWorld(): Promise<GoogleWorld> {
  const robot = "robot@project.iam.gserviceaccount.com";
  const [real, throwAway] = [newKey(), newKey()];
  const world = await openWorld({
    config: ({ securePort, folder }) => {
      const keyfile = join(folder, "robot.json");
      const tokenUri = `https://other.e2e.test:${securePort}/token`;
      writeFileSync(keyfile, keyfileOf(robot, real.pem, tokenUri), { mode: 0o600 });
      const common = { keyfile_path: keyfile, allow_token_uri: [`other.e2e.test:${securePort}`] };
      const rules = (host: string) => [{ host: `${host}:${securePort}` }];
      return {
        transforms: [
          allowlist(["*.e2e.test:*", ...googleHosts]),
          { name: "gcp_auth", config: { ...common, scopes: [scope], rules: rules(hosts.access) } },
          { name: "gcp_id_token", config: { ...common, audience, rules: rules(hosts.identity) } },
        ],
      };
    },
  });
  const tokens = { access: world.canary.secret("access-token"), identity: idToken() };
  world.canary.watch("id token", tokens.identity);
  world.canary.watch("key of the robot", real.pem.split("\n")[5] as string);
  const issued: unknown[] = [];
  world.secure.on("/token", async (request) => {
    const { body } = await request.body();
    const assertion = new URLSearchParams(body.toString()).get("assertion") ?? "";
    const endpoint = `https://other.e2e.test:${world.secure.port}/token`;
    const checks = { algorithms: ["RS256"], issuer: robot, audience: endpoint };
    const { payload } = await jwtVerify(assertion, real.publicKey, checks);
    const wantsId = payload["target_audience"] !== undefined;
    issued.push(wantsId ? payload["target_audience"] : payload["scope"]);
    const given = wantsId ? { id_token: tokens.identity } : { access_token: tokens.access };
    await json({ ...given, token_type: "Bearer", expires_in: 3599 })(request);
  });
  world.secure.on("/call", answer("hello from the API"));
  const placeholderFile = join(world.folder, "placeholder.json");
  const placeholder = keyfileOf(
    "stub@iron-proxy.local",
    throwAway.pem,
    "https://oauth2.googleapis.com/token",
  );
  writeFileSync(placeholderFile, placeholder);
  return { world, tokens, issued, placeholderFile };
}

function newKey() {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { pem: privateKey.export({ type: "pkcs8", format: "pem" }), publicKey };
}

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

function json(content: object): Script {
  return answer(JSON.stringify(content), "Content-Type: application/json");
}

function idToken(): string {
  const part = (content: object) => Buffer.from(JSON.stringify(content)).toString("base64url");
  const exp = Math.floor(Date.now() / 1000) + 3600;
  return `${part({ alg: "RS256" })}.${part({ aud: audience, exp, canary: Math.random() })}.c2ln`;
}
