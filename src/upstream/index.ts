import type { Dispatcher } from "undici";
import type {
  ConnectOptions,
  RawConnection,
  UpstreamExchange,
  UpstreamHandlers,
  UpstreamOptions,
  UpstreamRequest,
  UpstreamStats,
  UpstreamTarget,
} from "./types.ts";

export * from "./error.ts";
export type * from "./types.ts";

/** Sends exchanges to upstreams. */
export declare class Upstream {
  constructor(options: UpstreamOptions);
  send(target: UpstreamTarget, request: UpstreamRequest, handlers: UpstreamHandlers): UpstreamExchange;
  connect(target: UpstreamTarget, options?: ConnectOptions): Promise<RawConnection>;
  readonly dispatcher: Dispatcher;
  readonly operatorDispatcher: Dispatcher;
  stats(): UpstreamStats;
  close(): Promise<void>;
  destroy(): void;
}
