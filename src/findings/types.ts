/** What can be found; `docs/findings.md` explains each. */
export const findingKinds = [
  "placeholder_wrong_host",
  "placeholder_wrong_place",
  "placeholder_repeated",
  "credential_in_request",
  "credential_in_response",
  "caller_in_two_places",
] as const;

export type FindingKind = (typeof findingKinds)[number];

/** `blocked`: the request was refused. `scrubbed`: a placeholder stands in its place. `reported`: it went on, and is only told. */
export type FindingAction = "blocked" | "scrubbed" | "reported";

/** Something that a workload without ill intent does not do, or a credential in a place where none should be. */
export interface Finding {
  readonly kind: FindingKind;
  readonly action: FindingAction;
  /** Name of the secret; absent where it is about none. */
  readonly secret?: string;
  /** `header:authorization`, `path`, `query`, `body`, `trailer:x`, `reason`, `frame`; for callers the other address. */
  readonly where: string;
  /** How often, in this exchange. */
  readonly count: number;
}

/** A finding as it is written and posted: what, and in which exchange. Never a value (I14). */
export interface FindingRecord extends Finding {
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly requestId: string;
  readonly host: string;
  readonly method: string;
  readonly remoteAddress: string;
  readonly caller: string | undefined;
  /** The same was found so many times more since the last record of it. */
  readonly repeated: number;
}
