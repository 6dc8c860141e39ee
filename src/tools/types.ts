import type { SourceMode } from "../config/types.ts";

/** A place in a file; line and column from 1, column in UTF-16 units. */
export interface Where {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** Which credential: the name of a variable or of a 1Password item, never a value. */
export interface SecretRef {
  readonly ref: string;
  /** String field of the credential, which is then a JSON object. */
  readonly jsonKey: string | undefined;
}

interface CommonEntry {
  readonly name: string;
  /** Declared under `optional_secrets`: the tool works without it. */
  readonly optional: boolean;
  readonly where: Where;
}

interface WithHosts extends CommonEntry {
  /** Host patterns, as written, never empty. */
  readonly hosts: readonly string[];
}

/** `http`, mode `replace`: a placeholder in the request is swapped. */
export interface ReplaceEntry extends WithHosts {
  readonly type: "http";
  readonly mode: "replace";
  readonly secret: SecretRef;
  /** What the workload holds; the name unless the declaration says otherwise. */
  readonly placeholder: string;
  /** Names and `/patterns/`; none means that no header is searched. */
  readonly matchHeaders: readonly string[];
  readonly matchPath: boolean;
  readonly matchQuery: boolean;
}

/** `http`, mode `inject`: a header or a query parameter is set. */
export interface InjectEntry extends WithHosts {
  readonly type: "http";
  readonly mode: "inject";
  readonly secret: SecretRef;
  readonly target:
    | { readonly kind: "header"; readonly header: string; readonly formatter: string | undefined }
    | { readonly kind: "query"; readonly parameter: string };
}

/** A service account's key file; the request gets an access token. */
export interface GcpAuthEntry extends WithHosts {
  readonly type: "gcp_auth";
  readonly secret: SecretRef;
  readonly scopes: readonly string[];
}

export type OauthGrant = "refresh_token" | "client_credentials" | "password" | "jwt_bearer";

export interface OauthTokenEntry extends WithHosts {
  readonly type: "oauth_token";
  readonly grant: OauthGrant;
  /** Sorted by name: `client_id`, `refresh_token`, ... */
  readonly fields: ReadonlyMap<string, SecretRef>;
  readonly tokenEndpoint: string;
  /** Sorted by name. */
  readonly tokenEndpointHeaders: ReadonlyMap<string, SecretRef>;
  readonly scopes: readonly string[];
  readonly audience: string | undefined;
  /** Header the token goes into; `Authorization` when absent. */
  readonly header: string | undefined;
  /** What stands before the token; `Bearer ` when absent. */
  readonly valuePrefix: string | undefined;
}

export interface HmacSignEntry extends WithHosts {
  readonly type: "hmac_sign";
  /** Sorted by name; `secret` is the signing key. */
  readonly credentials: ReadonlyMap<string, SecretRef>;
  /** In the order declared. */
  readonly headers: readonly { readonly name: string; readonly value: string }[];
  readonly message: string;
  readonly algorithm: string | undefined;
  readonly keyEncoding: string | undefined;
  readonly outputEncoding: string | undefined;
  readonly timestampFormat: string | undefined;
  readonly allowChunkedBody: boolean;
}

export interface AwsAuthEntry extends WithHosts {
  readonly type: "aws_auth";
  readonly accessKeyId: SecretRef;
  readonly secretAccessKey: SecretRef;
  readonly sessionToken: SecretRef | undefined;
  readonly allowedRegions: readonly string[];
  readonly allowedServices: readonly string[];
}

/** A database: listed, and left out of what is rendered, because there is no Postgres listener yet. */
export interface PgDsnEntry extends CommonEntry {
  readonly type: "pg_dsn";
  readonly secret: SecretRef;
  readonly database: string;
}

/** One declared credential. */
export type Entry =
  | ReplaceEntry
  | InjectEntry
  | GcpAuthEntry
  | OauthTokenEntry
  | HmacSignEntry
  | AwsAuthEntry
  | PgDsnEntry;

/** A directory with a `pyproject.toml` that declares credentials; a harness counts as one too. */
export interface Tool {
  /** Name of the directory; for a harness the credential's own name. */
  readonly name: string;
  readonly directory: string;
  readonly file: string;
  /** `project.description` of the file. */
  readonly description: string | undefined;
  /** Needed and optional ones, in the order declared. */
  readonly secrets: readonly Entry[];
}

/** Something to say about a declaration. Never holds a credential (I14). */
export interface Problem extends Where {
  /** `error`: the tool, or the directory, was left out. `warning`: it works, and yet. `note`: good to know. */
  readonly severity: "error" | "warning" | "note";
  /** `undefined` where it is about a whole directory. */
  readonly tool: string | undefined;
  /** Name of the entry, or its place in its list: `secrets[2]`. */
  readonly entry: string | undefined;
  readonly key: string | undefined;
  /** One line: what is wrong and what to do. */
  readonly message: string;
}

export interface Discovery {
  /** Tools that are in order, sorted by name; shadowed ones are not among them. */
  readonly tools: readonly Tool[];
  readonly problems: readonly Problem[];
}

/** What rendering depends on besides the declarations. */
export interface RenderOptions {
  readonly mode: SourceMode;
  /** Name or id of the 1Password vault. */
  readonly vault: string;
  /** A duration in Go's grammar, as written: `10m`. */
  readonly ttl: string;
  /** Whether each rule names the tools that declare it, which limits callers; iron-proxy does not know the key. */
  readonly callers: boolean;
}

/** A rendered entry of `transforms:`, as plain data. */
export interface RenderedTransform {
  readonly name: "secrets" | "gcp_auth" | "oauth_token" | "hmac_sign" | "aws_auth";
  readonly config: Readonly<Record<string, unknown>>;
}

/** One credential in the environment of a sandbox. */
export interface SandboxPlaceholder {
  /** Name of the variable. */
  readonly name: string;
  readonly placeholder: string;
  /** With `inject` the proxy sets the credential whatever is sent: the text only shows programs that they are set up. */
  readonly mode: "replace" | "inject";
  readonly hosts: readonly string[];
  /** Tools that declare it, sorted. */
  readonly tools: readonly string[];
}
