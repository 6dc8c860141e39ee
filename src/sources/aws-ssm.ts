import { z } from "zod";
import { awsError } from "./aws-errors.ts";
import { awsConfig, awsKeys, awsPlace, awsVariables } from "./aws.ts";
import { cacheKeys, sourceKind, text } from "./kind.ts";
import { SourceError } from "./types.ts";

/** A parameter of AWS Systems Manager Parameter Store. */
export const awsParameterStoreSource = sourceKind({
  name: "aws_ssm",
  keys: {
    name: text.describe("name or ARN of the parameter; name:version and name:label work too"),
    with_decryption: z.boolean().optional().describe("decrypt a SecureString; true if absent"),
    ...awsKeys,
    ...cacheKeys,
  },
  build({ name, with_decryption = true, ...rest }, context, error) {
    const place = awsPlace(rest, name, error);
    const secret = `aws_ssm parameter "${name}"`;
    const client = () =>
      context.shared(`aws_ssm ${JSON.stringify(place)}`, async () => {
        const sdk = await import("@aws-sdk/client-ssm");
        return { sdk, client: new sdk.SSMClient(awsConfig(place, "SSM", context)) };
      });
    return {
      name,
      identity: JSON.stringify([name, with_decryption, place]),
      variables: awsVariables,
      async fetch(abortSignal) {
        try {
          const { sdk, client: store } = await client();
          const command = new sdk.GetParameterCommand({ Name: name, WithDecryption: with_decryption });
          const { Parameter } = await store.send(command, { abortSignal });
          if (Parameter?.Value === undefined) throw new SourceError("resolved without a value");
          return Parameter.Value;
        } catch (reason) {
          throw awsError(secret, reason);
        }
      },
    };
  },
});
