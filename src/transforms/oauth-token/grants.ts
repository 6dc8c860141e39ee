import { Buffer } from "node:buffer";
import type { Credentials } from "../minting/credential-set.ts";
import { type SigningKey, signAssertion, signingKey } from "../minting/assertion.ts";
import { MintError } from "../minting/mint-error.ts";
import { jwtBearerGrant } from "../minting/stub.ts";
import { formText } from "../minting/token-endpoint.ts";
import type { EntryConfig, Grant } from "./schema.ts";

/** Keys of an entry that hold a source, apart from `token_endpoint_headers`. */
export type Field =
  | "refresh_token"
  | "client_id"
  | "client_secret"
  | "username"
  | "password"
  | "issuer"
  | "subject"
  | "private_key"
  | "private_key_id";

/** What a grant needs and takes. */
export interface GrantKeys {
  /** Sources it cannot do without, each with the message for when it is missing. */
  readonly required: readonly (readonly [field: Field, message: string])[];
  readonly optional: readonly Field[];
  /** Further keys that mean something for it, out of those that not every grant has. */
  readonly settings: readonly (keyof EntryConfig)[];
}

const needs = (grant: Grant, ...fields: Field[]): GrantKeys["required"] =>
  fields.map((field) => [field, `${grant} grant requires "${field}"`]);

const bothOf = (grant: Grant, one: Field, other: Field): GrantKeys["required"] => {
  const message = `${grant} grant requires "${one}" and "${other}"`;
  return [
    [one, message],
    [other, message],
  ];
};

export const grantKeys: Readonly<Record<Grant, GrantKeys>> = {
  refresh_token: {
    required: needs("refresh_token", "refresh_token", "client_id"),
    optional: ["client_secret"],
    settings: ["client_auth", "rotation_file"],
  },
  client_credentials: {
    required: bothOf("client_credentials", "client_id", "client_secret"),
    optional: [],
    settings: ["client_auth", "scopes"],
  },
  password: {
    required: [...bothOf("password", "username", "password"), ...needs("password", "client_id")],
    optional: ["client_secret"],
    settings: ["client_auth", "scopes"],
  },
  jwt_bearer: {
    required: needs("jwt_bearer", "issuer", "subject", "private_key"),
    optional: ["private_key_id"],
    settings: ["audience", "scopes"],
  },
};

/** How an entry asks for its token. */
export interface GrantSettings {
  readonly grant: Grant;
  readonly clientAuth: "body" | "basic";
  /** Separated by spaces; empty for none. */
  readonly scope: string;
  readonly audience: string;
}

/** One token request, without what is the same for all. */
export interface GrantRequest {
  readonly form: Readonly<Record<string, string>>;
  readonly authorization: string | undefined;
}

export type Values = Credentials<Field>;

/**
 * Parameters of a token request.
 * @param refreshToken the one to use, which is not always the configured one
 * @param now milliseconds since 1970
 * @throws {MintError} when a credential is empty or is not what it should be
 */
export async function grantRequest(
  settings: GrantSettings,
  values: Values,
  refreshToken: string | undefined,
  now: number,
): Promise<GrantRequest> {
  const scope = settings.scope === "" ? {} : { scope: settings.scope };
  switch (settings.grant) {
    case "refresh_token": {
      const refresh_token = refreshToken ?? valueOf(values, "refresh_token");
      return withClient(settings, values, { grant_type: "refresh_token", refresh_token });
    }
    case "client_credentials":
      return withClient(settings, values, { grant_type: "client_credentials", ...scope });
    case "password": {
      const [username, password] = [valueOf(values, "username"), valueOf(values, "password")];
      return withClient(settings, values, { grant_type: "password", username, password, ...scope });
    }
    case "jwt_bearer": {
      const assertion = await signAssertion(
        {
          key: keyOf(values),
          keyId: values.get("private_key_id")?.reveal(),
          issuer: valueOf(values, "issuer"),
          audience: settings.audience,
          subject: valueOf(values, "subject"),
          scope: settings.scope,
        },
        now,
      );
      return { form: { grant_type: jwtBearerGrant, assertion }, authorization: undefined };
    }
  }
}

/** The client's own credentials: in the form, or in Basic authentication, never in both (RFC 6749 section 2.3.1). */
function withClient(
  { clientAuth }: GrantSettings,
  values: Values,
  form: Readonly<Record<string, string>>,
): GrantRequest {
  const id = valueOf(values, "client_id");
  const secret = values.get("client_secret")?.reveal() ?? "";
  if (clientAuth === "basic") {
    const credentials = `${formText(id)}:${formText(secret)}`;
    const authorization = `Basic ${Buffer.from(credentials, "latin1").toString("base64")}`;
    return { form, authorization };
  }
  const client = secret === "" ? { client_id: id } : { client_id: id, client_secret: secret };
  return { form: { ...form, ...client }, authorization: undefined };
}

function valueOf(values: Values, field: Field): string {
  const value = values.get(field)?.reveal() ?? "";
  if (value === "") throw new MintError("mint_failed", `${field} is empty`);
  return value;
}

/** Keys that were read, one for each version of the credentials. */
const keys = new WeakMap<Values, SigningKey>();

function keyOf(values: Values): SigningKey {
  let key = keys.get(values);
  if (key === undefined) {
    key = signingKey(valueOf(values, "private_key"), "private_key");
    keys.set(values, key);
  }
  return key;
}
