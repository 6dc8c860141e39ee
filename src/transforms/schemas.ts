import { z } from "zod";

/** A rule, as every transform writes it. */
export const ruleSchema = z
  .strictObject({
    host: z
      .string()
      .optional()
      .describe(
        "Host it applies to: `api.example.com`, `*.example.com` (with the bare domain), `host:8443`, `*`.",
      ),
    cidr: z.string().optional().describe("Network it applies to, for hosts that are IP addresses."),
    methods: z.array(z.string()).optional().describe("HTTP methods; none means all."),
    paths: z
      .array(z.string())
      .optional()
      .describe(
        "Paths: `/v1/*` for everything below `/v1`, `/repos/*/issues` for one segment; none means all.",
      ),
    tools: z
      .array(z.string())
      .optional()
      .describe("Tools: a caller who is limited to tools must have one of them; others need none."),
  })
  .meta({ id: "rule" });

export const rulesSchema = z.array(ruleSchema);

/** Where a credential is read from; each type has its own further keys, checked when the handle is made. */
export const sourceSchema = z
  .looseObject({ type: z.string().describe("Kind of source: `env`, `file`, `1password`, ...") })
  .meta({ id: "source" });
