/** The proxy as a library: what `sallyport start` is made of. */

export { formatIssue, type Issue } from "./config/issues.ts";
export { loadConfig } from "./config/load.ts";
export type { Config } from "./config/types.ts";
export { createLogger, type Logger } from "./log/logger.ts";
export { type BoundAddresses, ConfigurationError, Proxy, type ProxyOptions } from "./proxy/proxy.ts";
export { loadCa } from "./tls/ca.ts";
export { ephemeralCa } from "./tls/ca-create.ts";
