import type { RenderOptions, SecretRef } from "./types.ts";

/** The field of a 1Password item that a credential is kept in. */
const field = "credential";

/** Where a declared credential is read from, as the configuration writes it. */
export function sourceOf(
  { ref, jsonKey }: SecretRef,
  options: RenderOptions,
): Readonly<Record<string, string>> {
  const json = jsonKey === undefined ? {} : { json_key: jsonKey };
  if (options.mode === "env") return { type: "env", var: ref, ...json };
  const type = options.mode === "onepassword" ? "1password" : "1password_connect";
  return { type, secret_ref: onePasswordReference(ref, options.vault), ttl: options.ttl, ...json };
}

/** The reference as people say it: the variable's name, or `op://vault/item/credential`. */
export function referenceText({ ref, jsonKey }: SecretRef, { mode, vault }: RenderOptions): string {
  const text = mode === "env" ? ref : onePasswordReference(ref, vault);
  return jsonKey === undefined ? text : `${text} (${jsonKey})`;
}

/** Variables that hold what the proxy itself is trusted with. */
const ownVariables: ReadonlySet<string> = new Set([
  "IRON_MANAGEMENT_API_KEY",
  "OP_CONNECT_TOKEN",
  "OP_SERVICE_ACCOUNT_TOKEN",
  "SANDBOX_SIGNING_KEY",
  "SANDBOX_SIGNING_KEY_PREVIOUS",
]);

/**
 * What keeps a reference from being a variable of the proxy; `undefined` for a good one. Whoever writes a declaration
 * chooses the hosts as well, and must not have the proxy's own keys sent there.
 */
export function variableProblem(ref: string, managementKey: string): string | undefined {
  if (!ownVariables.has(ref) && ref !== managementKey) return undefined;
  return "names a key of the proxy's own, which is never attached to a request; set secret_ref to another variable";
}

/**
 * What keeps a reference from being the name of a 1Password item; `undefined` for a good one. A slash would make part of the
 * name a section or a field: another item than the one declared.
 */
export function itemProblem(ref: string): string | undefined {
  const advice = "set secret_ref to another name or to the item's id";
  if (ref.includes("/")) {
    return `cannot be a 1Password item with a slash in its name, which would mean another item; ${advice}`;
  }
  if (/[?\p{Cc}]/u.test(ref)) {
    return `cannot be a 1Password item with a question mark or a control character in its name; ${advice}`;
  }
  return undefined;
}

function onePasswordReference(item: string, vault: string): string {
  return `op://${vault}/${item}/${field}`;
}
