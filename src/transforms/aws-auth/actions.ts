import type { ExchangeRequest } from "../../pipeline/types.ts";
import { isS3 } from "./canonical.ts";
import { nameOf, parameterName } from "./inbound.ts";
import { s3Operations } from "./s3-operation.ts";
import { wordSet } from "./words.ts";

/**
 * Services that name the operation in `X-Amz-Target` (AWS JSON). A service is listed because it looks nowhere else: one
 * that ignored the header would let the workload name one operation and call another.
 */
const jsonServices = wordSet(`
  acm application-autoscaling athena aws-marketplace cloudhsm cloudtrail codebuild codecommit codedeploy
  codepipeline cognito-identity cognito-idp comprehend config datasync directconnect dms ds dynamodb ecr
  ecr-public ecs events firehose forecast fsx glue health kendra kinesis kinesisanalytics kms logs
  organizations personalize pricing rekognition route53domains route53resolver sagemaker secretsmanager
  servicecatalog servicediscovery servicequotas shield snowball sqs ssm states storagegateway support
  tagging textract transcribe transfer translate wafv2 workspaces
`);

/** Services that name the operation in the parameter `Action` of the query or of a form (AWS query). */
const queryServices = wordSet(`
  autoscaling cloudformation ec2 elasticache elasticbeanstalk elasticloadbalancing iam rds redshift sdb
  ses sns sts
`);

/**
 * Operations whose answer holds a credential that works outside the proxy (attack 48), by service. They are refused
 * unless the configuration names them in full; so is, for these services, a request whose operation cannot be told.
 */
const issuing = new Map<string, readonly string[]>(
  Object.entries({
    "cognito-identity": ["GetCredentialsForIdentity", "GetOpenIdToken", "GetOpenIdTokenForDeveloperIdentity"],
    ecr: ["GetAuthorizationToken"],
    "ecr-public": ["GetAuthorizationToken"],
    iam: [
      "CreateAccessKey",
      "CreateLoginProfile",
      "CreateServiceSpecificCredential",
      "ResetServiceSpecificCredential",
      "UpdateLoginProfile",
    ],
    sts: [
      "AssumeRole",
      "AssumeRoleWithSAML",
      "AssumeRoleWithWebIdentity",
      "AssumeRoot",
      "GetFederationToken",
      "GetSessionToken",
    ],
  }),
);
/** S3 Express hands out session credentials through the bucket's own host. */
const sessionOperation = "CreateSession";

/** What may be called, compiled from `allowed_actions`. */
export interface ActionPolicy {
  /** Some request to this service may be refused for what it does, so its operation has to be known. */
  concerns(service: string): boolean;
  /** @param operations every reading of the request; none where it cannot be told */
  allows(service: string, operations: readonly string[]): boolean;
}

/** One entry of `allowed_actions` in its parts, or `undefined` where it is none. */
export function parseAction(text: string): { service: string; operation: string } | undefined {
  const match = /^([A-Za-z0-9._-]{1,64}):([A-Za-z0-9]{1,128}\*?|\*)$/.exec(text);
  return match === null ? undefined : { service: match[1] as string, operation: match[2] as string };
}

/** Whether the operations of a service can be told apart here at all. */
export function isKnownService(service: string): boolean {
  return isS3(service) || jsonServices.has(service) || queryServices.has(service);
}

/** @param configured entries that {@link parseAction} takes; none allow every operation that issues no credential */
export function compileActions(configured: readonly string[]): ActionPolicy {
  const exact = new Set(configured);
  const prefixes = configured.filter((entry) => entry.endsWith("*")).map((entry) => entry.slice(0, -1));
  const issues = (service: string, operation: string): boolean =>
    issuing.get(service)?.includes(operation) === true || (isS3(service) && operation === sessionOperation);
  const allowsOne = (service: string, operation: string): boolean => {
    const action = `${service}:${operation}`;
    if (exact.has(action)) return true;
    if (issues(service, operation)) return false;
    return configured.length === 0 || prefixes.some((prefix) => action.startsWith(prefix));
  };
  return {
    concerns: (service) => configured.length > 0 || issuing.has(service) || isS3(service),
    allows(service, operations) {
      if (operations.length > 0) return operations.every((operation) => allowsOne(service, operation));
      if (issuing.has(service)) return false;
      return configured.length === 0 || exact.has(`${service}:*`);
    },
  };
}

/** True when the operation may stand in the body, which then has to be read. */
export function isToldByBody(service: string, request: ExchangeRequest): boolean {
  return queryServices.has(service) && request.method === "POST" && request.body.length !== 0;
}

/**
 * Operations that a request may be, in the API's names (`GetObject`, `ListUsers`); none where it cannot be told, or
 * where two things that name one disagree.
 * @param host canonical name of the upstream
 * @param body where {@link isToldByBody} asks for it
 */
export function operationsOf(
  service: string,
  host: string,
  request: ExchangeRequest,
  body: Buffer | undefined,
): readonly string[] {
  const { method, canonicalPath, query, headers } = request;
  if (isS3(service)) {
    const copies = headers.has("x-amz-copy-source");
    return s3Operations({ method, host, path: canonicalPath, query, copies });
  }
  if (canonicalPath !== "/") return [];
  const parameters = query?.split("&") ?? [];
  if (jsonServices.has(service)) return jsonOperation(request, parameters);
  return queryServices.has(service) ? queryOperation(request, parameters, body) : [];
}

function jsonOperation({ method, headers }: ExchangeRequest, parameters: readonly string[]): string[] {
  const targets = headers.getAll("x-amz-target");
  const type = headers.getAll("content-type");
  if (method !== "POST" || targets.length !== 1 || type.length !== 1) return [];
  if (!/^application\/x-amz-json-1\.[01](?:$|[ ;])/.test(type[0] as string)) return [];
  if (!parameters.every((field) => field === "" || isPresignField(field))) return [];
  const match = /^[A-Za-z0-9_.]{1,128}\.([A-Za-z0-9]{1,128})$/.exec(targets[0] as string);
  return match === null ? [] : [match[1] as string];
}

function queryOperation(
  { headers, body: unread }: ExchangeRequest,
  parameters: readonly string[],
  body: Buffer | undefined,
): string[] {
  if (headers.has("x-amz-target")) return [];
  const fields = [...parameters];
  if (body !== undefined && body.length > 0) {
    const type = headers.getAll("content-type");
    const isForm =
      type.length === 1 && /^application\/x-www-form-urlencoded(?:$|[ ;])/.test(type[0] as string);
    if (!isForm || headers.has("content-encoding")) return [];
    fields.push(...body.toString("latin1").split("&"));
  } else if (unread.length !== 0 && body === undefined) return [];
  const named = fields.filter((field) => parameterName(nameOf(field)).trim().toLowerCase() === "action");
  if (named.length !== 1) return [];
  const match = /^Action=([A-Za-z0-9]{1,128})$/.exec(named[0] as string);
  return match === null ? [] : [match[1] as string];
}

/** A parameter of the signature itself; `X-Amz-Target` is none of those. */
function isPresignField(field: string): boolean {
  const name = parameterName(nameOf(field)).toLowerCase();
  return name.startsWith("x-amz-") && name !== "x-amz-target";
}
