import type { Exchange } from "../../pipeline/types.ts";
import { type Escape, escapeForm, escapeJson, escapeNothing, parseBasic } from "./encodings.ts";
import type { ReplaceEntry } from "./entry.ts";
import { decodePercent, type Needle, type Occurrence, occurrences } from "./occurrences.ts";

/** A place of a request in which placeholders stand. Offsets are in its decoded text. */
export type Found = FoundInHeader | FoundInQuery | FoundInPath | FoundInBody;

interface FoundBase {
  /** What {@link Exchange.claim} takes (I5). */
  readonly place: string;
  /** As the audit names it: `header:Authorization`, `query:key`, `path`, `body`. */
  readonly location: string;
  readonly hits: readonly Occurrence<ReplaceEntry>[];
}

export interface FoundInHeader extends FoundBase {
  readonly kind: "header";
  readonly index: number;
  /** The configured casing; `undefined` keeps the one of the wire. */
  readonly spelling: string | undefined;
  /** Scheme and spaces before Basic credentials, when the hits are in their decoded text. */
  readonly basic: string | undefined;
  readonly text: string;
}

export interface FoundInQuery extends FoundBase {
  readonly kind: "query";
  /** Index among the parameters, as `&` separates them. */
  readonly parameter: number;
}

export interface FoundInPath extends FoundBase {
  readonly kind: "path";
}

export interface FoundInBody extends FoundBase {
  readonly kind: "body";
  readonly text: string;
  readonly form: boolean;
  readonly escape: Escape;
}

/**
 * Every place where a placeholder of these entries stands: headers, then query, path and body.
 * @param entries whose rules match, in the order of the configuration
 * @param body the buffered body, where some entry searches it
 */
export function search(
  exchange: Exchange,
  entries: readonly ReplaceEntry[],
  body: Buffer | undefined,
): readonly Found[] {
  const found: Found[] = [];
  searchHeaders(exchange, entries, found);
  if (entries.some((entry) => entry.query)) searchQuery(exchange, entries, found);
  if (entries.some((entry) => entry.path)) searchPath(exchange, entries, found);
  if (body !== undefined) searchBody(exchange, entries, body, found);
  return found;
}

function searchHeaders({ request }: Exchange, entries: readonly ReplaceEntry[], found: Found[]): void {
  const { headers } = request;
  for (let index = 0; index < headers.size; index++) {
    const key = headers.keyAt(index);
    const value = headers.valueAt(index);
    const basic = key === "authorization" ? parseBasic(value) : undefined;
    let needles: Needle<ReplaceEntry>[] | undefined;
    let inBasic = false;
    for (const entry of entries) {
      const wanted = entry.placeholder;
      const decoded = basic?.decoded.includes(wanted) === true;
      if (!decoded && !value.includes(wanted)) continue;
      if (entry.headers?.match(key) === undefined) continue;
      inBasic ||= decoded;
      (needles ??= []).push({ text: wanted, owner: entry });
    }
    if (needles === undefined) continue;
    const text = inBasic && basic !== undefined ? basic.decoded : value;
    const hits = occurrences(text, longestFirst(needles));
    const spelling = spellingOf(key, hits);
    const location = `header:${spelling ?? headers.nameAt(index)}`;
    const prefix = inBasic ? basic?.prefix : undefined;
    found.push({ kind: "header", place: key, location, hits, index, spelling, basic: prefix, text });
  }
}

/** The casing the configuration gives, from the first entry that is in the header. */
function spellingOf(key: string, hits: readonly Occurrence<ReplaceEntry>[]): string | undefined {
  let first: ReplaceEntry | undefined;
  for (const { owner } of hits) if (first === undefined || owner.index < first.index) first = owner;
  return first?.headers?.match(key)?.spelling;
}

/** Values only: a name that is a credential is nothing an API has. */
function searchQuery({ request }: Exchange, entries: readonly ReplaceEntry[], found: Found[]): void {
  if (request.query === undefined || request.query === "") return;
  const needles = needlesOf(entries, (entry) => entry.query);
  for (const [parameter, pair] of request.query.split("&").entries()) {
    const equals = pair.indexOf("=");
    if (equals < 0) continue;
    const hits = occurrences(decodePercent(pair.slice(equals + 1), true), needles);
    if (hits.length === 0) continue;
    const place = `query:${decodePercent(pair.slice(0, equals), true)}`;
    found.push({ kind: "query", place, location: place, hits, parameter });
  }
}

function searchPath({ request }: Exchange, entries: readonly ReplaceEntry[], found: Found[]): void {
  const needles = needlesOf(entries, (entry) => entry.path);
  const hits = occurrences(decodePercent(request.path, false), needles);
  if (hits.length > 0) found.push({ kind: "path", place: ":path", location: "path", hits });
}

function searchBody(
  { request }: Exchange,
  entries: readonly ReplaceEntry[],
  body: Buffer,
  found: Found[],
): void {
  const type = mediaType(request.headers.get("content-type"));
  const form = type === "application/x-www-form-urlencoded";
  const json = type === "application/json" || type.endsWith("+json");
  const needles = json ? longestFirst(jsonNeedles(entries)) : needlesOf(entries, (entry) => entry.body);
  if (!form && !needles.some((needle) => body.includes(needle.text, 0, "latin1"))) return;
  const text = body.toString("latin1");
  const hits = occurrences(form ? decodePercent(text, true) : text, needles);
  if (hits.length === 0) return;
  const escape = json ? escapeJson : form ? escapeForm : escapeNothing;
  found.push({ kind: "body", place: ":body", location: "body", hits, text, form, escape });
}

/** Type and subtype of a Content-Type, lower case, without parameters. */
function mediaType(value: string | undefined): string {
  const semicolon = value?.indexOf(";") ?? -1;
  return (semicolon < 0 ? (value ?? "") : (value as string).slice(0, semicolon)).trim().toLowerCase();
}

function needlesOf(
  entries: readonly ReplaceEntry[],
  wants: (entry: ReplaceEntry) => boolean,
): Needle<ReplaceEntry>[] {
  return longestFirst(entries.filter(wants).map((entry) => ({ text: entry.placeholder, owner: entry })));
}

function jsonNeedles(entries: readonly ReplaceEntry[]): Needle<ReplaceEntry>[] {
  const searching = entries.filter((entry) => entry.body);
  return searching.flatMap((entry) => entry.jsonSpellings.map((text) => ({ text, owner: entry })));
}

function longestFirst(needles: Needle<ReplaceEntry>[]): Needle<ReplaceEntry>[] {
  return needles.length < 2 ? needles : needles.sort((left, right) => right.text.length - left.text.length);
}
