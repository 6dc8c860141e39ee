// The audit file of a proxy under test, as objects (I13).
import { closeSync, existsSync, openSync, readSync } from "node:fs";
import type { Canary } from "./canary.ts";
import { eventually } from "./wait.ts";

export interface TraceLine {
  readonly name: string;
  readonly action: string;
  readonly annotations?: Readonly<Record<string, unknown>>;
}

/** One line of the audit; `docs/audit.md` has the fields. */
export interface AuditLine {
  readonly level: string;
  readonly msg: "request";
  readonly audit: {
    readonly host: string;
    readonly method: string;
    readonly path: string;
    readonly remote_addr: string;
    readonly sni: string;
    readonly mode: string;
    readonly action: string;
    readonly status_code: number;
    readonly duration_ms: number;
    readonly request_id: string;
    readonly bytes_in: number;
    readonly bytes_out: number;
    readonly upstream_addr?: string;
    readonly reused?: boolean;
    readonly reason?: string;
    readonly tls?: { readonly client?: string; readonly upstream?: string };
    readonly http?: { readonly client: string; readonly upstream?: string };
    readonly caller?: string;
  };
  readonly tunnel?: { readonly target: string };
  readonly rejected_by?: string;
  readonly error?: string;
  readonly request_transforms?: readonly TraceLine[];
}

/** A finding; `docs/findings.md` has the fields. */
export interface FindingLine {
  readonly level: string;
  readonly msg: "finding";
  readonly finding: {
    readonly kind: string;
    readonly action: string;
    readonly secret?: string;
    readonly where: string;
    readonly count: number;
    readonly repeated?: number;
    readonly host: string;
    readonly method: string;
    readonly remote_addr: string;
    readonly caller?: string;
    readonly request_id: string;
  };
}

export class AuditLog {
  readonly file: string;
  /** Every record, unless they are only counted. */
  readonly lines: AuditLine[] = [];
  /** Findings, which are of exchanges that have records too. */
  readonly findings: FindingLine["finding"][] = [];
  readonly #remember: boolean;
  readonly #hear: (chunk: Uint8Array) => void;
  readonly #expected = new Map<string, number>();
  /** Records of each client connection. */
  readonly #counts = new Map<string, number>();
  readonly #ids = new Set<string>();
  #total = 0;
  #offset = 0;
  #rest = "";

  /** @param remember false for runs of so many records that they are only to be counted */
  constructor(file: string, canary: Canary, remember = true) {
    this.file = file;
    this.#remember = remember;
    this.#hear = canary.listen("the audit");
  }

  /** Takes in what was written since the last time. */
  read(): readonly AuditLine[] {
    if (!existsSync(this.file)) return this.lines;
    const file = openSync(this.file, "r");
    const buffer = Buffer.alloc(1 << 16);
    for (;;) {
      const count = readSync(file, buffer, 0, buffer.length, this.#offset);
      if (count === 0) break;
      this.#offset += count;
      this.#hear(buffer.subarray(0, count));
      const parts = (this.#rest + buffer.toString("utf8", 0, count)).split("\n");
      this.#rest = parts.pop() ?? "";
      for (const part of parts) this.#take(JSON.parse(part) as AuditLine | FindingLine);
    }
    closeSync(file);
    return this.lines;
  }

  /**
   * The records of one client connection, tunnel included, once there are `count`. That it never became more is
   * checked at the end, by {@link check}: a record too many comes late or not at all.
   */
  async of(client: { readonly remote: string }, count: number): Promise<readonly AuditLine[]> {
    this.#expected.set(client.remote, count);
    return eventually(`${count} audit records of ${client.remote}`, () => {
      const own = this.#own(client.remote);
      return own.length >= count && own;
    });
  }

  /** Says how many records a connection is to have had in the end. */
  expect(remote: string, count: number): void {
    this.#expected.set(remote, count);
  }

  /** The findings of one client connection, once there are `count`. */
  async findingsOf(
    client: { readonly remote: string },
    count = 1,
  ): Promise<readonly FindingLine["finding"][]> {
    return eventually(`${count} findings of ${client.remote}`, () => {
      this.read();
      const own = this.findings.filter(({ remote_addr: remote }) => remote === client.remote);
      return own.length >= count && own;
    });
  }

  /** Record number `count` of a connection, which has none after it. */
  async last(client: { readonly remote: string }, count: number): Promise<AuditLine> {
    return (await this.of(client, count)).at(-1) as AuditLine;
  }

  /** Throws when a connection has other than the expected number of records, or two records share an id. */
  check(): void {
    this.read();
    for (const [remote, count] of this.#expected) {
      const own = this.#counts.get(remote) ?? 0;
      if (own === count) continue;
      const list = this.#own(remote).map(
        ({ audit }) => `${audit.method} ${audit.path} ${audit.action} ${audit.reason ?? ""}`,
      );
      throw new Error(`I13: ${remote} has ${own} audit records, not ${count}: ${list.join("; ")}`);
    }
    if (this.#ids.size !== this.#total) throw new Error("I13: two audit records have the same request_id");
  }

  /** Records so far. */
  get total(): number {
    return this.#total;
  }

  #take(line: AuditLine | FindingLine): void {
    if (line.msg === "finding") {
      this.findings.push(line.finding);
      return;
    }
    const { remote_addr: remote, request_id: id } = line.audit;
    this.#counts.set(remote, (this.#counts.get(remote) ?? 0) + 1);
    this.#ids.add(id);
    this.#total++;
    if (this.#remember) this.lines.push(line);
  }

  #own(remote: string): AuditLine[] {
    return this.read().filter(({ audit }) => audit.remote_addr === remote);
  }
}
