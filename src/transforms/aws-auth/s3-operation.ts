import { wordSet } from "./words.ts";
import { nameOf, parameterName } from "./inbound.ts";

/** What an S3 operation is told by. */
export interface S3Request {
  readonly method: string;
  /** Canonical host name, without port. */
  readonly host: string;
  /** Canonical path. */
  readonly path: string;
  readonly query: string | undefined;
  /** The request has `x-amz-copy-source`. */
  readonly copies: boolean;
}

/** What the path of a request names. */
type Level = "service" | "bucket" | "object";

/**
 * Operations of the S3 API that a request may be: one on Amazon's hosts, where the host says whether it names the
 * bucket; on others both readings of the path, and whoever allows the request has to allow each.
 * @returns empty where it is none of those that are known here
 */
export function s3Operations(request: S3Request): readonly string[] {
  const subresources: string[] = [];
  for (const field of request.query?.split("&") ?? []) {
    const name = parameterName(nameOf(field));
    if (field !== "" && !isModifier(name)) subresources.push(name);
  }
  // Whatever stands beside it, the answer may hold session credentials (attack 48).
  if (subresources.some((name) => name.toLowerCase() === "session")) return ["CreateSession"];
  const key = subresources.sort().join("&");
  const names = levels(request).map((level) => operation(request, level, key));
  return names.every((name) => name !== undefined) ? [...new Set(names)] : [];
}

const amazonHost = /^(?:(.+)\.)?s3(?:express)?(?:[.-][a-z0-9-]+)*\.amazonaws\.com(?:\.cn)?$/;

function levels({ host, path }: S3Request): readonly (Level | undefined)[] {
  // A server that decodes before it splits sees a slash.
  const decoded = path.replace(/%2F/gi, "/").slice(1);
  const slash = decoded.indexOf("/");
  const inHost: Level = decoded === "" ? "bucket" : "object";
  const bucket = slash < 0 ? decoded : decoded.slice(0, slash);
  const hasKey = slash >= 0 && slash < decoded.length - 1;
  const inPath = decoded === "" ? "service" : bucket === "" ? undefined : hasKey ? "object" : "bucket";
  const match = amazonHost.exec(host);
  if (match === null) return [inPath, inHost];
  return [match[1] === undefined ? inPath : inHost];
}

/** Parameters that choose a part, a page or a version, never another operation. */
const modifiers = wordSet(`
  x-id versionid partnumber prefix delimiter marker max-keys continuation-token start-after fetch-owner
  encoding-type key-marker version-id-marker upload-id-marker max-uploads max-parts part-number-marker
  bucket-region max-buckets list-type
`);

function isModifier(name: string): boolean {
  const lower = name.toLowerCase();
  return modifiers.has(lower) || lower.startsWith("x-amz-") || lower.startsWith("response-");
}

function operation(request: S3Request, level: Level | undefined, key: string): string | undefined {
  const { method, copies } = request;
  if (level === undefined) return undefined;
  if (level === "service") return method === "GET" && key === "" ? "ListBuckets" : undefined;
  if (level === "bucket") return bucketOperations.get(`${method} ${key}`) ?? setting(method, key);
  const name = objectOperations.get(`${method} ${key}`);
  if (!copies) return name;
  return name === "PutObject" ? "CopyObject" : name === "UploadPart" ? "UploadPartCopy" : name;
}

const objectOperations = new Map([
  ["GET ", "GetObject"],
  ["GET acl", "GetObjectAcl"],
  ["GET attributes", "GetObjectAttributes"],
  ["GET legal-hold", "GetObjectLegalHold"],
  ["GET retention", "GetObjectRetention"],
  ["GET tagging", "GetObjectTagging"],
  ["GET torrent", "GetObjectTorrent"],
  ["GET uploadId", "ListParts"],
  ["HEAD ", "HeadObject"],
  ["PUT ", "PutObject"],
  ["PUT acl", "PutObjectAcl"],
  ["PUT legal-hold", "PutObjectLegalHold"],
  ["PUT renameObject", "RenameObject"],
  ["PUT retention", "PutObjectRetention"],
  ["PUT tagging", "PutObjectTagging"],
  ["PUT uploadId", "UploadPart"],
  ["POST restore", "RestoreObject"],
  ["POST select&select-type", "SelectObjectContent"],
  ["POST uploadId", "CompleteMultipartUpload"],
  ["POST uploads", "CreateMultipartUpload"],
  ["DELETE ", "DeleteObject"],
  ["DELETE tagging", "DeleteObjectTagging"],
  ["DELETE uploadId", "AbortMultipartUpload"],
]);

const bucketOperations = new Map([
  ["GET ", "ListObjects"],
  ["GET location", "GetBucketLocation"],
  ["GET uploads", "ListMultipartUploads"],
  ["GET versions", "ListObjectVersions"],
  ["HEAD ", "HeadBucket"],
  ["PUT ", "CreateBucket"],
  ["POST delete", "DeleteObjects"],
  ["DELETE ", "DeleteBucket"],
  ["DELETE lifecycle", "DeleteBucketLifecycle"],
]);

/** Subresources of a bucket that are read, written and deleted alike. */
const settings = new Map([
  ["accelerate", "BucketAccelerateConfiguration"],
  ["acl", "BucketAcl"],
  ["cors", "BucketCors"],
  ["encryption", "BucketEncryption"],
  ["lifecycle", "BucketLifecycleConfiguration"],
  ["logging", "BucketLogging"],
  ["notification", "BucketNotificationConfiguration"],
  ["object-lock", "ObjectLockConfiguration"],
  ["ownershipControls", "BucketOwnershipControls"],
  ["policy", "BucketPolicy"],
  ["policyStatus", "BucketPolicyStatus"],
  ["publicAccessBlock", "PublicAccessBlock"],
  ["replication", "BucketReplication"],
  ["requestPayment", "BucketRequestPayment"],
  ["tagging", "BucketTagging"],
  ["versioning", "BucketVersioning"],
  ["website", "BucketWebsite"],
]);
const verbs = new Map([
  ["GET", "Get"],
  ["PUT", "Put"],
  ["DELETE", "Delete"],
]);

function setting(method: string, key: string): string | undefined {
  const verb = verbs.get(method);
  const name = settings.get(key);
  return verb === undefined || name === undefined ? undefined : verb + name;
}
