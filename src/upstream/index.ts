export * from "./error.ts";
export { createGuard } from "./guard.ts";
export { upstreamOptions } from "./options.ts";
export type * from "./types.ts";
export { Upstream } from "./upstream.ts";
