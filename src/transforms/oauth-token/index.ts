import { requestFacts } from "../../pipeline/rules.ts";
import type { BuildContext, Exchange, Rejection, TransformKind, Verdict } from "../../pipeline/types.ts";
import { expose } from "../exposure.ts";
import { asMintError } from "../minting/mint-error.ts";
import type { Minted } from "../minting/minter.ts";
import { tokenStub } from "../minting/stub.ts";
import { buildEntries, type OauthTokenOptions } from "./build.ts";
import { Capturing } from "./capture.ts";
import { CapturedTokens } from "./captured.ts";
import type { Entry } from "./entry.ts";
import { oauthTokenSchema } from "./schema.ts";
import { type ClassifyTokenRequest, type TokenRequest, tokenRequests } from "./stub.ts";

/**
 * `oauth_token`: gets access tokens and sets them on requests, and answers the token requests of the workload's own SDK
 * with a stub, so that it needs no real credential. It has no part in opening a tunnel (I2), and gives a plain value
 * while a token is held.
 */
export function makeOauthToken(options: OauthTokenOptions = {}): TransformKind<typeof oauthTokenSchema> {
  return {
    name: "oauth_token",
    credential: true,
    schema: oauthTokenSchema,
    build(config, context) {
      const entries = buildEntries(config.tokens ?? [], context, options);
      const capturing = new Capturing(kept(context));
      const classify = tokenRequests(entries, capturing.has);
      return {
        name: "oauth_token",
        credentialRules: entries.map(({ rules }) => rules),
        secrets: entries.flatMap(({ handles }) => handles),
        onRequest: (exchange) => onRequest(exchange, entries, classify, capturing),
        wantsResponse: (exchange) => capturing.awaits(exchange),
        onResponse: (exchange) => capturing.onResponse(exchange),
        explain: (exchange) => explain(exchange, entries),
        close() {
          for (const { minter } of entries) minter.close();
        },
      };
    },
  };
}

export const oauthToken = makeOauthToken();

/** Tokens of workloads outlive the configuration that they came under, and are good with every process. */
function kept({ keep, custody }: BuildContext): CapturedTokens {
  const make = () => {
    const tokens = new CapturedTokens();
    custody?.commons?.join("captured tokens", tokens);
    return tokens;
  };
  return keep?.("oauth_token", make) ?? make();
}

function onRequest(
  exchange: Exchange,
  entries: readonly Entry[],
  classify: ClassifyTokenRequest,
  capturing: Capturing,
): Verdict | Promise<Verdict> {
  const decide = (asked: TokenRequest | undefined): Verdict | Promise<Verdict> => {
    if (asked?.kind === "stub") {
      exchange.annotate("stubbed", "oauth2_token_endpoint");
      return tokenStub;
    }
    const forbidden = asked && capturing.forward(exchange, asked.entry, asked.swap);
    return forbidden ?? attach(exchange, entries, capturing);
  };
  const asked = classify(exchange);
  return asked instanceof Promise ? asked.then(decide) : decide(asked);
}

function attach(
  exchange: Exchange,
  entries: readonly Entry[],
  capturing: Capturing,
): Verdict | Promise<Verdict> {
  const facts = requestFacts(exchange);
  const entry = entries.find(({ rules }) => rules.match(facts));
  if (entry === undefined) return undefined;
  if (exchange.claimed(entry.place)) {
    exchange.annotate("skipped", "credential_already_applied");
    return undefined;
  }
  const captured = capturing.inRequest(exchange, entry);
  if (captured !== undefined) return capturing.attach(exchange, entry, captured);
  let token: Minted | Promise<Minted>;
  try {
    token = entry.minter.get();
  } catch (error) {
    return unavailable(exchange, entry, error);
  }
  if (!(token instanceof Promise)) return setToken(exchange, entry, token);
  return token.then(
    (minted) => setToken(exchange, entry, minted),
    (error: unknown) => unavailable(exchange, entry, error),
  );
}

function setToken(exchange: Exchange, entry: Entry, { token }: Minted): Verdict {
  exchange.annotate("grant", entry.grant);
  const forbidden = exchange.attachable();
  if (forbidden !== undefined) {
    exchange.annotate("rejected", forbidden.reason);
    return forbidden;
  }
  exchange.claim(entry.place);
  expose(exchange, entry.exposed(token));
  exchange.request.headers.set(entry.header, entry.prefix + token.reveal());
  exchange.annotate("injected", [entry.location]);
  return undefined;
}

function unavailable(exchange: Exchange, { grant, require }: Entry, error: unknown): Rejection | undefined {
  exchange.annotate("grant", grant);
  exchange.annotate("error", asMintError(error).reason);
  exchange.annotate(require ? "rejected" : "skipped", "token_unavailable");
  if (!require) return undefined;
  return {
    kind: "reject",
    status: 502,
    reason: "token_unavailable",
    response: {
      status: 502,
      headers: [["Content-Type", "application/json"]],
      body: JSON.stringify({ error: "oauth_token failed to mint an access token", grant }),
    },
  };
}

/** What each entry would do; asks no source and no issuer, and reads no body. */
function explain(exchange: Exchange, entries: readonly Entry[]): string[] {
  const facts = requestFacts(exchange);
  const first = entries.find(({ rules }) => rules.match(facts));
  const lines = entries.map((entry) => {
    const label = `oauth_token: tokens[${entry.index}] (${entry.grant})`;
    if (entry === first) return `${label}: rules match; ${outcome(exchange, entry)}`;
    const { matched, text } = entry.rules.describe(facts);
    return `${label}: ${matched ? "rules match; not used: an earlier entry matches" : `rules do not match: ${text}`}`;
  });
  const isEndpoint = entries.some(
    ({ endpoint }) =>
      endpoint.authority === exchange.authority.text && endpoint.path === exchange.request.canonicalPath,
  );
  if (!isEndpoint) return lines;
  return [
    "oauth_token: this is a token endpoint: a form with a grant type known here gets a stub token",
    ...lines,
  ];
}

function outcome(exchange: Exchange, { header, place }: Entry): string {
  return exchange.claimed(place)
    ? `would skip header ${header}: an earlier transform has it`
    : `would set header ${header}`;
}
