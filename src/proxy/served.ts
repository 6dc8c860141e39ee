import type { Locate } from "../config/issues.ts";
import type { Config } from "../config/types.ts";
import type { Transform } from "../pipeline/types.ts";
import type { SecretHandle } from "../sources/types.ts";
import type { BoundAddresses, Reloaded } from "./proxy.ts";
import type { ProxyStats } from "./stats.ts";

/** A proxy that serves, in this process or in several. */
export interface Served {
  readonly addresses: BoundAddresses;
  readonly transforms: readonly Transform[];
  /** Sources besides those of transforms: client certificates and their keys. */
  readonly identitySecrets: readonly SecretHandle[];
  /** Requests are taken, and every source has been asked once since the start. */
  readonly sourcesChecked: boolean;
  stats(): ProxyStats;
  /** Asks other processes for their counts, so that {@link stats} is of this moment; absent where there are none. */
  refresh?(): Promise<void>;
  /**
   * Puts another configuration in force: all of it everywhere, or nothing.
   * @throws {ConfigurationError} and the old one stays
   */
  reload(config: Config, locate: Locate): Reloaded | Promise<Reloaded>;
  reopenAudit(): void;
  stop(timeoutMs: number): Promise<void>;
  flushSync(): void;
}
