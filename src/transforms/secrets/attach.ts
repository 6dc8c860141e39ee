import type { Exchange, Rejection, Verdict } from "../../pipeline/types.ts";
import type { Secret } from "../../sources/types.ts";
import { expose } from "../exposure.ts";
import type { Entry, InjectEntry, ReplaceEntry } from "./entry.ts";
import { type Found, search } from "./search.ts";
import { PathChangedError, writeInjection, writeReplacements } from "./write.ts";

/** What is known of one request while its credentials are gathered. Nothing is written before all are there. */
interface Run {
  readonly exchange: Exchange;
  /** Entries whose rules match, in the order of the configuration. */
  readonly entries: readonly Entry[];
  readonly found: readonly Found[];
  /** Places of replace entries that this transform has claimed (I5). */
  readonly claimed: string[];
  readonly values: Map<ReplaceEntry, string>;
  readonly injections: { readonly entry: InjectEntry; readonly value: string }[];
  readonly unavailable: string[];
  allowed: boolean;
}

/**
 * Attaches the credentials of some entries to a request: looks for placeholders, asks the sources that are needed
 * (I4), claims each place in the order of the configuration (I5) and then writes everything in one pass (I7).
 * @param entries whose rules match, in the order of the configuration
 * @param body the buffered body, where some entry searches it
 * @returns a promise only while a source has to be waited for
 */
export function attachCredentials(
  exchange: Exchange,
  entries: readonly Entry[],
  body: Buffer | undefined,
): Verdict | Promise<Verdict> {
  const replacing = entries.filter((entry) => entry.kind === "replace");
  const found = replacing.length === 0 ? [] : search(exchange, replacing, body);
  const missing = replacing.find((entry) => entry.require && !isPresent(exchange, entry, found));
  if (missing !== undefined) return placeholderMissing(exchange, missing);
  const run: Run = {
    exchange,
    entries,
    found,
    claimed: [],
    values: new Map(),
    injections: [],
    unavailable: [],
    allowed: false,
  };
  return gather(run, 0);
}

/** Gets the credentials of the entries from one on. */
function gather(run: Run, from: number): Verdict | Promise<Verdict> {
  for (let index = from; index < run.entries.length; index++) {
    const entry = run.entries[index] as Entry;
    if (!isNeeded(run, entry)) continue;
    const secret = get(entry);
    if (secret instanceof Promise) return gatherLater(run, index, secret);
    const verdict = accept(run, entry, secret);
    if (verdict !== undefined) return verdict;
  }
  return write(run);
}

async function gatherLater(run: Run, index: number, pending: Promise<Secret>): Promise<Verdict> {
  const secret = await pending.catch(() => undefined);
  return accept(run, run.entries[index] as Entry, secret) ?? gather(run, index + 1);
}

/** `undefined` when the source failed: the cache has logged why, and the workload need not know. */
function get(entry: Entry): Secret | undefined | Promise<Secret> {
  try {
    return entry.handle.get();
  } catch {
    return undefined;
  }
}

/** False for an entry that has nothing to do here, or comes too late for every place it would write (I5). */
function isNeeded(run: Run, entry: Entry): boolean {
  const { exchange, found } = run;
  if (entry.kind === "inject") {
    if (!exchange.claimed(entry.place)) return true;
    exchange.annotate("skipped", "credential_already_applied");
    return false;
  }
  const hit = found.filter((place) => isHit(place, entry));
  if (hit.length === 0) return false;
  if (hit.some(({ place }) => isFree(run, place))) return true;
  exchange.annotate("skipped", "credential_already_applied");
  return false;
}

function isFree({ exchange, claimed }: Run, place: string): boolean {
  return claimed.includes(place) || !exchange.claimed(place);
}

function isHit({ hits }: Found, entry: ReplaceEntry): boolean {
  return hits.some(({ owner }) => owner === entry);
}

/** Takes a credential that came, unless it may not go out or does not fit where it is to stand. */
function accept(run: Run, entry: Entry, secret: Secret | undefined): Verdict {
  const { exchange } = run;
  if (secret === undefined) return unavailable(run, entry);
  if (!run.allowed) {
    const forbidden = exchange.attachable();
    if (forbidden !== undefined) return rejected(exchange, entry, forbidden);
    run.allowed = true;
  }
  const { bytes, fitsHeader, failure, unusable, exposed } = entry.prepare(secret);
  if (failure !== undefined) return formatterFailed(exchange, entry, failure);
  if (unusable !== undefined) return invalid(exchange, entry, unusable);
  if (entry.kind === "inject") {
    if (entry.target.kind === "header" && !fitsHeader) return invalid(exchange, entry, unfitForHeader);
    if (!exchange.claim(entry.place)) return undefined;
    run.injections.push({ entry, value: bytes });
    expose(exchange, exposed);
    return undefined;
  }
  for (const place of run.found) {
    if (!isHit(place, entry) || !isFree(run, place.place)) continue;
    if (place.kind === "header" && !fitsHeader) return invalid(exchange, entry, unfitForHeader);
    if (!run.claimed.includes(place.place) && exchange.claim(place.place)) run.claimed.push(place.place);
  }
  run.values.set(entry, bytes);
  expose(exchange, exposed);
  return undefined;
}

/** Writes what was gathered and notes it for the audit. */
function write({ exchange, found, claimed, values, injections, unavailable }: Run): Verdict {
  const swaps = found.filter(({ place }) => claimed.includes(place));
  if (swaps.length > 0) {
    try {
      writeReplacements(exchange, swaps, (entry) => values.get(entry));
    } catch (error) {
      const owner = swaps.find(({ kind }) => kind === "path")?.hits[0]?.owner;
      if (!(error instanceof PathChangedError) || owner === undefined) throw error;
      return invalid(exchange, owner, unfitForPath);
    }
    const swapped = [...values.keys()].map((entry) => ({
      secret: entry.handle.name,
      locations: swaps.filter((place) => isHit(place, entry)).map(({ location }) => location),
    }));
    exchange.annotate("swapped", swapped);
  }
  if (injections.length > 0) {
    for (const { entry, value } of injections) writeInjection(exchange, entry, value);
    const injected = injections.map(({ entry: { handle, location } }) => ({
      secret: handle.name,
      locations: [location],
    }));
    exchange.annotate("injected", injected);
  }
  if (unavailable.length > 0) exchange.annotate("secret_unavailable", unavailable);
  return undefined;
}

/**
 * `require` asks that the workload sent the placeholder. Another entry may have taken it, and an earlier transform may
 * have put its own credential over it: neither makes the request unauthenticated.
 */
function isPresent(exchange: Exchange, entry: ReplaceEntry, found: readonly Found[]): boolean {
  for (const { hits } of found) {
    if (hits.some(({ owner }) => owner.placeholder === entry.placeholder)) return true;
  }
  const { headers } = exchange.request;
  for (let index = 0; index < headers.size; index++) {
    const key = headers.keyAt(index);
    if (entry.headers?.match(key)?.spelling !== undefined && exchange.claimed(key)) return true;
  }
  return false;
}

const unfitForHeader = "has a line break or another control character and cannot be put in a header";
const unfitForPath = "has a dot segment, a backslash or a line break and cannot be put in a path";

function unavailable({ exchange, unavailable }: Run, entry: Entry): Verdict {
  if (!entry.passUnavailable) {
    return rejected(exchange, entry, { kind: "reject", status: 403, reason: "secret_unavailable" });
  }
  unavailable.push(entry.handle.name);
  return undefined;
}

function formatterFailed(exchange: Exchange, entry: Entry, failure: string): Rejection {
  const detail = `The formatter of the secret ${entry.handle.name} failed: ${failure}.`;
  return rejected(exchange, entry, { kind: "reject", status: 502, reason: "transform_failed", detail });
}

function invalid(exchange: Exchange, entry: Entry, problem: string): Rejection {
  const detail = `The value of the secret ${entry.handle.name} ${problem}.`;
  return rejected(exchange, entry, { kind: "reject", status: 403, reason: "secret_invalid", detail });
}

function placeholderMissing(exchange: Exchange, entry: ReplaceEntry): Rejection {
  const detail = "The request must carry the placeholder of its credential where the proxy looks for it.";
  return rejected(exchange, entry, { kind: "reject", status: 403, reason: "placeholder_missing", detail });
}

function rejected(exchange: Exchange, entry: Entry, rejection: Rejection): Rejection {
  exchange.annotate("rejected", entry.handle.name);
  exchange.annotate("reject_reason", rejection.reason);
  return rejection;
}
