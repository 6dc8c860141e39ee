// What the audit has to hold in the end, kept while the workload runs: one record for each exchange, by an id in its
// path, and the right number of records for each connection (I13).
import { createReadStream, existsSync } from "node:fs";
import { createInterface } from "node:readline";
import type { Canary } from "../harness/canary.ts";

/** How many records there may be. */
interface Range {
  /** For whoever has to find out why there were others. */
  readonly kind?: string;
  least: number;
  most: number;
}

interface Line {
  readonly msg: string;
  readonly audit: {
    readonly host: string;
    readonly path: string;
    readonly remote_addr: string;
    readonly request_id: string;
    readonly duration_ms: number;
    readonly reason?: string;
  };
}

/** What the audit came to. */
export interface Balance {
  readonly records: number;
  /** How often each reason was given. */
  readonly reasons: Readonly<Record<string, number>>;
}

const idOf = /(?:^|\/)(x\d+)(?=$|[./?])/;
/** Faults named at a time; one is enough to look for. */
const maxShown = 10;

export class Books {
  readonly #exchanges = new Map<string, Range>();
  readonly #connections = new Map<string, Range>();
  /** Connections whose address nobody got to know, as they failed too early. */
  #unknown = 0;
  #ids = 0;

  /** An id for an exchange, which is to be the last segment of its path or the first label of its host. */
  next(): string {
    return `x${++this.#ids}`;
  }

  /** The exchange has one record; `named` false where its record has no path. */
  sure(kind: string, id: string, remote?: string, named = true): void {
    this.#exchanges.set(id, { kind, least: named ? 1 : 0, most: named ? 1 : 0 });
    if (remote !== undefined) this.connection(remote, 1);
  }

  /** The exchange has at most one record: it met a fault, and may never have got as far as the proxy. */
  unsure(kind: string, id: string, remote?: string): void {
    this.#exchanges.set(id, { kind, least: 0, most: 1 });
    if (remote !== undefined) this.connection(remote, 0, 1);
  }

  /** The connection has so many records more, of tunnels or of its exchanges. */
  connection(remote: string, least: number, most = least): void {
    const range = this.#connections.get(remote);
    if (range === undefined) this.#connections.set(remote, { least, most });
    else {
      range.least += least;
      range.most += most;
    }
  }

  /** A connection could not be opened, or no further than the tunnel. */
  failed(): void {
    this.#unknown++;
  }

  /**
   * Compares it with the audit, once all of it is written.
   * @param files the audit, rotated files first
   * @param longestMs no exchange took longer, whatever the clock says
   * @throws {Error} when a record is missing, there is one too many, or one says what cannot be
   */
  async balance(files: readonly string[], canary: Canary, longestMs: number): Promise<Balance> {
    const byExchange = new Map<string, number>();
    const byConnection = new Map<string, number>();
    const reasons: Record<string, number> = {};
    const ids = new Set<string>();
    const faults: string[] = [];
    let records = 0;
    for (const file of files) {
      if (!existsSync(file)) continue;
      const hear = canary.listen(file);
      for await (const text of createInterface({ input: createReadStream(file) })) {
        hear(Buffer.from(text));
        const { msg, audit } = JSON.parse(text) as Line;
        if (msg !== "request") continue;
        records++;
        ids.add(audit.request_id);
        if (audit.reason !== undefined) reasons[audit.reason] = (reasons[audit.reason] ?? 0) + 1;
        const id = idOf.exec(audit.path)?.[1] ?? idOf.exec(audit.host)?.[1];
        if (id !== undefined) byExchange.set(id, (byExchange.get(id) ?? 0) + 1);
        byConnection.set(audit.remote_addr, (byConnection.get(audit.remote_addr) ?? 0) + 1);
        if (!(audit.duration_ms >= 0 && audit.duration_ms <= longestMs)) {
          faults.push(`${audit.path} took ${audit.duration_ms} ms`);
        }
      }
    }
    if (ids.size !== records) faults.push(`${records - ids.size} records have the request_id of another`);
    compare("exchange", this.#exchanges, byExchange, faults);
    compare("connection", this.#connections, byConnection, faults);
    const strangers = [...byConnection.keys()].filter((one) => isOurs(one) && !this.#connections.has(one));
    if (strangers.length > this.#unknown) {
      faults.push(`${strangers.length} connections that nobody made, such as ${strangers[0]}`);
    }
    if (faults.length === 0) return { records, reasons };
    const more = faults.length > maxShown ? `\n and ${faults.length - maxShown} more` : "";
    throw new Error(`I13: the audit is not exact:\n${faults.slice(0, maxShown).join("\n")}${more}`);
  }
}

/** The harness' clients have addresses of their own; those of libraries come from 127.0.0.1. */
function isOurs(remote: string): boolean {
  return !remote.startsWith("127.0.0.1:");
}

function compare(
  what: string,
  expected: ReadonlyMap<string, Range>,
  found: ReadonlyMap<string, number>,
  faults: string[],
): void {
  for (const [key, { kind = "", least, most }] of expected) {
    const count = found.get(key) ?? 0;
    if (count < least || count > most) {
      faults.push(
        `${what} ${key} (${kind}) has ${count} records, not ${least === most ? least : `${least} to ${most}`}`,
      );
    }
  }
  if (what !== "exchange") return;
  for (const key of found.keys())
    if (!expected.has(key)) faults.push(`a record of ${key}, which nobody made`);
}
