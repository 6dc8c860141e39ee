import { type Document, isAlias, isMap, isSeq, parseDocument, stringify, type YAMLMap, YAMLSeq } from "yaml";
import { insertionIndex, managedTransforms } from "../../tools/insert.ts";
import type { RenderedTransform } from "../../tools/index.ts";
import { CliError } from "../io.ts";
import type { Base } from "./find.ts";

/** What goes into a base. */
export interface Addition {
  readonly transforms: readonly RenderedTransform[];
  readonly allowHeaders: readonly string[];
}

/** Lines are not folded, and what is equal is written twice: the text says what it says wherever it is read. */
const format = { lineWidth: 0, aliasDuplicateObjects: false } as const;

/**
 * The configuration with the rendered transforms in it; without a base, they alone. Comments and the order of keys stay.
 *
 * A base with a `tools:` section has the section replaced by what it stands for, and keeps what else is written there. In
 * any other base the transforms that are rendered take the place of those of their kinds, so that the result of one
 * rendering is the base of the next.
 * @returns the text, and a line for each thing that was taken out
 */
export function renderBase(
  base: Base | undefined,
  { transforms, allowHeaders }: Addition,
): { readonly text: string; readonly notes: readonly string[] } {
  if (base === undefined) return { text: stringify({ transforms }, format), notes: [] };
  const document = parseDocument(base.text, { merge: true, uniqueKeys: false, logLevel: "error" });
  const notes: string[] = [];
  const isSection = document.has("tools");
  if (isSection) document.delete("tools");
  if (document.delete("postgres"))
    notes.push(`${base.name}: note: postgres is taken out; it is not supported yet`);
  const list = listOf(document, base);
  for (const [index, item] of [...list.items.entries()].toReversed()) {
    const name = nameOf(item, document);
    if (isSection || !managedTransforms.includes(name ?? "")) continue;
    list.items.splice(index, 1);
    notes.unshift(`${base.name}: note: transforms[${index}] (${name}) gives way to what is rendered`);
  }
  for (const item of list.items) {
    if (nameOf(item, document) === "header_allowlist")
      addHeaders(mapOf(item, document), allowHeaders, document);
  }
  const names = list.items.map((item) => nameOf(item, document));
  const nodes = transforms.map((transform) => document.createNode(transform, format));
  list.items.splice(insertionIndex(names), 0, ...nodes);
  return { text: textOf(document, base), notes };
}

/** The list of transforms, made where there is none. */
function listOf(document: Document, base: Base): YAMLSeq {
  const written = document.get("transforms", true);
  const node = isAlias(written) ? written.resolve(document) : written;
  if (isSeq(node) && node.items.length === base.entries) return node;
  if (base.entries > 0) {
    throw new CliError(
      `${base.name}: write the entries of transforms out; they come from a merge key, or some are wrong`,
    );
  }
  const list = new YAMLSeq();
  document.set("transforms", list);
  return list;
}

function mapOf(item: unknown, document: Document): YAMLMap | undefined {
  const node = isAlias(item) ? item.resolve(document) : item;
  return isMap(node) ? node : undefined;
}

function nameOf(item: unknown, document: Document): string | undefined {
  const name = mapOf(item, document)?.get("name");
  return typeof name === "string" ? name : undefined;
}

function addHeaders(filter: YAMLMap | undefined, names: readonly string[], document: Document): void {
  const headers = filter?.getIn(["config", "headers"]);
  if (!isSeq(headers)) return;
  for (const name of names) headers.add(document.createNode(name));
}

function textOf(document: Document, base: Base): string {
  try {
    return document.toString({ lineWidth: 0 });
  } catch {
    // The only thing that can be wrong now: an alias without its anchor.
    throw new CliError(
      `${base.name}: an anchor stands in a transform that is taken out; write out what its alias repeats`,
    );
  }
}
