// Where the attacks happen: the real executable between a hostile workload and hostile upstreams, and watchers over what
// either of them gets.
import { randomBytes } from "node:crypto";
import { issueToken } from "../../src/callers/token.ts";
import { keysOf, newKey } from "../callers/support.ts";
import type { ClientContext } from "../e2e/harness/client.ts";
import { type Field, valueOf } from "../e2e/harness/message.ts";
import type { Sallyport } from "../e2e/harness/sallyport.ts";
import { startUpstream, type Upstream } from "../e2e/harness/upstream.ts";
import {
  allowlist,
  clientCredentials,
  createWorld,
  type Facts,
  placeholder,
  secrets,
  type World,
} from "../e2e/harness/world.ts";
import { makeLeaf } from "../helpers/pki.ts";
import { hold } from "./attack.ts";
import { Hunt, spellings } from "./hunt.ts";
import { type H2Upstream, startH2Upstream } from "./upstream-h2.ts";
import { ask, type Asked, isPlain, type Reply, type Side, type Way } from "./workload.ts";

/** `Authorization` with what the workload holds in place of the credential. */
export const authorization: Field = ["Authorization", `Bearer ${placeholder}`];
/** A second credential, all of whose special characters some encoding escapes; in `X-Sharp`. */
export const sharpPlaceholder = "placeholder-of-the-sharp-one";
/** Client's patience with a head, in the configuration and in the attempts at it. */
export const headerTimeout = "2s";

/** How the proxy is protected: `off` has every protection off that a configuration can switch off. */
export type Protection = "on" | "off";

export interface Arena extends Side {
  readonly world: World;
  /** Wants a token of everybody; has the operator's ports. */
  readonly guarded: Sallyport;
  readonly guardedSide: Side;
  readonly managementKey: string;
  /** A token for {@link guarded} of a caller with these tools. */
  token(tools?: readonly string[], ttlSeconds?: number, nowMs?: number): string;
  /** HTTP/2 only, as `h2.e2e.test`. */
  readonly h2: H2Upstream;
  readonly h2Authority: string;
  /** At addresses where nothing may arrive; absent where the system has but one loopback address. */
  readonly decoys: readonly Upstream[];
  /** Values the upstream may have and the workload may not. */
  readonly credentials: Readonly<Record<"key" | "sharp" | "injected", string>>;
  /** The upstream of this way and its authority. */
  target(way: Way): { readonly upstream: Upstream; readonly authority: string };
  ask(way: Way, asked: Partial<Asked>): Promise<Reply>;
  /** Requests that reached any upstream so far. */
  arrived(): number;
  /** Where a credential went that it was not for, since the last time. */
  strayed(): string[];
  close(): Promise<void>;
}

const rule = (host: string, more: object = {}): object => ({ host, ...more });

/** The transforms: what may be reached, and which credential is for what. */
function transformsOf({ securePort, plainPort }: Facts, protection: Protection): object[] {
  const off = protection === "off";
  const upstreams = [`api.e2e.test:${securePort}`, `plain.localhost:${plainPort}`, "h2.e2e.test:*"];
  const env = (variable: string): object => ({ type: "env", var: variable });
  const scrub = off ? { scrub: "off" } : {};
  const replace = (proxyValue: string, ...headers: string[]): object => ({
    proxy_value: proxyValue,
    // Without a list, all headers.
    ...(off ? { on_misuse: "report" } : { match_headers: headers }),
  });
  const rules = upstreams.map((host) => rule(host));
  const credentials = secrets([
    { source: env("E2E_KEY"), ...scrub, replace: replace(placeholder, "Authorization", "X-Api-Key"), rules },
    { source: env("E2E_SHARP"), ...scrub, replace: replace(sharpPlaceholder, "X-Sharp"), rules },
    {
      source: env("E2E_INJECTED"),
      ...scrub,
      inject: { header: "Authorization", formatter: 'Basic {{ base64 "me:" .Value }}' },
      rules: [rule(`other.e2e.test:${securePort}`, { paths: ["/injected/*"] })],
    },
    {
      source: env("E2E_BROKEN"),
      replace: { proxy_value: "ph-broken", match_headers: ["X-Broken"] },
      rules,
    },
  ]);
  const aws = {
    name: "aws_auth",
    config: {
      access_key_id: env("E2E_AWS_ID"),
      secret_access_key: env("E2E_AWS_KEY"),
      allowed_regions: off ? [] : ["eu-west-1"],
      ...(off
        ? {
            match_scope_to_host: false,
            allowed_actions: ["s3:*", "iam:*", "sts:GetSessionToken", "sts:AssumeRole"],
          }
        : { allowed_services: ["s3", "sts"] }),
      rules: [rule("*.amazonaws.com:*")],
    },
  };
  const oauth = clientCredentials(
    `https://other.e2e.test:${securePort}/token`,
    ["E2E_AWS_ID", "E2E_AWS_KEY"],
    [rule("api.e2e.test:*", { paths: ["/minted/*"] })],
    scrub,
  );
  const policy = allowlist([
    "api.e2e.test:*",
    "other.e2e.test:*",
    "h2.e2e.test:*",
    "meta.e2e.test:*",
    "denied-address.e2e.test:*",
    "rebound.e2e.test:*",
    "*.deep.e2e.test",
    "*.amazonaws.com:*",
    "pinned.e2e.test",
    { host: "deep.api.e2e.test:*", methods: ["GET"], paths: ["/ok/*"] },
    "*.localhost",
    { host: `plain.localhost:${plainPort}` },
    { cidr: "127.0.0.0/8" },
    { cidr: "169.254.0.0/16" },
    { cidr: "::/0" },
  ]);
  const mechanisms = [credentials, aws, oauth];
  return off ? mechanisms : [policy, ...mechanisms];
}

function configOf(facts: Facts, protection: Protection): Record<string, unknown> {
  const off = protection === "off";
  return {
    dns: { enabled: true, listen: "127.0.0.1:0", proxy_ip: "127.0.0.1", refuse_denied: !off },
    proxy: {
      upstream_deny_cidrs: off ? [] : ["127.0.0.66/32"],
      timeouts: { client_header: headerTimeout },
      ...(off ? { default: "allow", rule_ports: "any", plaintext_credentials: "allow" } : {}),
    },
    tls: { passthrough: ["pinned.e2e.test"] },
    transforms: transformsOf(facts, protection),
  };
}

/** Starts everything. */
export async function openArena(protection: Protection = "on"): Promise<Arena> {
  const random = (): string => randomBytes(9).toString("base64url");
  const credentials = {
    key: "",
    sharp: `sharp/9f+&%="<${random()}'>Zz`,
    injected: `injected/${random()}+${random()}`,
  };
  const env = {
    E2E_SHARP: credentials.sharp,
    E2E_INJECTED: credentials.injected,
    E2E_BROKEN: `broken-${random()}\r\nX-Evil: yes`,
    E2E_AWS_ID: "AKIAATTACKSREALREAL0",
    E2E_AWS_KEY: `aws-${random()}${random()}`,
  };
  const world = await createWorld({ env, config: (facts) => configOf(facts, protection) });
  const hunt = new Hunt();
  credentials.key = world.credential;
  const watched: Record<string, string> = {
    ...credentials,
    aws: env.E2E_AWS_KEY,
    broken: env.E2E_BROKEN.split("\r")[0] as string,
  };
  for (const [label, value] of Object.entries(watched)) {
    world.canary.watch(label, value);
    hunt.hunt(label, value);
  }
  const context: ClientContext = { ...world.context, canary: hunt };
  const leaf = makeLeaf(world.upstreamCa, "h2.e2e.test");
  const h2 = await startH2Upstream({ cert: leaf.certPem, key: leaf.keyPem });
  const decoys = await startDecoys();

  const signingKey = newKey();
  const managementKey = world.canary.secret("management-key");
  hunt.hunt("the management key", managementKey);
  hunt.hunt("the signing key", signingKey);
  const guarded = await world.another("guarded", {
    env: { ...env, SANDBOX_SIGNING_KEY: signingKey, IRON_MANAGEMENT_API_KEY: managementKey },
    config: (facts) => ({
      proxy: { require_caller: protection === "on" },
      management: { listen: "127.0.0.1:0" },
      transforms: [
        allowlist(["*.e2e.test:*", "plain.localhost"]),
        secrets([
          {
            source: { type: "env", var: "E2E_KEY" },
            replace: { proxy_value: placeholder, match_headers: ["Authorization"] },
            rules: [
              { host: `api.e2e.test:${facts.securePort}`, tools: ["crm"] },
              { host: `plain.localhost:${facts.plainPort}`, tools: ["crm"] },
            ],
          },
        ]),
      ],
    }),
  });

  const side: Side = { context, hunt, proxy: world.proxy };
  const { secure, plain } = world;
  const seen = [0, 0];
  let dialled: number[] = [];
  const arena: Arena = {
    ...side,
    world,
    guarded,
    guardedSide: { ...side, proxy: guarded },
    managementKey,
    token: (tools, ttl = 600, now = Date.now()) =>
      issueToken({ name: "attacker", tools, ttl }, keysOf(signingKey).current.key, now).token,
    h2,
    h2Authority: `h2.e2e.test:${h2.port}`,
    decoys,
    credentials,
    target: (way) =>
      isPlain(way)
        ? { upstream: plain, authority: world.plainAuthority }
        : { upstream: secure, authority: world.secureAuthority },
    ask: (way, asked) => ask(side, way, { authority: arena.target(way).authority, ...asked }),
    arrived: () => secure.received.length + plain.received.length + h2.received.length,
    strayed() {
      const own = [world.secureAuthority, world.plainAuthority];
      const stray = [secure, plain]
        .flatMap((upstream, index) => {
          const fresh = upstream.received.slice(seen[index]);
          seen[index] = upstream.received.length;
          return fresh;
        })
        .filter(({ fields }) => !own.includes(valueOf(fields, "host") ?? ""))
        .filter(
          ({ head, body }) =>
            spellings(Buffer.concat([Buffer.from(head, "latin1"), body]), credentials.key).length > 0,
        )
        .map(({ fields }) => `the credential went to ${valueOf(fields, "host")}`);
      const decoyed = decoys
        .filter(({ connections }, index) => connections > (dialled[index] ?? 0))
        .map(({ host }) => `something was dialled at ${host}`);
      dialled = decoys.map(({ connections }) => connections);
      return [...new Set([...stray, ...decoyed])];
    },
    async close() {
      for (const client of context.clients) client.close();
      await guarded.stop();
      await Promise.all([h2.close(), ...decoys.map((decoy) => decoy.close())]);
      await world.close();
    },
  };
  return arena;
}

/** Listeners at addresses that are denied, or that only an attacker would name. */
async function startDecoys(): Promise<Upstream[]> {
  if (process.platform !== "linux") return [];
  return Promise.all(["127.0.0.66", "127.0.0.3"].map((host) => startUpstream({ host })));
}

/** The reply has to be a refusal, for one of these reasons where they are named. */
export function refusal(reply: Reply, ...reasons: readonly string[]): string {
  const said = `${reply.status === 0 ? "" : `${reply.status} `}${reply.reason ?? ""}`.trim();
  // 502 and 504 are the upstream's failures: no refusal unless one is meant.
  const last = reasons.length === 0 ? 500 : 600;
  const isRefusal =
    reply.reason !== undefined && (reply.status === 0 || (reply.status >= 400 && reply.status < last));
  hold(isRefusal, `answered with ${said || "nothing"}`);
  const { reason } = reply;
  const isExpected =
    reasons.length === 0 ||
    reply.status === 0 ||
    reasons.some((one) => one === reason || one === String(reply.status));
  hold(isExpected, `refused with ${said}, not for ${reasons.join(" or ")}`);
  return said;
}

/** Runs something that is to be refused, and holds that nothing reached an upstream meanwhile. */
export async function nothingArrives(arena: Arena, attempt: () => Promise<string>): Promise<string> {
  const before = arena.arrived();
  const said = await attempt();
  hold(arena.arrived() === before, `${said}, and yet a request reached an upstream`);
  return said;
}

/** The newest request for a path, by whichever upstream got it. */
export async function received(
  arena: Arena,
  way: Way,
  path: string,
): Promise<{
  readonly head: string;
  readonly fields: readonly Field[];
  readonly body: Buffer;
  readonly target: string;
}> {
  return arena.target(way).upstream.request(path);
}
