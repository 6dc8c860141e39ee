import type { Dispatcher } from "undici";
import { at, parseJson } from "../../sources/json.ts";
import { Secret } from "../../sources/types.ts";
import { signAssertion } from "../minting/assertion.ts";
import { MintError } from "../minting/mint-error.ts";
import type { Minted } from "../minting/minter.ts";
import { jwtBearerGrant } from "../minting/stub.ts";
import { lifetimeOf, requestToken, type TokenAnswer, tokenField } from "../minting/token-endpoint.ts";
import type { ServiceAccount } from "./keyfile.ts";

/** A token of Google's. */
export interface GoogleToken extends Minted {
  /** Whose it is, for the audit; `undefined` where that is not known. */
  readonly principal: string | undefined;
}

/** What one mint has at hand. */
export interface MintContext {
  readonly dispatcher: Dispatcher;
  readonly signal: AbortSignal;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/** What is asked of a service account. */
export interface AccessTokenRequest {
  readonly scopes: readonly string[];
  /** User to act as (domain-wide delegation). */
  readonly subject: string | undefined;
}

/**
 * An access token for a service account (RFC 7523 section 2.1).
 * @throws {MintError}
 */
export async function mintAccessToken(
  account: ServiceAccount,
  { scopes, subject }: AccessTokenRequest,
  context: MintContext,
): Promise<GoogleToken> {
  const answer = await exchange(account, { scope: scopes.join(" "), subject }, context);
  const token = new Secret(tokenField(answer, "access_token"));
  return { token, lifetimeMs: lifetimeOf(answer), principal: account.email };
}

/**
 * An ID token for a service account. Its lifetime is that of its `exp` claim.
 * @throws {MintError}
 */
export async function mintIdToken(
  account: ServiceAccount,
  audience: string,
  context: MintContext,
): Promise<GoogleToken> {
  const answer = await exchange(account, { claims: { target_audience: audience } }, context);
  const token = tokenField(answer, "id_token");
  return {
    token: new Secret(token),
    lifetimeMs: idTokenLifetime(token, context.now),
    principal: account.email,
  };
}

interface Claims {
  readonly scope?: string;
  readonly subject?: string | undefined;
  readonly claims?: Readonly<Record<string, string>>;
}

async function exchange(account: ServiceAccount, claims: Claims, context: MintContext): Promise<TokenAnswer> {
  const { email, key, keyId, tokenUri, audience } = account;
  const { now, dispatcher, signal } = context;
  const assertion = await signAssertion(
    { key, keyId, issuer: email, audience: audience ?? tokenUri, ...claims },
    now,
  );
  return requestToken({
    endpoint: tokenUri,
    form: { grant_type: jwtBearerGrant, assertion },
    dispatcher,
    signal,
  });
}

/** How far the issuer's clock may be from ours before a token that it says is new is taken for an old one. */
const tolerableSkewMs = 15 * 60_000;

/**
 * A new token lives from `iat` to `exp`, whatever our clock says; one that was issued long ago, until `exp`.
 * The signature is for the receiver to check.
 */
function idTokenLifetime(token: string, now: number): number {
  const parts = token.split(".");
  const claims = parts.length === 3 ? parseJson(Buffer.from(parts[1] ?? "", "base64url")) : undefined;
  const exp = at(claims, "exp");
  const iat = at(claims, "iat");
  if (typeof exp !== "number" || !Number.isFinite(exp)) {
    throw new MintError("mint_failed", "the id_token is not a JWT with an expiry");
  }
  const isNew = typeof iat === "number" && Math.abs(iat * 1000 - now) < tolerableSkewMs;
  return exp * 1000 - (isNew ? iat * 1000 : now);
}
