import { z } from "zod";
import { requestFacts } from "../pipeline/rules.ts";
import type { Exchange, TransformKind } from "../pipeline/types.ts";
import { rulesSchema } from "./schemas.ts";

const defaultLimit = 16_384;

const schema = z.strictObject({
  max_request_body_bytes: z
    .int()
    .optional()
    .describe(`Bytes of the body to record; ${defaultLimit} unless positive.`),
  rules: rulesSchema.optional().describe("Requests whose bodies are recorded; none means no request."),
});

/**
 * `body_capture`: copies the beginning of request bodies into the audit record. A body in which an earlier transform
 * has put a credential is not recorded (I14).
 */
export const bodyCapture: TransformKind<typeof schema> = {
  name: "body_capture",
  credential: false,
  schema,
  build({ max_request_body_bytes: configured = 0, rules }, context) {
    const limit = configured > 0 ? configured : defaultLimit;
    const scope = context.rules(["rules"], rules);
    if (scope.size === 0) context.warn([], "body_capture without rules records nothing");
    return {
      name: "body_capture",
      onRequest(exchange) {
        const { request } = exchange;
        const facts = requestFacts(exchange);
        if (request.body.length === 0 || !scope.match(facts)) return undefined;
        if (exchange.claimed(":body")) {
          exchange.annotate("skipped", "body_has_credential");
          return undefined;
        }
        const body = request.body.buffer(exchange.maxRequestBody);
        if (!(body instanceof Promise)) return capture(exchange, body, limit);
        return body.then((bytes) => capture(exchange, bytes, limit));
      },
    };
  },
};

function capture(exchange: Exchange, body: Buffer, limit: number): undefined {
  if (body.length === 0) return;
  const truncated = body.length > limit;
  const kept = truncated ? body.subarray(0, characterBoundary(body, limit)) : body;
  exchange.capture("body_capture", {
    request_body: kept.toString("utf8"),
    request_body_truncated: truncated,
  });
  exchange.annotate("captured_bytes", kept.length);
  exchange.annotate("truncated", truncated);
}

/** The last place at or before `end` that does not cut a UTF-8 character; `end` itself in bytes that are not text. */
function characterBoundary(bytes: Buffer, end: number): number {
  for (let start = end - 1; start >= 0 && start >= end - 4; start--) {
    const byte = bytes[start] as number;
    if ((byte & 0xc0) === 0x80) continue;
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return start + length > end ? start : end;
  }
  return end;
}
