import { z } from "zod";
import { scrubSchema } from "../exposure.ts";
import { rulesSchema, sourceSchema } from "../schemas.ts";

const proxyValue = z
  .string()
  .describe("Placeholder: the harmless text that the workload holds instead of the credential.");
const matchHeaders = z
  .array(z.string())
  .describe(
    "Headers to search: names, written with this casing, or `/patterns/`. None means every header, unless another " +
      "place is named; then none is searched.",
  );
const matchBody = z.boolean().describe("Searches the request body.");

const injectSchema = z
  .strictObject({
    header: z.string().optional().describe("Header to set, with this casing."),
    query_param: z.string().optional().describe("Query parameter to set."),
    formatter: z
      .string()
      .optional()
      .describe(
        'Template of the value, such as `Bearer {{ .Value }}` or `Basic {{ base64 "user:" .Value }}`.',
      ),
    require: z
      .boolean()
      .optional()
      .describe("Kept for older files: a source that fails always refuses the request."),
  })
  .describe("Sets a header or a query parameter, whatever the workload sent there.");

const replaceSchema = z
  .strictObject({
    proxy_value: proxyValue.optional(),
    match_headers: matchHeaders.optional(),
    match_body: matchBody.optional(),
    match_path: z.boolean().optional().describe("Searches the path."),
    match_query: z.boolean().optional().describe("Searches the values of the query."),
    require: z.boolean().optional().describe("Refuses requests without the placeholder."),
    on_misuse: z
      .enum(["block", "report"])
      .optional()
      .describe(
        "What happens to a request with the placeholder for another host, in another place or too often. If absent, a mention in " +
          "a body is reported and everything else blocked.",
      ),
    max_occurrences: z
      .int()
      .min(1)
      .max(1000)
      .optional()
      .describe(
        "How often the placeholder may stand in places that are searched: if absent, once in the headers, the path and the query each, and 4 times in a body.",
      ),
  })
  .describe("Swaps a placeholder that the workload sends.");

const entrySchema = z.strictObject({
  source: sourceSchema.describe("Where the credential is read from."),
  rules: rulesSchema.optional().describe("Requests it is for; without rules it is never used."),
  on_unavailable: z
    .enum(["reject", "pass"])
    .optional()
    .describe(
      "What happens to a request whose credential cannot be had: refused (default), or sent without it.",
    ),
  scrub: scrubSchema,
  inject: injectSchema.optional(),
  replace: replaceSchema.optional(),
  proxy_value: proxyValue.optional().meta({ deprecated: true }),
  match_headers: matchHeaders.optional().meta({ deprecated: true }),
  match_body: matchBody.optional().meta({ deprecated: true }),
  require: z.boolean().optional().meta({ deprecated: true }),
});

export const secretsSchema = z.strictObject({
  secrets: z.array(entrySchema).optional().describe("Credentials, first in order first served."),
});

export type EntryConfig = z.output<typeof entrySchema>;
export type InjectConfig = z.output<typeof injectSchema>;
export type ReplaceConfig = z.output<typeof replaceSchema>;
