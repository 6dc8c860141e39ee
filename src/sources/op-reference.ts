/** A secret reference of 1Password: `op://vault/item/field` or `op://vault/item/section/field`. */
export interface OpReference {
  readonly vault: string;
  readonly item: string;
  readonly section: string | undefined;
  readonly field: string;
}

/**
 * Reads a secret reference. Nothing is decoded and there is no query; a name with a slash cannot be written,
 * its id can.
 */
export function parseOpReference(text: string): OpReference | { readonly problem: string } {
  const prefix = opPrefixProblem(text);
  if (prefix !== undefined) return { problem: prefix };
  const segments = text.slice("op://".length).split("/");
  if (segments.length < 3 || segments.length > 4) {
    return {
      problem: `secret_ref "${text}" must have 3 or 4 path segments (op://vault/item/[section/]field)`,
    };
  }
  if (segments.includes("")) return { problem: `secret_ref "${text}" has an empty path segment` };
  const [vault, item, third, fourth] = segments as [string, string, string, string?];
  return fourth === undefined
    ? { vault, item, section: undefined, field: third }
    : { vault, item, section: third, field: fourth };
}

/** What is wrong with the start of a secret reference. The word before `://` is case-sensitive. */
export function opPrefixProblem(text: string): string | undefined {
  if (text.startsWith("op://")) return undefined;
  // A credential pasted here by mistake must not be printed (I14); a reference has slashes, a credential rarely.
  const shown = /^\w*:\/*[\w. -]+(\/[\w. -]+)+$/.test(text) ? ` "${text}"` : "";
  return `secret_ref${shown} must start with "op://"`;
}
