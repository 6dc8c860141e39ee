import { z } from "zod";
import { scrubSchema } from "../exposure.ts";
import { rulesSchema, sourceSchema } from "../schemas.ts";

const keyfileKeys = {
  keyfile_path: z.string().optional().describe("Path of the service account's key file."),
  keyfile: sourceSchema.optional().describe("Source whose value is the whole key file, as JSON."),
};

const commonKeys = {
  allow_token_uri: z
    .array(z.string())
    .optional()
    .describe(
      "Hosts besides Google's that a key file may have its tokens issued at: `idp.example.com`, `127.0.0.1:8443`.",
    ),
  project_id: z
    .string()
    .optional()
    .describe("Project that the metadata stub tells workloads; without it they are told none."),
  scrub: scrubSchema,
  rules: rulesSchema.optional().describe("Requests the token is for; at least one."),
};

export const gcpAuthSchema = z.strictObject({
  ...keyfileKeys,
  credentials_provider: z
    .strictObject({
      type: z.string().optional().describe("`workload_identity`: the proxy's own Google identity."),
    })
    .optional()
    .describe("The proxy's own Google identity (Application Default Credentials) in place of a key file."),
  subject: z
    .string()
    .optional()
    .describe("User to act as (domain-wide delegation); not with credentials_provider."),
  scopes: z.array(z.string()).optional().describe("OAuth scopes of the access token; at least one."),
  allowed_operations: z
    .array(z.string())
    .optional()
    .describe(
      "Operations that hand out credentials and are refused unless named here: `generateAccessToken`, `signBlob`, ...",
    ),
  ...commonKeys,
});

export const gcpIdTokenSchema = z.strictObject({
  ...keyfileKeys,
  audience: z
    .string()
    .optional()
    .describe("Audience of the ID token, such as the URL of a Cloud Run service."),
  header: z
    .string()
    .optional()
    .meta({ enum: ["authorization", "x-serverless-authorization"] })
    .describe("Header the token goes into: `authorization` (default) or `x-serverless-authorization`."),
  ...commonKeys,
});

export type GcpAuthConfig = z.output<typeof gcpAuthSchema>;
export type GcpIdTokenConfig = z.output<typeof gcpIdTokenSchema>;
