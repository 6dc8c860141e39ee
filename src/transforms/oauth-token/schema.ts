import { z } from "zod";
import { scrubSchema } from "../exposure.ts";
import { rulesSchema, sourceSchema } from "../schemas.ts";

/** Ways to get a token (RFC 6749 sections 4.3, 4.4 and 6; RFC 7523 section 2.1). */
export const grants = ["refresh_token", "client_credentials", "password", "jwt_bearer"] as const;
export type Grant = (typeof grants)[number];

const entrySchema = z.strictObject({
  grant: z
    .string()
    .optional()
    .meta({ enum: [...grants] })
    .describe("How the token is got: `refresh_token`, `client_credentials`, `password` or `jwt_bearer`."),
  token_endpoint: z
    .string()
    .optional()
    .describe("URL of the token endpoint; https, or http on this machine's loopback."),
  refresh_token: sourceSchema.optional().describe("Refresh token (refresh_token)."),
  rotation_file: z
    .string()
    .optional()
    .describe(
      "File that keeps the refresh token an issuer gives in exchange for the last one (refresh_token). Without it such a " +
        "token is lost when the proxy ends.",
    ),
  client_id: sourceSchema.optional().describe("Client ID (refresh_token, client_credentials, password)."),
  client_secret: sourceSchema
    .optional()
    .describe("Client secret (client_credentials; optional for refresh_token and password)."),
  client_auth: z
    .enum(["body", "basic"])
    .optional()
    .describe("Where client ID and secret stand: in the form (`body`, default) or in Basic authentication."),
  username: sourceSchema.optional().describe("User name (password)."),
  password: sourceSchema.optional().describe("Password (password)."),
  issuer: sourceSchema.optional().describe("`iss` of the assertion (jwt_bearer)."),
  subject: sourceSchema.optional().describe("`sub` of the assertion (jwt_bearer)."),
  private_key: sourceSchema
    .optional()
    .describe("Key that signs the assertion, in PEM: RSA, EC P-256 or Ed25519 (jwt_bearer)."),
  private_key_id: sourceSchema.optional().describe("`kid` of the assertion (jwt_bearer)."),
  audience: z.string().optional().describe("`aud` of the assertion (jwt_bearer)."),
  scopes: z
    .array(z.string())
    .optional()
    .describe("Scopes to ask for (client_credentials, password, jwt_bearer)."),
  token_endpoint_headers: z
    .record(z.string(), sourceSchema)
    .optional()
    .describe("Further headers of the request to the token endpoint, each with its source."),
  header: z.string().optional().describe("Header the token goes into; `Authorization` if absent."),
  value_prefix: z
    .string()
    .optional()
    .describe('What stands before the token in the header; `"Bearer "` if absent or empty.'),
  require: z
    .boolean()
    .optional()
    .describe(
      "Refuses the request (502) when no token can be had; true if absent. `false` sends it without.",
    ),
  scrub: scrubSchema,
  rules: rulesSchema.optional().describe("Requests the token is for; at least one."),
});

export const oauthTokenSchema = z.strictObject({
  tokens: z.array(entrySchema).optional().describe("Tokens; the first whose rules match is used."),
});

export type EntryConfig = z.output<typeof entrySchema>;
