import { cacheKeys, sourceKind, text, type SourceContext } from "./kind.ts";
import { opPrefixProblem } from "./op-reference.ts";
import { SourceError, type SourceFault } from "./types.ts";

/** The part of 1Password's client that is used. */
export interface OnePasswordClient {
  /** The value a secret reference points to. */
  resolve(reference: string): Promise<string>;
}

const tokenVariable = "OP_SERVICE_ACCOUNT_TOKEN";

/** Shortest pause after a rate limit; the client does not pass on how long the service asks for. */
const rateLimitPauseMs = 60_000;

/** A field of a 1Password item, read with a service account through 1Password's own client. */
export const onePasswordSource = sourceKind({
  name: "1password",
  keys: {
    secret_ref: text.describe("op://vault/item/[section/]field, with attributes as 1Password knows them"),
    ...cacheKeys,
  },
  build({ secret_ref }, context, error) {
    const problem = opPrefixProblem(secret_ref);
    if (problem !== undefined) error("secret_ref", problem); // the rest of the grammar is the client's
    const clients = context.shared<ClientHolder>("1password client", () => ({ client: undefined }));
    return {
      name: secret_ref,
      identity: secret_ref,
      variables: [tokenVariable],
      async fetch() {
        const client = await sharedClient(clients, context);
        try {
          return await client.resolve(secret_ref);
        } catch (reason) {
          if (/not authenticated|expired/i.test(words(reason))) clients.client = undefined; // sign in again next time
          throw described(`resolving 1password secret "${secret_ref}"`, reason);
        }
      },
    };
  },
});

interface ClientHolder {
  client: Promise<OnePasswordClient> | undefined;
}

/** One client for all sources of a registry; making it signs in. A failure is not kept. */
async function sharedClient(holder: ClientHolder, context: SourceContext): Promise<OnePasswordClient> {
  const token = context.env[tokenVariable]?.trim();
  if (token === undefined || token === "") {
    throw new SourceError(`env var "${tokenVariable}" is not set or empty`, { fault: "variable" });
  }
  const making = (holder.client ??= (context.onePassword ?? signIn)(token));
  try {
    return await making;
  } catch (reason) {
    if (holder.client === making) holder.client = undefined;
    throw described("creating 1password client", reason);
  }
}

/** Loads the client on first use: it brings 14 MB of WebAssembly. */
async function signIn(token: string): Promise<OnePasswordClient> {
  const { createClient } = await import("@1password/sdk");
  const client = await createClient({ auth: token, integrationName: "Sallyport", integrationVersion: "1" });
  return client.secrets;
}

const malformed = "the secret reference is malformed; it must be op://vault/item/[section/]field";
const rejected = `${tokenVariable} was rejected; it is cut short, revoked or expired`;

/** Phrases of the client's errors, and what they mean to the operator. The first that occurs is told. */
const meanings: readonly (readonly [phrase: string, meaning: string, fault?: SourceFault])[] = [
  ["no vault matched", "vault not found, or the service account has no access to it", "vault"],
  ["more than one vault matched", "found more than one vault with that title; use the vault's id", "vault"],
  ["item is not in an active state", "the item is archived or deleted", "item"],
  ["no item matched", "item not found in the vault", "item"],
  ["more than one item matched", "found more than one item with that title; use the item's id", "item"],
  ["no section matched", "section not found on item", "field"],
  ["field cannot be found", "field not found on item", "field"],
  ["more than one field matched", "found more than one such field; name its section, or use its id", "field"],
  ["TOTP attribute can only", "the attribute otp needs a field that is a one-time password"],
  [
    "TOTP code could not be generated",
    "the one-time password could not be made; check the field in 1Password",
  ],
  ["secret reference is not prefixed", malformed],
  ["secret reference has invalid", malformed],
  ["invalid character in secret reference", malformed],
  ["secret reference could not be parsed", malformed],
  ["service account token", rejected, "token"],
  ["service account deserialization", rejected, "token"],
  ["you are not authenticated", rejected, "token"],
  ["right permissions", "the service account may not read this vault", "vault"],
  ["resource not found", "not found"],
  ["request timeout", "no answer from 1Password", "server"],
  [
    "error sending request",
    "cannot reach 1Password; check the network and the name server of the proxy",
    "server",
  ],
  ["internal server error", "1Password answered with an error of its own", "server"],
];

/**
 * The client's error in our own words. Its text is made inside WebAssembly, from what the service said, so it is
 * recognised but never passed on (I14).
 */
function described(doing: string, reason: unknown): SourceError {
  const said = reason instanceof Error ? reason.message : String(reason);
  if (
    (reason instanceof Error && reason.constructor.name === "RateLimitExceededError") ||
    /rate limit/i.test(said)
  ) {
    const message = `${doing}: rate limited by 1Password (limits are per account and token); a longer ttl means fewer reads`;
    return new SourceError(message, { retryAfterMs: rateLimitPauseMs, fault: "rate_limit" });
  }
  const [, meaning, fault] = meanings.find(([phrase]) => said.includes(phrase)) ?? [];
  return new SourceError(
    `${doing}: ${meaning ?? "the 1Password client failed for a reason it does not name"}`,
    { fault },
  );
}

/** Class and text of an error; the client throws bare strings too. */
function words(reason: unknown): string {
  return reason instanceof Error ? `${reason.constructor.name} ${reason.message}` : String(reason);
}
