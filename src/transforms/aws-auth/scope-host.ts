import type { Scope } from "./sigv4.ts";

/** Hosts whose service is beyond doubt, by the label that names it, and the signing names that belong there. */
const signingNames = new Map<string, readonly string[]>([
  ["bedrock-agent-runtime", ["bedrock"]],
  ["bedrock-runtime", ["bedrock"]],
  ["cloudformation", ["cloudformation"]],
  ["dynamodb", ["dynamodb"]],
  ["ec2", ["ec2"]],
  ["ecs", ["ecs"]],
  ["email", ["ses"]],
  ["execute-api", ["execute-api"]],
  ["iam", ["iam"]],
  ["kinesis", ["kinesis"]],
  ["kms", ["kms"]],
  ["lambda", ["lambda"]],
  ["logs", ["logs"]],
  ["rds", ["rds"]],
  ["route53", ["route53"]],
  ["s3", ["s3", "s3express"]],
  ["s3-accelerate", ["s3"]],
  ["secretsmanager", ["secretsmanager"]],
  ["sns", ["sns"]],
  ["sqs", ["sqs"]],
  ["ssm", ["ssm"]],
  ["sts", ["sts"]],
]);

const region = /^[a-z]{2,4}(?:-[a-z]+){1,3}-\d$/;
const amazon = /\.amazonaws\.com(?:\.cn)?$/;

/**
 * Whether a signature's scope contradicts the name of the host (attack 47): another region than the one in the name of
 * an `amazonaws.com` host, or another service than that of a host known above. A name that says nothing contradicts
 * nothing, so hosts of other domains always pass.
 * @param host canonical name, without port
 */
export function contradictsHost(host: string, scope: Scope): boolean {
  const suffix = amazon.exec(host);
  if (suffix === null) return false;
  const labels = host.slice(0, suffix.index).split(".");
  const last = (labels.at(-1) as string).replace(/-fips$/, "");
  // `s3-us-west-2` is the older form of `s3.us-west-2`.
  const old = last.startsWith("s3-") && region.test(last.slice(3)) ? last.slice(3) : undefined;
  if (old !== undefined) return contradicts(scope, "s3", old);
  // A bucket may be called like a region: what stands before a service without region is not looked at.
  if (signingNames.has(last)) return contradicts(scope, last, undefined);
  if (!region.test(last)) return false;
  const rest = labels.slice(0, -1).filter((label) => label !== "dualstack");
  return contradicts(scope, rest.at(-1)?.replace(/-fips$/, ""), last);
}

function contradicts(scope: Scope, label: string | undefined, named: string | undefined): boolean {
  if (named !== undefined && named !== scope.region) return true;
  const services = label === undefined ? undefined : signingNames.get(label);
  return services !== undefined && !services.includes(scope.service);
}
