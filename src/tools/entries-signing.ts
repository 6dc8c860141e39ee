import type { EntryKind } from "./entries.ts";
import { hostsOf } from "./entries-http.ts";

const cloudPlatform = "https://www.googleapis.com/auth/cloud-platform";
const googleHosts = ["*.googleapis.com"];

/** `type = "gcp_auth"`: access tokens of a Google service account, whose key file is the credential. */
export const gcpAuth: EntryKind = {
  keys: ["hosts", "scopes"],
  oneSecret: true,
  read(fields, { name, secret, optional, where }) {
    // The tool's own hosts are those of its other secrets; tokens of Google's go to Google.
    const hosts = hostsOf(fields, googleHosts) ?? [];
    const scopes = fields.texts("scopes") ?? [cloudPlatform];
    if (scopes.length === 0 && fields.has("scopes"))
      fields.fail("scopes", "is empty; name a scope, or remove it");
    return { type: "gcp_auth", name, secret, optional, where, hosts, scopes };
  },
};

const algorithms = ["sha256", "sha512", "sha1"] as const;
const keyEncodings = ["raw", "base64", "hex"] as const;
const outputEncodings = ["base64", "hex"] as const;
const timestampFormats = ["unix_seconds", "unix_millis", "unix_nanos", "rfc3339"] as const;

/** `type = "hmac_sign"`: the request is signed by a scheme of templates. */
export const hmacSign: EntryKind = {
  keys: [
    "hosts",
    "credentials",
    "headers",
    "message",
    "algorithm",
    "key_encoding",
    "output_encoding",
    "timestamp_format",
    "allow_chunked_body",
  ],
  oneSecret: false,
  read(fields, { name, optional, where, toolHosts }) {
    const credentials = fields.secrets("credentials");
    if (!fields.has("credentials")) fields.missing("credentials");
    else if (credentials.size > 0 && !credentials.has("secret")) {
      fields.fail("credentials", "has no secret, which is the key that signs");
    }
    const list = fields.has("headers") ? fields.tables("headers") : fields.missing("headers");
    if (list?.length === 0) fields.fail("headers", "is empty; a signature has to go somewhere");
    const headers = (list ?? []).map((header) => {
      header.only(["name", "value"], "in a header");
      return { name: header.neededText("name") ?? "", value: header.neededText("value") ?? "" };
    });
    return {
      type: "hmac_sign",
      name,
      optional,
      where,
      credentials,
      headers,
      hosts: hostsOf(fields, toolHosts) ?? [],
      message: fields.neededText("message") ?? "",
      algorithm: fields.word("algorithm", algorithms),
      keyEncoding: fields.word("key_encoding", keyEncodings),
      outputEncoding: fields.word("output_encoding", outputEncodings),
      timestampFormat: fields.word("timestamp_format", timestampFormats),
      allowChunkedBody: fields.flag("allow_chunked_body"),
    };
  },
};

/** `type = "aws_auth"`: the workload signs with keys that open nothing, the proxy signs anew. */
export const awsAuth: EntryKind = {
  keys: [
    "hosts",
    "access_key_id",
    "secret_access_key",
    "session_token",
    "allowed_regions",
    "allowed_services",
  ],
  oneSecret: false,
  read(fields, { name, optional, where, toolHosts }) {
    const [accessKeyId, secretAccessKey] = ["access_key_id", "secret_access_key"].map((key) =>
      fields.has(key) ? fields.secret(key) : fields.missing(key),
    );
    const hosts = hostsOf(fields, toolHosts) ?? [];
    const sessionToken = fields.secret("session_token");
    const allowedRegions = fields.texts("allowed_regions") ?? [];
    const allowedServices = fields.texts("allowed_services") ?? [];
    if (accessKeyId === undefined || secretAccessKey === undefined) return undefined;
    return {
      type: "aws_auth",
      name,
      optional,
      where,
      hosts,
      accessKeyId,
      secretAccessKey,
      sessionToken,
      allowedRegions,
      allowedServices,
    };
  },
};
