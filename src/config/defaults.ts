/**
 * Networks that are never dialled where `proxy.upstream_deny_cidrs` is absent: this machine, and the link it
 * is on, where the metadata services of clouds answer (I11).
 */
export const standardDenyCidrs: readonly string[] = [
  "0.0.0.0/8",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "::/128",
  "::1/128",
  "fe80::/10",
];

/** Where listeners stand when a file does not say: iron-proxy's. */
export const fileListeners = {
  http: { host: undefined, port: 80 },
  https: { host: undefined, port: 443 },
  tunnel: "off",
  metrics: { host: undefined, port: 9090 },
  dns: { host: undefined, port: 53 },
} as const;

/** Where they stand when there is no file: nothing that another machine can reach. */
export const embeddedListeners = {
  http: "off",
  https: "off",
  tunnel: { host: "127.0.0.1", port: 8080 },
  metrics: "off",
  dns: { host: undefined, port: 53 },
} as const;
