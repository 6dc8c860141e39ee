import { canonicalizePath, TargetError } from "../../http/target.ts";
import type { Exchange } from "../../pipeline/types.ts";
import { escapeForm, escapeSegment, formatBasic } from "./encodings.ts";
import type { InjectEntry, ReplaceEntry } from "./entry.ts";
import { decodePercent, replaceEncodedOccurrences, replaceOccurrences } from "./occurrences.ts";
import type { Found, FoundInBody, FoundInHeader, FoundInQuery } from "./search.ts";

/** Bytes of the credential an entry swaps in; `undefined` when it stays out of this request. */
export type ValueOf = (entry: ReplaceEntry) => string | undefined;

/** The credential would change which path the request is for. */
export class PathChangedError extends Error {
  override readonly name = "PathChangedError";
}

/**
 * Swaps the placeholders that were found.
 * @param found places this transform has claimed, as {@link search} gave them
 * @throws {PathChangedError} when the path would have a dot segment or another ambiguity (I3)
 */
export function writeReplacements(exchange: Exchange, found: readonly Found[], valueOf: ValueOf): void {
  for (const place of found) {
    switch (place.kind) {
      case "header":
        writeHeader(exchange, place, valueOf);
        break;
      case "query":
        writeQuery(exchange, place, valueOf);
        break;
      case "path":
        writePath(exchange, place, valueOf);
        break;
      case "body":
        writeBody(exchange, place, valueOf);
        break;
    }
  }
  // Positions in `found` hold until here.
  for (const place of found) if (place.kind === "header") removeRivals(exchange, found, place);
}

function writeHeader({ request }: Exchange, found: FoundInHeader, valueOf: ValueOf): void {
  const text = replaceOccurrences(found.text, found.hits, valueOf);
  const value = found.basic === undefined ? text : formatBasic(found.basic, text);
  request.headers.setValueAt(found.index, value);
  if (found.spelling !== undefined) request.headers.renameAt(found.index, found.spelling);
}

/**
 * A second field of the same name could carry the workload's own credential to an upstream that reads only that one
 * (attack 44): Authorization has one field (RFC 9110 section 11.6.2), and `require` demands ours.
 */
function removeRivals({ request }: Exchange, found: readonly Found[], { place, hits }: FoundInHeader): void {
  if (place !== "authorization" && !hits.some(({ owner }) => owner.require)) return;
  const { headers } = request;
  if (headers.indexOf(place, headers.indexOf(place) + 1) < 0) return;
  const swapped = new Set<string>();
  for (const other of found)
    if (other.kind === "header" && other.place === place) swapped.add(headers.valueAt(other.index));
  for (let index = headers.size - 1; index >= 0; index--) {
    if (headers.keyAt(index) === place && !swapped.has(headers.valueAt(index))) headers.removeAt(index);
  }
}

function writeQuery({ request }: Exchange, { parameter, hits }: FoundInQuery, valueOf: ValueOf): void {
  const parameters = (request.query ?? "").split("&");
  const pair = parameters[parameter] as string;
  const start = pair.indexOf("=") + 1;
  const value = replaceEncodedOccurrences(pair.slice(start), hits, (entry) =>
    encoded(valueOf(entry), escapeForm),
  );
  parameters[parameter] = pair.slice(0, start) + value;
  request.query = parameters.join("&");
}

function writePath(exchange: Exchange, { hits }: Found, valueOf: ValueOf): void {
  const { path } = exchange.request;
  const changed = replaceEncodedOccurrences(path, hits, (entry) => encoded(valueOf(entry), escapeSegment));
  try {
    canonicalizePath(changed);
  } catch (error) {
    if (error instanceof TargetError) throw new PathChangedError("the path would be ambiguous");
    throw error;
  }
  exchange.setPath(changed);
}

function writeBody({ request }: Exchange, { text, hits, form, escape }: FoundInBody, valueOf: ValueOf): void {
  const replace = form ? replaceEncodedOccurrences : replaceOccurrences;
  const changed = replace(text, hits, (entry) => encoded(valueOf(entry), escape));
  request.body.replace(Buffer.from(changed, "latin1"));
}

function encoded(value: string | undefined, escape: (bytes: string) => string): string | undefined {
  return value === undefined ? undefined : escape(value);
}

/** Sets the header or query parameter of an inject entry; nothing the workload sent there is left. */
export function writeInjection({ request }: Exchange, { target }: InjectEntry, value: string): void {
  if (target.kind === "header") request.headers.set(target.name, value);
  else request.query = setParameter(request.query, target.name, value);
}

/** One parameter of that name, where the first one stood or at the end; the others stay byte for byte. */
function setParameter(query: string | undefined, name: string, value: string): string {
  const pair = `${escapeForm(name)}=${escapeForm(value)}`;
  if (query === undefined || query === "") return pair;
  const kept: string[] = [];
  let written = false;
  for (const parameter of query.split("&")) {
    const equals = parameter.indexOf("=");
    const spelling = equals < 0 ? parameter : parameter.slice(0, equals);
    if (decodePercent(spelling, true) !== name) kept.push(parameter);
    else if (!written) {
      kept.push(pair);
      written = true;
    }
  }
  if (!written) kept.push(pair);
  return kept.join("&");
}
