import type { Rules } from "../../pipeline/rules.ts";
import type { Exposed } from "../../scrub/forms.ts";
import type { Secret, SecretHandle } from "../../sources/types.ts";
import type { ExposureOptions } from "../exposure.ts";
import type { HeaderMatcher } from "../header-matcher.ts";
import type { Template } from "../template/index.ts";

/** One entry of `secrets`, compiled. */
export type Entry = InjectEntry | ReplaceEntry;

interface EntryBase {
  /** Position in the configuration. */
  readonly index: number;
  readonly handle: SecretHandle;
  readonly rules: Rules;
  /** Goes on without the credential when its source fails; otherwise the request is refused (I4). */
  readonly passUnavailable: boolean;
  /** What becomes of the credential in answers. */
  readonly exposure: ExposureOptions;
}

/** Sets a header or a query parameter, whatever the workload sent there. */
export interface InjectEntry extends EntryBase {
  readonly kind: "inject";
  /** The name of a query parameter is in bytes. */
  readonly target: { readonly kind: "header" | "query"; readonly name: string };
  /** As the audit names it: `header:X-Api-Key`, `query:key`. */
  readonly location: string;
  /** What {@link Exchange.claim} takes (I5). */
  readonly place: string;
  readonly formatter: Template | undefined;
  readonly prepare: (secret: Secret) => Prepared;
}

/** Swaps a placeholder wherever it stands in the places named. */
export interface ReplaceEntry extends EntryBase {
  readonly kind: "replace";
  /** As bytes. */
  readonly placeholder: string;
  /** The placeholder as it may stand in a JSON string. */
  readonly jsonSpellings: readonly string[];
  /** `undefined`: no header is searched. */
  readonly headers: HeaderMatcher | undefined;
  readonly query: boolean;
  readonly path: boolean;
  readonly body: boolean;
  /** Refuses a request without the placeholder. */
  readonly require: boolean;
  /** What happens where the placeholder stands in other places; `undefined` leaves it to the place. */
  readonly onMisuse: "block" | "report" | undefined;
  /** How often it may stand in these; `undefined` for what is usual. */
  readonly maxOccurrences: number | undefined;
  readonly prepare: (secret: Secret) => Prepared;
}

/** A credential's bytes, ready to be written. */
export interface Prepared {
  readonly bytes: string;
  /** False when it has bytes that would break a header apart (attack 33). */
  readonly fitsHeader: boolean;
  /** Why the formatter failed, without any value. */
  readonly failure?: string;
  /** Why the value cannot be used at all, as the end of a sentence about it. */
  readonly unusable?: string;
  /** What must not come back in an answer. */
  readonly exposed: readonly Exposed[];
}

/** Remembers the last answer: a source gives the same object until the value changes. */
export function oncePerSecret(prepare: (secret: Secret) => Prepared): (secret: Secret) => Prepared {
  let last: Secret | undefined;
  let prepared: Prepared | undefined;
  return (secret) => {
    if (secret !== last || prepared === undefined) {
      prepared = prepare(secret);
      last = secret;
    }
    return prepared;
  };
}
