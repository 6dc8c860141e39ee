import type { EntryKind, EntrySite } from "./entries.ts";
import { hostsOf } from "./entries-http.ts";
import type { Fields } from "./fields.ts";
import type { OauthGrant, OauthTokenEntry, SecretRef } from "./types.ts";

/** Fields of each grant: those it needs, and those it may have. */
const grants: Readonly<
  Record<OauthGrant, { readonly needed: readonly string[]; readonly optional: string }>
> = {
  refresh_token: { needed: ["refresh_token", "client_id"], optional: "client_secret" },
  client_credentials: { needed: ["client_id", "client_secret"], optional: "" },
  password: { needed: ["username", "password", "client_id"], optional: "client_secret" },
  jwt_bearer: { needed: ["issuer", "subject", "private_key"], optional: "private_key_id" },
};
const grantNames = Object.keys(grants) as OauthGrant[];

type Target = Pick<OauthTokenEntry, "header" | "valuePrefix">;

/** `type = "oauth_token"`: an access token is asked for at the token endpoint and put into a header. */
export const oauthToken: EntryKind = {
  keys: ["hosts", "grant", "fields", "token_endpoint", "token_endpoint_headers", "scopes", "audience"],
  oneSecret: false,
  read(fields, site) {
    const grant = fields.has("grant") ? fields.word("grant", grantNames) : fields.missing("grant");
    const audience = fields.text("audience");
    if (grant === "jwt_bearer" && !fields.has("audience")) {
      fields.fail("", "audience is missing; the jwt_bearer grant needs it");
    } else if (grant !== undefined && grant !== "jwt_bearer") {
      fields.forbid(["audience"], `is for the jwt_bearer grant, and this is ${grant}; remove it`);
    }
    const credentials = fields.has("fields") ? fields.secrets("fields") : new Map<string, SecretRef>();
    if (grant !== undefined) checkFields(fields, grant, credentials);
    const rest = tokenEntry(fields, site, { header: undefined, valuePrefix: undefined });
    return grant === undefined ? undefined : { ...rest, grant, fields: credentials, audience };
  },
};

/** `type = "brokered_token"`, as a token of the refresh_token grant: the proxy keeps the tokens itself. */
export const brokeredToken: EntryKind = {
  keys: [
    "hosts",
    "client_id",
    "refresh_token",
    "client_secret",
    "token_endpoint",
    "token_endpoint_headers",
    "scopes",
    "credential",
    "inject_header",
    "inject_formatter",
  ],
  oneSecret: false,
  read(fields, site) {
    site.deprecated(
      'type = "brokered_token" is deprecated; write type = "oauth_token", grant = "refresh_token"',
    );
    const credentials = new Map<string, SecretRef>();
    for (const key of ["client_id", "client_secret", "refresh_token"]) {
      const secret = fields.has(key) || key === "client_secret" ? fields.secret(key) : fields.missing(key);
      if (secret !== undefined) credentials.set(key, secret);
    }
    if (credentials.get("refresh_token")?.jsonKey !== undefined) {
      fields.fail("refresh_token", "cannot have a json_key: it is renewed as a whole");
    }
    fields.text("credential");
    const target = { header: fields.text("inject_header"), valuePrefix: prefixOf(fields) };
    const rest = tokenEntry(fields, site, target);
    return { ...rest, grant: "refresh_token", fields: credentials, audience: undefined };
  },
};

function tokenEntry(
  fields: Fields,
  { name, optional, where, toolHosts }: EntrySite,
  target: Target,
): Omit<OauthTokenEntry, "grant" | "fields" | "audience"> {
  const hosts = hostsOf(fields, toolHosts) ?? [];
  const tokenEndpoint = fields.neededText("token_endpoint") ?? "";
  const tokenEndpointHeaders = fields.secrets("token_endpoint_headers");
  const scopes = fields.texts("scopes") ?? [];
  return {
    type: "oauth_token",
    name,
    optional,
    where,
    hosts,
    tokenEndpoint,
    tokenEndpointHeaders,
    scopes,
    ...target,
  };
}

function checkFields(fields: Fields, grant: OauthGrant, credentials: ReadonlyMap<string, SecretRef>): void {
  if (!fields.has("fields")) return fields.missing("fields");
  const { needed, optional } = grants[grant];
  for (const field of needed) {
    if (!credentials.has(field)) fields.fail("fields", `has no ${field}; the ${grant} grant needs it`);
  }
  for (const field of credentials.keys()) {
    if (needed.includes(field) || field === optional) continue;
    const known = [...needed, optional].filter((one) => one !== "").join(", ");
    const shown = /^[\w.-]{1,40}$/.test(field) ? ` "${field}"` : " one";
    fields.fail("fields", `has${shown}, which the ${grant} grant does not know; it knows ${known}`);
  }
}

/** `Bearer {{ .Value }}` becomes what stands before the value; the token is written as it is. */
function prefixOf(fields: Fields): string | undefined {
  const formatter = fields.text("inject_formatter");
  if (formatter === undefined) return undefined;
  const prefix = /^([^{}]+)\{\{-? *\.Value *-?\}\}$/.exec(formatter)?.[1];
  return (
    prefix ?? fields.fail("inject_formatter", "must be text before {{ .Value }}, such as Bearer {{ .Value }}")
  );
}
