import { requestFacts } from "../../pipeline/rules.ts";
import type { Exchange, Stub, TransformKind, Verdict } from "../../pipeline/types.ts";
import { exposedSecret } from "../exposure.ts";
import { type Attacher, attach, skips } from "./attach.ts";
import { fakeIdToken } from "./fake-id-token.ts";
import { isMetadataHost, type MetadataFacts, metadataVerdict } from "./metadata-stub.ts";
import { mintIdToken } from "./mint.ts";
import { gcpIdTokenSchema } from "./schema.ts";
import { type GcpOptions, keyfileHandle, keyfileMinter } from "./token-source.ts";
import { isTokenEndpoint, tokenAskOf, type TokenAsk } from "./token-request.ts";
import { tokenHosts } from "./token-hosts.ts";

interface Settings extends Attacher {
  readonly metadata: MetadataFacts;
}

const headers = new Map([
  ["authorization", "Authorization"],
  ["x-serverless-authorization", "X-Serverless-Authorization"],
] as const);

/**
 * `gcp_id_token`: sets ID tokens of Google's on requests (Cloud Run, Cloud Functions, Identity-Aware Proxy), and answers
 * the workload's own SDK where it asks for one. It has no part in opening a tunnel (I2), and gives a plain
 * value while a token is held.
 */
export function makeGcpIdToken(options: GcpOptions = {}): TransformKind<typeof gcpIdTokenSchema> {
  return {
    name: "gcp_id_token",
    credential: true,
    schema: gcpIdTokenSchema,
    build(config, context) {
      const error = (key: string, message: string) =>
        context.error(key === "" ? [] : [key], `gcp_id_token: ${message}`);
      const { audience = "", project_id: projectId } = config;
      if ((config.keyfile_path ? 1 : 0) + (config.keyfile === undefined ? 0 : 1) !== 1) {
        error("", 'requires exactly one of "keyfile_path" or "keyfile"');
      }
      if (audience === "") error("audience", '"audience" is required');
      const rules = context.rules(["rules"], config.rules);
      if ((config.rules ?? []).length === 0) error("rules", 'at least one entry in "rules" is required');
      const place = (config.header?.trim().toLowerCase() || "authorization") as Attacher["place"];
      const header = headers.get(place);
      if (header === undefined) {
        error("header", '"header" must be "authorization" or "x-serverless-authorization"');
      }
      const handle = keyfileHandle(config, context);
      const checkUrl = tokenHosts(config.allow_token_uri ?? [], "gcp_id_token", context);
      const site = { name: "gcp_id_token", context, options, checkUrl };
      if (handle === undefined || header === undefined) return { name: "gcp_id_token" }; // it is never used
      const minter = keyfileMinter(handle, site, (account, minting) =>
        mintIdToken(account, audience, minting),
      );
      const settings: Settings = {
        rules,
        get: () => minter.get(),
        header,
        place,
        audience,
        exposed: exposedSecret({ mode: config.scrub, name: "gcp_id_token" }),
        metadata: {
          tokens: "identity",
          scopes: [],
          projectId: projectId || undefined,
          now: options.now ?? Date.now,
        },
      };
      return {
        name: "gcp_id_token",
        credentialRules: [rules],
        secrets: [handle],
        onRequest: (exchange) => onRequest(exchange, settings),
        explain: (exchange) => explain(exchange, settings).map((line) => `gcp_id_token: ${line}`),
        close: () => minter.close(),
      };
    },
  };
}

export const gcpIdToken = makeGcpIdToken();

function onRequest(exchange: Exchange, settings: Settings): Verdict | Promise<Verdict> {
  if (!settings.rules.serves(exchange.client.caller)) return undefined;
  if (isMetadataHost(exchange))
    return metadataVerdict(exchange, settings.metadata) ?? authorize(exchange, settings);
  if (!isTokenEndpoint(exchange)) return authorize(exchange, settings);
  const decide = (ask: TokenAsk): Verdict | Promise<Verdict> => {
    if (ask.kind !== "id_token") return authorize(exchange, settings);
    exchange.annotate("stubbed", "gcp_oauth2_id_token_endpoint");
    exchange.annotate("audience", ask.audience);
    return idTokenStub(ask.audience, settings.metadata.now());
  };
  const ask = tokenAskOf(exchange);
  return ask instanceof Promise ? ask.then(decide) : decide(ask);
}

function idTokenStub(audience: string, now: number): Stub {
  const answer = { id_token: fakeIdToken(audience, now), expires_in: 3600, token_type: "Bearer" };
  const headers = [["Content-Type", "application/json"]] as const;
  return { kind: "stub", response: { status: 200, headers, body: JSON.stringify(answer) } };
}

function authorize(exchange: Exchange, settings: Settings): Verdict | Promise<Verdict> {
  if (!settings.rules.match(requestFacts(exchange)) || skips(exchange, settings.place)) return undefined;
  return attach(exchange, settings);
}

/** What would happen to a request; asks no source and no issuer, and reads no body. */
function explain(exchange: Exchange, { rules, place, header, audience }: Settings): string[] {
  const lines: string[] = [];
  if (isTokenEndpoint(exchange)) {
    lines.push("this is a token endpoint of Google's: a request for an ID token gets a stub");
  } else if (isMetadataHost(exchange)) {
    lines.push("this is Google's metadata server: requests on the way to an ID token get a stub");
  }
  const { matched, text } = rules.describe(requestFacts(exchange));
  if (!matched) return [...lines, `rules do not match: ${text}`];
  if (exchange.claimed(place)) {
    return [...lines, `rules match; would skip header ${header}: an earlier transform has it`];
  }
  return [...lines, `rules match; would set header ${header} for audience ${audience}`];
}
