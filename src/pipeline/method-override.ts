import type { ExchangeRequest } from "./types.ts";

/** Fields by which frameworks let one method stand for another, in lower case. */
const overrideHeaders = ["x-http-method-override", "x-http-method", "x-method-override"];

/**
 * The method that an upstream may take a request for instead of its own: what an override field or a `_method`
 * parameter of the query names, in upper case. A rule that allows the one and not the other would be walked round
 * (attack 35).
 */
export function overridingMethods({ headers, query }: ExchangeRequest): string[] {
  let found: string[] | undefined;
  for (let index = 0; index < headers.size; index++) {
    if (!overrideHeaders.includes(headers.keyAt(index))) continue;
    (found ??= []).push(headers.valueAt(index).trim().toUpperCase());
  }
  if (query?.includes("method")) {
    for (const [name, value] of new URLSearchParams(query)) {
      if (name === "_method") (found ??= []).push(value.trim().toUpperCase());
    }
  }
  return found ?? none;
}

const none: string[] = [];
