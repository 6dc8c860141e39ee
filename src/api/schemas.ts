// What the control service takes and gives; its OpenAPI description is made of these.
import { z } from "zod";
import { parseDuration } from "../config/duration.ts";
import { maxTtl } from "../callers/token.ts";

/** Seconds of a duration; `undefined` for what is none. */
export function ttlSeconds(ttl: string | number): number | undefined {
  const seconds = typeof ttl === "number" ? ttl : (parseDuration(ttl) ?? Number.NaN) / 1000;
  return Number.isInteger(seconds) && seconds >= 1 && seconds <= maxTtl ? seconds : undefined;
}

export const sandboxRequest = z
  .strictObject({
    name: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9._:@/-]{0,127}$/)
      .describe("Name of the sandbox, as the audit shows it."),
    tools: z
      .array(z.string().min(1).max(128))
      .max(1000)
      .optional()
      .describe("Tools it may use, by name; left out: all. An empty list: none."),
    ttl: z
      .union([z.string(), z.int().min(1).max(maxTtl)])
      .optional()
      .describe(
        `How long its token is good: a duration such as 30m, or seconds, up to 30 days; 2h when absent.`,
      ),
    env: z
      .record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/), z.string().max(32_768))
      .optional()
      .describe("Variables to add; they take the place of those of the same name. Never a credential."),
  })
  .meta({ title: "SandboxRequest" });

export const sandboxAnswer = z
  .strictObject({
    name: z.string(),
    tools: z.array(z.string()).nullable().describe("Tools it is limited to; null: no limit."),
    env: z
      .record(z.string(), z.string())
      .describe("Its whole environment. No value is a credential but the token's."),
    token: z.string().describe("Proves to the proxy who it is; part of the proxy's URL in `env`."),
    expires_at: z.iso.datetime().describe("When the token ends."),
    warnings: z.array(z.string()).describe("What could not be put into the environment."),
  })
  .meta({ title: "Sandbox" });

const declaredSecret = z.strictObject({
  name: z.string(),
  type: z.enum(["http", "gcp_auth", "oauth_token", "hmac_sign", "aws_auth", "pg_dsn"]),
  mode: z.enum(["replace", "inject"]).nullable().describe("For the type http."),
  optional: z.boolean(),
  hosts: z.array(z.string()),
  placeholder: z
    .string()
    .nullable()
    .describe("What a sandbox holds in its place; null where it holds nothing."),
});

export const toolsAnswer = z
  .strictObject({
    tools: z.array(
      z.strictObject({
        name: z.string(),
        description: z.string().nullable(),
        secrets: z.array(declaredSecret),
      }),
    ),
  })
  .meta({ title: "Tools" });

export const healthAnswer = z.strictObject({ status: z.literal("ok") }).meta({ title: "Health" });

export const toolsHealthAnswer = z
  .strictObject({
    status: z
      .enum(["ok", "degraded"])
      .describe("degraded: a tool was left out, or the last look at them failed."),
    tools: z.int().describe("Tools in order."),
    problems: z.array(
      z.strictObject({
        severity: z.enum(["error", "warning", "note"]),
        tool: z.string().nullable(),
        file: z.string(),
        line: z.int(),
        message: z.string(),
      }),
    ),
    error: z.string().nullable().describe("Why the newest configuration is not in force."),
  })
  .meta({ title: "ToolsHealth" });

export const errorAnswer = z
  .strictObject({ error: z.string().describe("What is wrong and what to do.") })
  .meta({ title: "Error" });
