import { z } from "zod";
import { requestFacts } from "../pipeline/rules.ts";
import type { TransformKind } from "../pipeline/types.ts";
import { anyHeader, compileHeaderMatcher, isProtectedHeader } from "./header-matcher.ts";
import { rulesSchema } from "./schemas.ts";

const schema = z.strictObject({
  headers: z.array(z.string()).optional().describe("Request headers that stay: names, or `/patterns/`."),
  rules: rulesSchema.optional().describe("Requests it applies to; none means every request."),
});

/** The WebSocket handshake cannot do without these (RFC 6455 section 4.1); what they say is fixed by the protocol. */
const handshake = new Set(["sec-websocket-key", "sec-websocket-version"]);

/**
 * `header_allowlist`: removes every request header that is not listed. Fields that frame the message or belong to the
 * connection are not its business: it neither removes nor lists them.
 */
export const headerAllowlist: TransformKind<typeof schema> = {
  name: "header_allowlist",
  credential: false,
  schema,
  build({ headers = [], rules = [] }, context) {
    if (headers.length === 0) context.error(["headers"], "header_allowlist: at least one header is required");
    const kept = compileHeaderMatcher(headers, {
      everything: anyHeader,
      excluded: () => false,
      error: (index, message) =>
        context.error(["headers", index], `header_allowlist: invalid headers ${message}`),
    });
    const scope = rules.length === 0 ? undefined : context.rules(["rules"], rules);
    return {
      name: "header_allowlist",
      onRequest(exchange) {
        const { request } = exchange;
        const facts = requestFacts(exchange);
        if (scope !== undefined && !scope.match(facts)) return undefined;
        const stripped: string[] = [];
        for (let index = request.headers.size - 1; index >= 0; index--) {
          const key = request.headers.keyAt(index);
          if (isProtectedHeader(key) || handshake.has(key) || kept.match(key) !== undefined) continue;
          stripped.push(request.headers.nameAt(index));
          request.headers.removeAt(index);
        }
        if (stripped.length > 0) exchange.annotate("stripped_headers", stripped.reverse());
        return undefined;
      },
    };
  },
};
