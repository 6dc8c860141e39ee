import { requestFacts } from "../../pipeline/rules.ts";
import type { Exchange, TransformKind } from "../../pipeline/types.ts";
import { awsVariables } from "../../sources/aws.ts";
import { type AwsAuthOptions, compile } from "./build.ts";
import { type Settings, check, checkAction, isRefusal } from "./check.ts";
import { resign } from "./resign.ts";
import { awsAuthSchema } from "./schema.ts";

/**
 * `aws_auth`: signs requests that an AWS SDK signed with placeholder keys once more, with the real ones. The region and
 * the service come from the workload's signature and are bound by the allow lists (attack 47). It has no part in
 * opening a tunnel (I2).
 */
export function makeAwsAuth(options: AwsAuthOptions = {}): TransformKind<typeof awsAuthSchema> {
  return {
    name: "aws_auth",
    credential: true,
    schema: awsAuthSchema,
    build(config, context) {
      const { settings, secrets } = compile(config, context, options);
      return {
        name: "aws_auth",
        credentialRules: [settings.rules],
        secrets,
        // The proxy's own identity is in the variables that its sources read too.
        ...(config.credentials_provider === undefined ? {} : { variables: awsVariables }),
        onRequest: (exchange) =>
          settings.rules.match(requestFacts(exchange)) ? resign(exchange, settings) : undefined,
        close: () => settings.credentials.close?.(),
        explain: (exchange) => [`aws_auth: ${explain(exchange, settings)}`],
      };
    },
  };
}

export const awsAuth = makeAwsAuth();

/** What would happen to a request; reads no body and asks no source. */
function explain(exchange: Exchange, settings: Settings): string {
  const { matched, text } = settings.rules.describe(requestFacts(exchange));
  if (!matched) return `rules do not match: ${text}`;
  if (exchange.claimed("signature") || exchange.claimed("authorization")) {
    return "rules match; would skip: an earlier transform has put its credential there";
  }
  const plan = check(exchange, settings);
  if (isRefusal(plan)) return `rules match; would be refused (${plan.reason})`;
  const { inbound, payload } = plan;
  const isUnread = plan.readsBody && exchange.request.body.bytes === undefined;
  const refused = isUnread ? undefined : checkAction(exchange, plan, settings);
  if (refused !== undefined) return `rules match; would be refused (${refused.reason})`;
  const where = inbound.place === "header" ? "the Authorization header" : "the query";
  const { service, region } = inbound.scope;
  const body = payload.kind === "hash" ? "its body hashed" : `its body as ${payload.hash}`;
  const keys = settings.credentials.name === "static" ? "keys from sources" : "the proxy's own identity";
  return `rules match; would be signed in ${where} for ${service} in ${region} with ${keys}, ${body}`;
}
