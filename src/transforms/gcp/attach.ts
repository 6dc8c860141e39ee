import type { Exchange, Rejection, Verdict } from "../../pipeline/types.ts";
import type { Rules } from "../../pipeline/rules.ts";
import type { Exposed } from "../../scrub/forms.ts";
import type { Secret } from "../../sources/types.ts";
import { expose } from "../exposure.ts";
import { asMintError } from "../minting/mint-error.ts";
import type { GoogleToken } from "./mint.ts";

/** Puts the tokens of one minter on requests. */
export interface Attacher {
  readonly rules: Rules;
  /** Gives the current token; see {@link Minter.get}. */
  get(): GoogleToken | Promise<GoogleToken>;
  /** As it is written on the wire. */
  readonly header: "Authorization" | "X-Serverless-Authorization";
  /** The header as {@link Exchange.claim} takes it (I5). */
  readonly place: "authorization" | "x-serverless-authorization";
  /** Audience of ID tokens, for the audit. */
  readonly audience?: string;
  /** What must not come back in an answer, of a token. */
  readonly exposed: (token: Secret) => readonly Exposed[];
}

/** A plain value while a token is held. */
export function attach(exchange: Exchange, attacher: Attacher): Verdict | Promise<Verdict> {
  let token: GoogleToken | Promise<GoogleToken>;
  try {
    token = attacher.get();
  } catch (error) {
    return unavailable(exchange, error);
  }
  if (!(token instanceof Promise)) return setToken(exchange, attacher, token);
  return token.then(
    (minted) => setToken(exchange, attacher, minted),
    (error: unknown) => unavailable(exchange, error),
  );
}

function setToken(exchange: Exchange, attacher: Attacher, { token, principal }: GoogleToken): Verdict {
  const forbidden = exchange.attachable();
  if (forbidden !== undefined) {
    exchange.annotate("rejected", forbidden.reason);
    return forbidden;
  }
  const { header, place, audience, exposed } = attacher;
  exchange.claim(place);
  expose(exchange, exposed(token));
  exchange.request.headers.set(header, `Bearer ${token.reveal()}`);
  if (principal !== undefined) exchange.annotate("service_account", principal);
  if (audience !== undefined) exchange.annotate("audience", audience);
  exchange.annotate("injected", [`header:${header}`]);
  return undefined;
}

function unavailable(exchange: Exchange, error: unknown): Rejection {
  exchange.annotate("error", asMintError(error).reason);
  exchange.annotate("rejected", "token_unavailable");
  return { kind: "reject", status: 403, reason: "token_unavailable" };
}

/** True, with a note for the audit, when an earlier transform has put its credential there (I5). */
export function skips(exchange: Exchange, place: Attacher["place"]): boolean {
  if (!exchange.claimed(place)) return false;
  exchange.annotate("skipped", "credential_already_applied");
  return true;
}
