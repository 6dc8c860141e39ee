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

/**
 * What keeps a reference from being the name of a 1Password item; `undefined` for a good one. A slash would make part of the
 * name a section or a field: another item than the one declared.
 */
export function itemProblem(ref: string): string | undefined {
  if (ref.includes("/")) {
    return "cannot be a 1Password item with a slash in its name: a reference would read it as another item";
  }
  if (/[?\p{Cc}]/u.test(ref))
    return "cannot be a 1Password item: it has a question mark or a control character in it";
  return undefined;
}

function onePasswordReference(item: string, vault: string): string {
  return `op://${vault}/${item}/${field}`;
}
