/** How one check ended. `skip`: it could not be made, because another one failed. */
export type CheckStatus = "ok" | "warn" | "fail" | "skip";

/** What is looked at. */
export type CheckKind =
  | "configuration"
  | "declaration"
  | "mode"
  | "vault"
  | "variable"
  | "ca"
  | "connect"
  | "credential"
  | "request";

/** Why a credential is not attached; the first five are those of the page "Use 1Password". */
export type Cause =
  | "hosts"
  | "match"
  | "item"
  | "vault"
  | "field"
  | "value"
  | "variable"
  | "token"
  | "server"
  | "rate_limit"
  | "policy"
  | "header_allowlist";

/** One line of the check list. Nothing in it is a credential (I14). */
export interface Check {
  readonly kind: CheckKind;
  /** What of its kind: a variable, a credential, a request. */
  readonly subject: string;
  readonly status: CheckStatus;
  readonly message: string;
  readonly cause?: Cause | undefined;
  /** What to do. */
  readonly hint?: string | undefined;
}

/** Runs `work` on each, `width` at a time; results in the order of the items. */
export async function inParallel<Item, Result>(
  items: readonly Item[],
  width: number,
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  const waiting = items.entries();
  const take = async (): Promise<void> => {
    for (const [index, item] of waiting) results[index] = await work(item);
  };
  await Promise.all(Array.from({ length: width }, take));
  return results;
}
