import { connectServer, type ConnectServer } from "./connect-server.ts";
import { at, textAt } from "./json.ts";
import { cacheKeys, sourceKind, text, type SourceContext } from "./kind.ts";
import { parseOpReference, type OpReference } from "./op-reference.ts";
import { SourceError } from "./types.ts";

/** A field of a 1Password item, read from a Connect server. */
export const onePasswordConnectSource = sourceKind({
  name: "1password_connect",
  keys: {
    secret_ref: text.describe("op://vault/item/field or op://vault/item/section/field; names or ids"),
    ...cacheKeys,
  },
  build({ secret_ref }, context, error) {
    const reference = parseOpReference(secret_ref);
    if ("problem" in reference) error("secret_ref", reference.problem);
    return {
      name: secret_ref,
      identity: secret_ref,
      variables: ["OP_CONNECT_HOST", "OP_CONNECT_TOKEN"],
      async fetch(signal) {
        if ("problem" in reference) throw new SourceError(reference.problem);
        try {
          return await resolve(reference, connectServer(context, signal), knownIds(context));
        } catch (reason) {
          if (!(reason instanceof SourceError)) throw reason;
          const { message, retryAfterMs, fault } = reason;
          throw new SourceError(`1password_connect secret "${secret_ref}": ${message}`, {
            retryAfterMs,
            fault,
          });
        }
      },
    };
  },
});

/** Ids found by title, so that a refresh costs one request. As many as the configuration has items. */
type KnownIds = Map<string, { readonly vault: string; readonly item: string }>;

function knownIds({ shared }: SourceContext): KnownIds {
  return shared("1password_connect ids", () => new Map());
}

async function resolve(reference: OpReference, server: ConnectServer, known: KnownIds): Promise<string> {
  const place = `${reference.vault}/${reference.item}`;
  const ids = known.get(place);
  if (ids !== undefined) {
    const item = await server.get(`/v1/vaults/${ids.vault}/items/${ids.item}`);
    if (item !== undefined) return fieldValue(item, reference);
    known.delete(place); // moved or made anew under the same title: look it up once more
  }
  const vault = await findVault(reference.vault, server);
  const { id, item } = await findItem(reference, vault, server);
  known.set(place, { vault, item: id });
  return fieldValue(item, reference);
}

/** 26 lower-case letters and digits are an id, by the convention of 1Password's own clients. */
const looksLikeId = (name: string) => /^[a-z0-9]{26}$/.test(name);

/**
 * The id of a vault that is named by its title or id.
 * @throws {SourceError}
 */
export async function findVault(name: string, server: ConnectServer): Promise<string> {
  if (looksLikeId(name) && (await server.get(`/v1/vaults/${name}`)) !== undefined) return name;
  const found = idsOf(await server.get(`/v1/vaults?${titleFilter(name)}`));
  if (found.length > 1) {
    throw new SourceError(`found ${found.length} vaults with title "${name}"; use the vault's id`, {
      fault: "vault",
    });
  }
  const [id] = found;
  if (id === undefined) {
    throw new SourceError(`vault "${name}" not found, or OP_CONNECT_TOKEN has no access to it`, {
      fault: "vault",
    });
  }
  return id;
}

async function findItem(
  { vault: vaultName, item: name }: OpReference,
  vault: string,
  server: ConnectServer,
): Promise<{ id: string; item: unknown }> {
  const items = `/v1/vaults/${vault}/items`;
  if (looksLikeId(name)) {
    const item = await server.get(`${items}/${name}`);
    if (item !== undefined) return { id: name, item };
  }
  const found = idsOf(await server.get(`${items}?${titleFilter(name)}`));
  if (found.length > 1) {
    throw new SourceError(
      `found ${found.length} items in vault "${vaultName}" with title "${name}"; use the item's id`,
      { fault: "item" },
    );
  }
  const [id] = found;
  // The list has no fields, so the item is asked for by its id.
  const item = id === undefined ? undefined : await server.get(`${items}/${id}`);
  if (id === undefined || item === undefined) {
    throw new SourceError(`item "${name}" not found in vault "${vaultName}"`, { fault: "item" });
  }
  return { id, item };
}

/** A quote in a title would end the filter's text early, and find another item. */
function titleFilter(title: string): string {
  const quoted = title.replace(/["\\]/g, "\\$&");
  return new URLSearchParams({ filter: `title eq "${quoted}"` }).toString();
}

/** Ids of a list; they become part of a path, so nothing else than an id may pass. */
function idsOf(list: unknown): string[] {
  if (list === undefined) return []; // 404: the vault itself is gone
  const ids = Array.isArray(list) ? list.map((entry: unknown) => textAt(entry, "id")) : [undefined];
  return ids.map((id) => {
    if (id === undefined || !/^[A-Za-z0-9_-]{1,64}$/.test(id)) throw unexpectedAnswer();
    return id;
  });
}

/** The first field, in the order of the item, whose id or label is the one asked for, and its section's too. */
function fieldValue(item: unknown, { section, field: name }: OpReference): string {
  const fields = listAt(item, "fields");
  const sections = listAt(item, "sections");
  const inSection = (field: unknown): boolean => {
    if (section === undefined) return true;
    const own = at(field, "section");
    if (own === undefined) return false;
    const id = textAt(own, "id");
    const label =
      textAt(own, "label") ??
      textAt(
        sections.find((other) => textAt(other, "id") === id),
        "label",
      );
    return id === section || label === section;
  };
  const candidates = fields.filter(inSection);
  const found = candidates.find((field) => textAt(field, "id") === name || textAt(field, "label") === name);
  if (found !== undefined) {
    const value = textAt(found, "value") ?? "";
    if (value === "") throw new SourceError(`field "${name}" resolved to empty value`, { fault: "value" });
    return value;
  }
  const fault = "field";
  if (section === undefined) {
    throw new SourceError(`field "${name}" not found on item; ${itHas(fields)}`, { fault });
  }
  const sectionExists =
    candidates.length > 0 ||
    sections.some((one) => textAt(one, "id") === section || textAt(one, "label") === section);
  if (!sectionExists) {
    throw new SourceError(`section "${section}" not found on item; ${itHas(sections)}`, { fault });
  }
  const message = `field "${name}" in section "${section}" not found on item; ${itHas(candidates)}`;
  throw new SourceError(message, { fault });
}

/** Names of what there is, never values; few and short, for they come from outside. */
function itHas(parts: readonly unknown[]): string {
  const names = parts
    .map((part) => textAt(part, "label") || textAt(part, "id") || "")
    .filter((name) => name !== "");
  if (names.length === 0) return "it has none";
  const shown = [...new Set(names)].slice(0, 20).map((name) => name.slice(0, 60).replace(/\p{C}/gu, "?"));
  return `it has: ${shown.join(", ")}${names.length > 20 ? ", ..." : ""}`;
}

function unexpectedAnswer(): SourceError {
  return new SourceError(
    "the Connect server's answer has an unexpected form; does OP_CONNECT_HOST point at Connect?",
    { fault: "server" },
  );
}

function listAt(value: unknown, key: string): readonly unknown[] {
  const found = at(value, key);
  if (found === undefined || found === null) return [];
  if (!Array.isArray(found)) throw unexpectedAnswer();
  return found;
}
