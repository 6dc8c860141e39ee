import { awsError } from "./aws-errors.ts";
import { awsConfig, awsKeys, awsPlace, awsVariables } from "./aws.ts";
import { cacheKeys, sourceKind, text } from "./kind.ts";
import { SourceError } from "./types.ts";

/** The text of a secret in AWS Secrets Manager. */
export const awsSecretsManagerSource = sourceKind({
  name: "aws_sm",
  keys: {
    secret_id: text.describe("name or ARN of the secret"),
    version_stage: text.optional().describe("staging label, such as AWSPREVIOUS; AWSCURRENT if absent"),
    version_id: text.optional().describe("id of one version, which then never changes"),
    ...awsKeys,
    ...cacheKeys,
  },
  build({ secret_id, version_stage, version_id, ...rest }, context, error) {
    const place = awsPlace(rest, secret_id, error);
    const secret = `aws_sm secret "${secret_id}"`;
    const client = () =>
      context.shared(`aws_sm ${JSON.stringify(place)}`, async () => {
        const sdk = await import("@aws-sdk/client-secrets-manager");
        return { sdk, client: new sdk.SecretsManagerClient(awsConfig(place, "SECRETS_MANAGER", context)) };
      });
    return {
      name: secret_id,
      identity: JSON.stringify([secret_id, version_stage, version_id, place]),
      variables: awsVariables,
      async fetch(abortSignal) {
        try {
          const { sdk, client: manager } = await client();
          const command = new sdk.GetSecretValueCommand({
            SecretId: secret_id,
            VersionStage: version_stage,
            VersionId: version_id,
          });
          const answer = await manager.send(command, { abortSignal });
          if (answer.SecretString !== undefined) return answer.SecretString;
          throw new SourceError(
            answer.SecretBinary === undefined
              ? "resolved without a value"
              : "it is a binary secret (SecretBinary), which cannot be sent; store it as text (SecretString)",
          );
        } catch (reason) {
          throw awsError(secret, reason);
        }
      },
    };
  },
});
