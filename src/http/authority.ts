/** A host in canonical form: the only spelling that is compared, dialled, logged and certified (I1). */
export interface Host {
  /** Lower case, no trailing dot, no brackets: `api.example.com`, `192.0.2.1`, `2001:db8::1`. */
  readonly name: string;
  readonly kind: "name" | "ipv4" | "ipv6";
}

/** The one verified `host:port` that a request is for (I1). */
export interface Authority {
  readonly host: Host;
  readonly port: number;
  /** `host:port`, IPv6 in brackets; equal authorities have equal text. */
  readonly text: string;
}
