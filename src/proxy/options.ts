import type { LineAuditSink } from "../audit/sink.ts";
import type { AuditRecord } from "../audit/types.ts";
import type { FindingRecord } from "../findings/types.ts";
import type { Locate } from "../config/issues.ts";
import type { Authentication } from "../listeners/context.ts";
import type { Logger } from "../log/logger.ts";
import type { ExchangeState } from "../pipeline/exchange.ts";
import type { Commons } from "../sources/commons.ts";
import type { Custody } from "../sources/custody.ts";
import type { CertificateAuthority } from "../tls/ca.ts";
import type { OwnAddress } from "../upstream/index.ts";
import type { Outcome } from "./record.ts";

/** What a proxy is started with besides its configuration. */
export interface ProxyOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly logger: Logger;
  /** Places of the configuration, for messages about what its transforms find wrong. */
  readonly locate: Locate;
  /** Signs the certificates that TLS is opened with; none is needed for `tls.mode: sni-only`. */
  readonly ca: CertificateAuthority | undefined;
  /** Checks `Proxy-Authorization`; everyone is let in where it is absent. */
  readonly authenticate?: (proxyAuthorization: string | undefined) => Authentication;
  /** Told of every exchange that ended. */
  readonly onOutcome?: (exchange: ExchangeState | undefined, outcome: Outcome) => void;
  /** Told of every audit record: exchanges, tunnels and refused connections. */
  readonly onRecord?: (record: AuditRecord) => void;
  /** Told of the records that are of no exchange: tunnels and refused connections. */
  readonly onConnection?: (record: AuditRecord) => void;
  /** Told of every record of a finding. */
  readonly onFinding?: (record: FindingRecord) => void;
  /** Told the hosts and networks of the rules, at the start and whenever a reload has put others in force. */
  readonly onHosts?: (hosts: readonly string[]) => void;
  /** Ports of this process besides the proxy's own listeners; none of them is ever an upstream (I11). */
  readonly ownAddresses?: () => readonly OwnAddress[];
  /** Ports that workers serve in place of listeners here. */
  readonly served?: readonly OwnAddress[];
  /** Asked for each policy: who keeps the credentials, where several processes share them. */
  readonly custody?: () => Custody;
  /** What several processes know together. */
  readonly commons?: Commons;
  /** 48 bytes, the same in all processes whose TLS sessions are to be resumed by each other. */
  readonly ticketKeys?: Buffer;
  /** Where records go, in place of what `audit` and `log` say. */
  readonly audit?: LineAuditSink;
  /** Told when records can no longer be written, and when they can again: whether traffic may pass. */
  readonly onAuditHealth?: (healthy: boolean) => void;
  /** Told of every exchange that begins; `record` gives what is known of it by then. */
  readonly onBegun?: (id: string, record: () => AuditRecord) => void;
}
