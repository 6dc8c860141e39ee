import { decodePercent } from "../secrets/occurrences.ts";

/** One `name=value` of a query or a form, as it stands there and decoded. Byte strings. */
export interface Parameter {
  readonly raw: string;
  readonly name: string;
  readonly value: string;
}

/** The parameters of a query or an `application/x-www-form-urlencoded` body, in order. */
export function parseParameters(text: string): Parameter[] {
  if (text === "") return [];
  return text
    .split("&")
    .filter((raw) => raw !== "")
    .map((raw) => {
      const equals = raw.indexOf("=");
      const value = equals < 0 ? "" : decodePercent(raw.slice(equals + 1), true);
      return { raw, name: nameOf(raw), value };
    });
}

/** The text without the parameters of some names, however those are spelled; the others stay byte for byte. */
export function withoutParameters(text: string, names: ReadonlySet<string>): string {
  const parts = text.split("&");
  const kept = parts.filter((raw) => !names.has(nameOf(raw)));
  return kept.length === parts.length ? text : kept.join("&");
}

function nameOf(raw: string): string {
  const equals = raw.indexOf("=");
  return decodePercent(equals < 0 ? raw : raw.slice(0, equals), true);
}
