import type { AuditRecord } from "../../audit/types.ts";
import { printable } from "../../log/terminal.ts";
import type { ExchangeState } from "../../pipeline/exchange.ts";
import type { Outcome } from "../../proxy/record.ts";
import { transformKinds } from "../../transforms/registry.ts";

/** Counts what happened to the requests of one run. */
export interface Summary {
  onRecord(record: AuditRecord): void;
  onOutcome(exchange: ExchangeState | undefined, outcome: Outcome): void;
  /** One line without a line break: `12 requests allowed, 9 with a credential (KEY 9), 2 refused (evil.example 2)`. */
  text(): string;
}

/** Names told apart; the workload chooses them (I12). */
const maxNames = 100;
const maxShown = 5;

export function createSummary(): Summary {
  let allowed = 0;
  let credentialed = 0;
  let strangers = 0;
  const credentials = new Counts();
  const refused = new Counts();
  const failed = new Counts();
  return {
    onRecord(record) {
      const { action, method, reason = "" } = record;
      if (reason === "caller_required") strangers++;
      else if (action === "error" || reason.startsWith("tls_"))
        failed.add(`${hostOf(record)} ${reason}`.trim());
      else if (action === "reject") refused.add(hostOf(record));
      else if (method !== "CONNECT") allowed++; // an open tunnel is no request yet
    },
    onOutcome(exchange, { action }) {
      if (exchange?.credentialed !== true || action === "reject" || action === "error") return;
      credentialed++;
      for (const name of credentialsOf(exchange)) credentials.add(name);
    },
    text() {
      const parts = [
        allowed === 0 ? "" : `${allowed} ${allowed === 1 ? "request" : "requests"} allowed`,
        credentialed === 0 ? "" : `${credentialed} with a credential${credentials.list()}`,
        refused.total === 0 ? "" : `${refused.total} refused${refused.list()}`,
        failed.total === 0 ? "" : `${failed.total} failed${failed.list()}`,
        strangers === 0 ? "" : `${strangers} sent without the proxy's password`,
      ];
      return parts.filter((part) => part !== "").join(", ") || "no requests";
    },
  };
}

/** Tunnels are recorded with their port, requests without the usual one. */
function hostOf({ method, host }: AuditRecord): string {
  return method === "CONNECT" ? host.replace(/:443$/, "") : host;
}

const credentialKinds = new Set(transformKinds.filter((kind) => kind.credential).map(({ name }) => name));

/** Credentials as the audit names them; the mechanism where it does not name them one by one. */
function credentialsOf({ requestTraces }: ExchangeState): Set<string> {
  const names = requestTraces.flatMap(({ name, annotations }) => {
    if (annotations === undefined || !credentialKinds.has(name)) return [];
    const named = [annotations["swapped"], annotations["injected"]]
      .filter(Array.isArray)
      .flat()
      .map((one: { secret: string }) => one.secret);
    return named.length > 0 ? named : [name];
  });
  return new Set(names);
}

/** How often each name came; all beyond the first hundred are counted as one. */
class Counts {
  total = 0;
  readonly #counts = new Map<string, number>();

  add(name: string): void {
    this.total++;
    const key = this.#counts.has(name) || this.#counts.size < maxNames ? name : "others";
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
  }

  /** ` (evil.example 2, other.example 1, and 3 more)`, most frequent first. */
  list(): string {
    const sorted = [...this.#counts].sort(([, one], [, other]) => other - one);
    const shown = sorted
      .slice(0, maxShown)
      .map(([name, count]) => `${printable(name) || "unknown"} ${count}`);
    if (sorted.length > maxShown) shown.push(`and ${sorted.length - maxShown} more`);
    return shown.length === 0 ? "" : ` (${shown.join(", ")})`;
  }
}
