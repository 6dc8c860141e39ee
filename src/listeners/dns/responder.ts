// query ──▶ limits ──▶ record of ours · resolver (passthrough) · policy on the name ──▶ the proxy's own addresses

import type { AuditSink } from "../../audit/types.ts";
import { type Host, makeAuthority } from "../../http/authority.ts";
import { TunnelState } from "../../pipeline/exchange.ts";
import type { Decision, Pipeline } from "../../pipeline/pipeline.ts";
import type { Reason } from "../../reasons.ts";
import { connectionRecord } from "../record.ts";
import { failure, type OwnAnswer, type OwnRecord, relayAnswer, sizeLimit, writeAnswer } from "./answer.ts";
import type { Forwarder } from "./forwarder.ts";
import { classIn, encodeName, type Query, readQuery, recordTypes, responseCodes } from "./message.ts";
import type { RateLimit } from "./rate.ts";
import type { NameKind, Zone } from "./zone.ts";

/** Who asks. */
export interface DnsClient {
  readonly ip: string;
  readonly port: number;
  readonly transport: "udp" | "tcp";
}

/** Queries since the start, by what became of them. */
export interface DnsStats {
  /** Everything that could be read as a query. */
  queries: number;
  forwarded: number;
  /** Questions that no resolver answered. */
  failed: number;
  /** Names that policy refused. */
  refused: number;
  /** Over a client's rate, or that of all. */
  limited: number;
  malformed: number;
}

export interface ResponderOptions {
  zone(): Zone;
  pipeline(): Pipeline;
  /** Ports of TLS and HTTP that a client led here may connect to; a name is refused where policy admits none of them. */
  readonly ports: readonly number[];
  readonly forwarder: Forwarder;
  readonly rate: RateLimit;
  readonly audit: AuditSink;
  nextId(): string;
  warn(message: string, fields: Record<string, unknown>): void;
  debug(message: string, fields: Record<string, unknown>): void;
}

export interface Responder {
  /** The answer; nothing for what is not to be answered. Never throws. */
  respond(message: Buffer, client: DnsClient): Buffer | undefined | Promise<Buffer | undefined>;
  readonly stats: Readonly<DnsStats>;
}

/** CNAME records of ours that are followed for one question. */
const maxAliases = 8;
/** Records of refused names a second (I12); what is beyond is counted, and the log says how many. */
const maxRefusalRecords = 50;
/** A resolver that does not answer is reported once in this time, in milliseconds. */
const warnEveryMs = 60_000;

const { A, AAAA, CNAME, HINFO, ANY, AXFR, IXFR, HTTPS, SVCB } = recordTypes;
/** RFC 8482 section 4.2: the answer to "everything you have" is small. */
const anyRecord: OwnRecord = { type: HINFO, data: Buffer.from("\u0007RFC8482\0", "latin1") };
/** RFC 8914 section 4.16. */
const blocked = 15;

export function createResponder(options: ResponderOptions): Responder {
  const stats: DnsStats = { queries: 0, forwarded: 0, failed: 0, refused: 0, limited: 0, malformed: 0 };
  const auditRefusal = refusalAudit(options);
  let warnedAt = Number.NEGATIVE_INFINITY;

  const noAnswer = (query: Query, error: unknown): void => {
    stats.failed++;
    const text = error instanceof Error ? error.message : "failed";
    options.debug("dns resolver gave no answer", { name: query.name, error: text });
    const now = performance.now();
    if (now < warnedAt + warnEveryMs) return;
    warnedAt = now;
    options.warn("dns passthrough lookup failed", { name: query.name, error: text });
  };

  /** What a resolver says, except that no record of a name of ours may lead past the proxy. */
  const relayed = async (query: Query, limit: number): Promise<Buffer> => {
    stats.forwarded++;
    try {
      const answer = await options.forwarder.ask(query);
      const zone = options.zone();
      const leaks = answer.records.some(
        ({ type, owner }) => (type === HTTPS || type === SVCB) && zone.kindOf(owner).kind !== "passthrough",
      );
      return leaks ? writeAnswer(query, none, limit) : relayAnswer(query, answer, limit);
    } catch (error) {
      noAnswer(query, error);
      return failure(query, "serverFailure");
    }
  };

  /** Addresses that a resolver has for the target of an alias. */
  const lookedUp = async (query: Query, host: Host): Promise<OwnRecord[]> => {
    stats.forwarded++;
    const answer = await options.forwarder.ask({ ...query, question: questionFor(host, query) });
    return answer.records
      .filter(({ type, class: kind }) => type === query.type && kind === classIn)
      .map(({ type, data }) => ({ owner: host.name, type, data }));
  };

  const fixed = async (
    query: Query,
    kind: Extract<NameKind, { kind: "static" }>,
    limit: number,
  ): Promise<Buffer> => {
    const records = [...kind.records];
    let { alias } = kind;
    for (let left = maxAliases; alias !== undefined && left > 0; left--) {
      const host: Host = alias;
      const target = options.zone().kindOf(host.name);
      alias = undefined;
      if (target.kind === "static") {
        records.push(...target.records.map((record) => ({ ...record, owner: host.name })).filter(isAsked));
        alias = target.alias;
      } else if (target.kind === "intercept") {
        const own = options.zone().proxyRecords.filter(isAsked);
        records.push(...own.map((record) => ({ ...record, owner: host.name })));
      } else if (target.kind === "passthrough") {
        try {
          records.push(...(await lookedUp(query, host)));
        } catch (error) {
          noAnswer(query, error);
          return failure(query, "serverFailure");
        }
      }
    }
    return writeAnswer(query, { code: responseCodes.noError, records }, limit);

    function isAsked({ type }: OwnRecord): boolean {
      return type === query.type || type === CNAME;
    }
  };

  const intercepted = (
    query: Query,
    host: Host,
    client: DnsClient,
    limit: number,
  ): Buffer | Promise<Buffer> => {
    const zone = options.zone();
    const yes = (): Buffer => {
      const records = zone.proxyRecords.filter(({ type }) => type === query.type);
      return writeAnswer(query, { code: responseCodes.noError, records }, limit);
    };
    if (!zone.refuseDenied) return yes();
    const then = (decision: Decision | undefined): Buffer => {
      if (decision === undefined) return yes();
      stats.refused++;
      const reason = reasonOf(decision);
      auditRefusal(host, client, decision, reason);
      return writeAnswer(
        query,
        { code: responseCodes.nameError, because: { code: blocked, text: reason } },
        limit,
      );
    };
    const decision = admit(host, client, options);
    return decision instanceof Promise ? decision.then(then) : then(decision);
  };

  const answer = (query: Query, client: DnsClient): Buffer | Promise<Buffer> => {
    if (query.class !== classIn || query.type === AXFR || query.type === IXFR) {
      return failure(query, "refused");
    }
    const limit = sizeLimit(query, client.transport);
    const kind = options.zone().kindOf(query.name);
    if (kind.kind === "nowhere") return writeAnswer(query, { code: responseCodes.nameError }, limit);
    if (query.type === ANY) {
      return writeAnswer(query, { code: responseCodes.noError, records: [anyRecord] }, limit);
    }
    switch (kind.kind) {
      case "empty":
        return writeAnswer(query, none, limit);
      case "passthrough":
        return relayed(query, limit);
      case "intercept":
        return intercepted(query, kind.host, client, limit);
      case "static": {
        const follows = kind.alias !== undefined && (query.type === A || query.type === AAAA);
        if (follows) return fixed(query, kind, limit);
        const records = kind.records.filter(({ type }) => type === query.type || type === CNAME);
        return writeAnswer(query, { code: responseCodes.noError, records }, limit);
      }
    }
  };

  return {
    stats,
    respond(message, client) {
      const received = readQuery(message);
      if (received.kind === "ignored") return undefined;
      stats.queries++;
      if (!options.rate.take(client.ip)) {
        stats.limited++;
        // Over UDP the sender may be somebody else than the address says; whoever is served will ask again.
        if (client.transport === "udp") return undefined;
        return failure(received.kind === "query" ? received.query : received.asked, "refused");
      }
      if (received.kind === "mistake") {
        stats.malformed++;
        return writeAnswer(received.asked, { code: received.code }, sizeLimit(received.asked, "udp"));
      }
      const { query } = received;
      try {
        const answered = answer(query, client);
        return answered instanceof Promise ? answered.catch(() => failure(query, "serverFailure")) : answered;
      } catch {
        return failure(query, "serverFailure");
      }
    },
  };
}

/** The name exists and has nothing of this type. */
const none: OwnAnswer = { code: responseCodes.noError };

function questionFor(host: Host, query: Query): Buffer {
  return Buffer.concat([encodeName(host.name), query.question.subarray(-4)]);
}

/** The tunnel phase decides on the name (I2); nothing is resolved for that (I8). */
function admit(
  host: Host,
  client: DnsClient,
  options: ResponderOptions,
): Decision | undefined | Promise<Decision | undefined> {
  const steps = options.pipeline();
  const { ports } = options;
  const ask = (port: number) =>
    steps.tunnel(new TunnelState("sni", makeAuthority(host, port), clientText(client), undefined));
  const rest = async (first: Promise<Decision | undefined>, index: number): Promise<Decision | undefined> => {
    let decision = await first;
    for (let at = index; decision !== undefined && at < ports.length; at++) {
      decision = await ask(ports[at] as number);
    }
    return decision;
  };
  let decision: Decision | undefined;
  for (const [index, port] of ports.entries()) {
    const answer = ask(port);
    if (answer instanceof Promise) return rest(answer, index + 1);
    decision = answer;
    if (decision === undefined) break;
  }
  return decision;
}

function reasonOf({ verdict }: Decision): Reason {
  return verdict.kind === "reject" ? verdict.reason : "host_not_allowed";
}

function clientText({ ip, port }: DnsClient): string {
  return ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`;
}

/** One record for each refused question, as far as the number of records a second allows. */
function refusalAudit(options: ResponderOptions) {
  let second = 0;
  let written = 0;
  let unrecorded = 0;
  return (host: Host, client: DnsClient, decision: Decision, reason: Reason): void => {
    const now = Math.floor(performance.now() / 1000);
    if (now !== second) {
      second = now;
      written = 0;
      if (unrecorded > 0) options.warn("refused names without an audit record", { count: unrecorded });
      unrecorded = 0;
    }
    if (++written > maxRefusalRecords) {
      unrecorded++;
      return;
    }
    const facts = { remoteAddress: clientText(client), sni: undefined, tls: undefined, tunnel: undefined };
    options.audit.write(
      connectionRecord(
        options.nextId(),
        { client: { ...facts, caller: undefined }, tunnel: undefined },
        {
          method: "DNS",
          host: host.name,
          action: decision.error === undefined ? "reject" : "error",
          status: 0,
          reason,
          rejectedBy: decision.by,
          error: decision.error,
        },
      ),
    );
  };
}
