import { z } from "zod";
import { scrubSchema } from "../exposure.ts";
import { rulesSchema, sourceSchema } from "../schemas.ts";

const credentialsProviderSchema = z.strictObject({
  type: z.string().optional().describe("`workload_identity`: the proxy's own AWS identity."),
  region: z.string().optional().describe("Region of the token service that roles are assumed at."),
});

export const awsAuthSchema = z.strictObject({
  access_key_id: sourceSchema.optional().describe("Where the access key ID is read from."),
  secret_access_key: sourceSchema.optional().describe("Where the secret access key is read from."),
  session_token: sourceSchema
    .optional()
    .describe("Where the session token is read from, for temporary keys (`ASIA...`)."),
  credentials_provider: credentialsProviderSchema
    .optional()
    .describe("The proxy's own AWS identity in place of keys from sources."),
  allowed_regions: z
    .array(z.string())
    .optional()
    .describe("Regions a request may be signed for; none means all."),
  allowed_services: z
    .array(z.string())
    .optional()
    .describe("Services a request may be signed for, by signing name (`s3`, `bedrock`); none means all."),
  allowed_actions: z
    .array(z.string())
    .optional()
    .describe(
      "Operations that may be called: `dynamodb:GetItem`, `s3:Get*`, `lambda:*`. None means all, except those that hand " +
        "out credentials, which always have to be named in full (`sts:AssumeRole`).",
    ),
  match_scope_to_host: z
    .boolean()
    .optional()
    .describe(
      "Refuses a signature for another region or service than the amazonaws.com host names; true unless false.",
    ),
  unsigned_payload: z
    .boolean()
    .optional()
    .describe(
      "Signs `UNSIGNED-PAYLOAD` and streams the body instead of hashing it; for services that allow it.",
    ),
  allow_chunked_body: z
    .boolean()
    .optional()
    .describe("Buffers and signs bodies without a Content-Length; otherwise they are refused."),
  scrub: scrubSchema,
  rules: rulesSchema.optional().describe("Requests to sign; at least one."),
});
