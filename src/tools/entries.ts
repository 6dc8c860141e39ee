import type { Path } from "../config/issues.ts";
import { http, legacyEntry } from "./entries-http.ts";
import { brokeredToken, oauthToken } from "./entries-oauth.ts";
import { awsAuth, gcpAuth, hmacSign } from "./entries-signing.ts";
import { Fields, isTable, kindOf, type Report } from "./fields.ts";
import type { Entry, SecretRef, Where } from "./types.ts";

/** What every kind of entry is made from. */
export interface EntrySite {
  readonly name: string;
  readonly secret: SecretRef;
  readonly optional: boolean;
  readonly where: Where;
  /** Hosts of the tool, for entries that name none. */
  readonly toolHosts: readonly string[] | undefined;
  /** Something that works and is on its way out. */
  readonly deprecated: (message: string) => void;
}

/** One `type` of entry. */
export interface EntryKind {
  /** Keys besides those that every type has. */
  readonly keys: readonly string[];
  /** Whether `secret_ref` and `json_key` mean something; other types name their credentials one by one. */
  readonly oneSecret: boolean;
  /** `undefined` when something was reported that leaves no entry. */
  readonly read: (fields: Fields, site: EntrySite) => Entry | undefined;
}

const pgDsn: EntryKind = {
  keys: ["database", "role", "settings"],
  oneSecret: true,
  read(fields, { name, secret, optional, where }) {
    const database = fields.neededText("database");
    fields.text("role");
    for (const setting of fields.tables("settings") ?? []) setting.neededText("name");
    return database === undefined ? undefined : { type: "pg_dsn", name, secret, optional, where, database };
  },
};

/** Every `type` there is. */
export const entryKinds: Readonly<Record<string, EntryKind>> = {
  http,
  gcp_auth: gcpAuth,
  oauth_token: oauthToken,
  brokered_token: brokeredToken,
  hmac_sign: hmacSign,
  aws_auth: awsAuth,
  pg_dsn: pgDsn,
};

export interface EntryOptions {
  readonly path: Path;
  readonly optional: boolean;
  readonly where: Where;
  readonly toolHosts: readonly string[] | undefined;
  readonly report: Report;
  readonly deprecated: (message: string) => void;
}

/** Reads one element of `secrets` or `optional_secrets`; `undefined` when it is wrong, which has been reported. */
export function readEntry(raw: unknown, options: EntryOptions): Entry | undefined {
  const { path, report, deprecated } = options;
  const common = {
    optional: options.optional,
    where: options.where,
    toolHosts: options.toolHosts,
    deprecated,
  };
  if (typeof raw === "string") {
    const problem = variableProblem(raw);
    if (problem !== undefined) report(path, problem);
    const secret = { ref: raw, jsonKey: undefined };
    return problem === undefined ? legacyEntry({ name: raw, secret, ...common }, path, report) : undefined;
  }
  if (!isTable(raw)) {
    report(path, `must be a table or a name, not ${kindOf(raw)}`);
    return undefined;
  }
  let failed = false;
  const fields = new Fields(raw, path, (at, message, part) => {
    failed = true;
    report(at, message, part);
  });
  const name = fields.neededText("name");
  const type = typeOf(fields, deprecated);
  const kind = entryKinds[type ?? ""];
  if (type === undefined || kind === undefined) return undefined;
  const ref = fields.has("secret_ref") ? fields.text("secret_ref") : name;
  const secret = { ref: ref ?? "", jsonKey: fields.text("json_key") };
  const entry = kind.read(fields, { name: name ?? "", secret, ...common });
  if (name !== undefined && (type === "http" || type === "pg_dsn")) {
    const problem = variableProblem(name);
    if (problem !== undefined) fields.fail("name", problem);
  }
  const shared = kind.oneSecret ? ["secret_ref", "json_key"] : [];
  const article = /^[aho]/.test(type) ? "an" : "a";
  fields.only(["name", "type", ...shared, ...kind.keys], `in ${article} ${type} entry`, hintsFor(kind));
  return failed ? undefined : entry;
}

/** `header` is an older name of `http`, which is what an entry without a type is. */
function typeOf(fields: Fields, deprecated: (message: string) => void): string | undefined {
  if (!fields.has("type")) return "http";
  const type = fields.word("type", [...Object.keys(entryKinds), "header"]);
  if (type !== "header") return type;
  deprecated('type = "header" is deprecated; write type = "http"');
  return "http";
}

function hintsFor({ oneSecret }: EntryKind): Readonly<Record<string, string>> {
  if (oneSecret) return hints;
  const elsewhere = "its credentials are named one by one; remove it";
  return { ...hints, secret_ref: elsewhere, json_key: elsewhere };
}

const hostsOnly = "declarations know hosts only; write an entry with rules in the proxy's configuration";
const hints: Readonly<Record<string, string>> = {
  match_body: "bodies are not searched for declared secrets; write an entry in the proxy's configuration",
  require: "a request whose credential cannot be had is refused anyway; remove it",
  methods: hostsOnly,
  paths: hostsOnly,
  proxy_value: 'the placeholder is "replacer"',
  header: 'write "match_headers" for a placeholder, "inject_header" for a header that is set',
};

export function isVariableName(name: string): boolean {
  return /^[A-Za-z_][A-Za-z0-9_]{0,127}$/.test(name);
}

/** Programs see the name as a variable. What is wrong is not shown: somebody may have written a credential (I14). */
function variableProblem(name: string): string | undefined {
  if (isVariableName(name)) return undefined;
  return "must be the name of a variable: letters, digits and underscores, at most 128, and no digit first";
}
