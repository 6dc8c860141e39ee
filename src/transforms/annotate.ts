import { z } from "zod";
import { lowerCaseName } from "../http/headers.ts";
import { requestFacts, type Rules } from "../pipeline/rules.ts";
import type { Exchange, TransformKind } from "../pipeline/types.ts";
import { isHeaderName } from "./header-matcher.ts";
import { rulesSchema } from "./schemas.ts";

const schema = z.strictObject({
  annotations: z
    .array(
      z.strictObject({
        rules: rulesSchema.optional().describe("Requests whose headers are recorded."),
        headers: z.array(z.string()).optional().describe("Headers to record; the first value of each."),
      }),
    )
    .optional()
    .describe("Groups of headers to copy into the audit record."),
});

interface Group {
  readonly rules: Rules;
  readonly headers: readonly { readonly key: string; readonly annotation: string }[];
}

/** Headers that carry credentials by definition; their values are never recorded (I14). */
const credentialHeaders = new Set(["authorization", "cookie", "proxy-authorization"]);

/**
 * `annotate`: copies request headers into the audit record. A header that carries a credential, or that a credential
 * transform has written, is recorded as `[redacted]` (I14).
 */
export const annotate: TransformKind<typeof schema> = {
  name: "annotate",
  credential: false,
  schema,
  build({ annotations = [] }, context) {
    if (annotations.length === 0) {
      context.error(["annotations"], "annotate: at least one annotation group is required");
    }
    const groups = annotations.map(({ rules = [], headers = [] }, index): Group => {
      const prefix = `annotate: annotations[${index}]`;
      const path = ["annotations", index];
      if (rules.length === 0) context.error(path, `${prefix}: at least one rule is required`);
      if (headers.length === 0) context.error(path, `${prefix}: at least one header is required`);
      for (const [position, name] of headers.entries()) {
        const at = [...path, "headers", position];
        if (!isHeaderName(name)) context.error(at, `${JSON.stringify(name)} is not a header name`);
        else if (credentialHeaders.has(lowerCaseName(name))) {
          context.warn(at, `${name} carries credentials; its value is recorded as [redacted]`);
        }
      }
      return {
        rules: context.rules([...path, "rules"], rules),
        headers: headers.map((name) => ({
          key: lowerCaseName(name),
          annotation: `header:${canonicalName(name)}`,
        })),
      };
    });
    return {
      name: "annotate",
      onRequest(exchange) {
        const facts = requestFacts(exchange);
        for (const group of groups) if (group.rules.match(facts)) record(exchange, group);
        return undefined;
      },
    };
  },
};

function record(exchange: Exchange, { headers }: Group): void {
  for (const { key, annotation } of headers) {
    const value = exchange.request.headers.get(key);
    if (value === undefined || value === "") continue;
    const hidden = credentialHeaders.has(key) || exchange.claimed(key);
    exchange.annotate(annotation, hidden ? "[redacted]" : value);
  }
}

/** The spelling that audit records have for a name, whatever the wire has: `X-Request-Id`. */
export function canonicalName(name: string): string {
  return lowerCaseName(name).replace(/(?:^|-)[a-z]/g, (start) => start.toUpperCase());
}
