import { requestFacts } from "../../pipeline/rules.ts";
import type { Exchange, TransformKind } from "../../pipeline/types.ts";
import { compile, type HmacSignOptions, type Scheme } from "./build.ts";
import { hmacSignSchema } from "./schema.ts";
import { checkHead, signRequest } from "./sign.ts";

/**
 * `hmac_sign`: signs requests as a venue's documentation describes it, with an HMAC or a private key. What is signed and
 * where the signature goes are templates. It has no part in opening a tunnel (I2).
 */
export function makeHmacSign(options: HmacSignOptions = {}): TransformKind<typeof hmacSignSchema> {
  return {
    name: "hmac_sign",
    credential: true,
    schema: hmacSignSchema,
    build(config, context) {
      const { scheme, rules, secrets, exposes } = compile(config, context, options);
      return {
        name: "hmac_sign",
        credentialRules: [rules],
        secrets,
        exposes,
        onRequest(exchange) {
          if (scheme === undefined || !rules.match(requestFacts(exchange))) return undefined;
          return signRequest(exchange, scheme);
        },
        explain(exchange) {
          if (scheme === undefined) return [];
          return [`hmac_sign: ${explain(exchange, scheme)}`];
        },
      };
    },
  };
}

export const hmacSign = makeHmacSign();

/** What would happen to a request; reads no body, asks no source and takes no number from the counter. */
function explain(exchange: Exchange, scheme: Scheme): string {
  const { matched, text } = scheme.rules.describe(requestFacts(exchange));
  if (!matched) return `rules do not match: ${text}`;
  const problem = checkHead(exchange, scheme);
  if (problem === "credential_already_applied") {
    return "rules match; would skip: an earlier transform has put its credential there";
  }
  const { length } = exchange.request.body;
  const isLarge = length !== undefined && length > exchange.maxRequestBody;
  if (problem !== undefined) return `rules match; would be refused (${problem})`;
  if (isLarge) return "rules match; would be refused (body_truncated)";
  const { headers, signedQuery, finalQuery } = scheme;
  const targets = [
    ...headers.map(({ name }) => `header ${name}`),
    ...[...signedQuery, ...finalQuery].map(({ name }) => `query ${name}`),
  ];
  return `rules match; would be signed with ${scheme.algorithm.title}; would set ${targets.join(", ")}`;
}
