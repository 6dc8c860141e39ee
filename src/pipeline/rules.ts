import type { Authority } from "../http/authority.ts";

/** The facts a rule decides on; an {@link Exchange} gives them, and so does a test or `explain`. */
export interface RequestFacts {
  readonly authority: Authority;
  readonly method: string;
  /** Canonical path (I3). */
  readonly path: string;
}

/** Compiled rules of one transform entry. */
export interface Rules {
  /** Number of rules; none never match. */
  readonly size: number;
  /** True when any rule matches host, port, method and path. */
  match(request: RequestFacts): boolean;
  /** True when any rule could match some request to this host and port (I2). */
  admits(authority: Authority): boolean;
  /** For people: the first matching rule as text, or why none did. */
  describe(request: RequestFacts): { readonly matched: boolean; readonly text: string };
}
