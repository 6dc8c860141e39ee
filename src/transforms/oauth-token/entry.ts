import type { Rules } from "../../pipeline/rules.ts";
import type { Exposed } from "../../scrub/forms.ts";
import type { TokenSupply } from "../../sources/custody.ts";
import type { Secret, SecretHandle } from "../../sources/types.ts";
import type { Minted } from "../minting/minter.ts";
import type { TokenEndpoint } from "./endpoint.ts";
import type { Grant } from "./schema.ts";

/** One entry of `tokens`, compiled. */
export interface Entry {
  /** Position in the configuration. */
  readonly index: number;
  readonly grant: Grant;
  readonly rules: Rules;
  readonly endpoint: TokenEndpoint;
  readonly handles: readonly SecretHandle[];
  readonly minter: TokenSupply<Minted>;
  /** Header that is set, with this casing. */
  readonly header: string;
  /** What {@link Exchange.claim} takes (I5). */
  readonly place: string;
  /** As the audit names it: `header:Authorization`. */
  readonly location: string;
  /** Bytes before the token. */
  readonly prefix: string;
  /** Refuses requests when no token can be had (I4). */
  readonly require: boolean;
  /** Tokens that the issuer gives to workloads come back to them as placeholders. */
  readonly captures: boolean;
  /** What must not come back in an answer, of a token. */
  readonly exposed: (token: Secret) => readonly Exposed[];
}
