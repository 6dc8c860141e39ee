export * from "./error.ts";
export { createGuard } from "./guard.ts";
export type { IdentityOf, TlsIdentity } from "./identity.ts";
export { upstreamOptions } from "./options.ts";
export type * from "./types.ts";
export { Upstream } from "./upstream.ts";
