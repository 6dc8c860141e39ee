// Leaf certificates made on demand, one per host, kept as the SecureContexts that handshakes need.
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { createSecureContext, type SecureContext } from "node:tls";
import type { Sequence } from "asn1js";
import { LRUCache } from "lru-cache";
import type { Host } from "../http/authority.ts";
import { addressBytes } from "../http/ip-literal.ts";
import { CaError, type CertificateAuthority } from "./ca.ts";
import * as x509 from "./x509.ts";

const minute = 60_000;
const hour = 60 * minute;

/** How long a client may resume its TLS session, in seconds. */
const sessionTimeout = 2 * 3600;

/** The same for every host's context and every worker: OpenSSL resumes a session only under its own. */
const sessionIdContext = "sallyport";

export interface LeafOptions {
  /** Hosts whose leaf is kept; the one longest unused makes room. At least 1 (I12, attack 60). */
  readonly cacheSize: number;
  /** Lifetime of a leaf; it never outlives the CA. */
  readonly expiryHours: number;
  /** 48 bytes shared by processes that are to resume each other's sessions. Default: random. */
  readonly ticketKeys?: Buffer;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

interface Leaf {
  readonly context: SecureContext;
  /** From then on a request for the host makes a new leaf. Milliseconds since the epoch. */
  readonly renewAt: number;
}

export class LeafStore {
  /** Encrypt session tickets of every context, so that a session of one tunnel is resumed in the next. */
  readonly ticketKeys: Buffer;
  readonly #ca: CertificateAuthority;
  readonly #expiry: number;
  readonly #now: () => number;
  readonly #leaves: LRUCache<string, Leaf>;
  /** Leaves being signed, by host: one per host, each awaited by a handshake with its own deadline. */
  readonly #pending = new Map<string, Promise<SecureContext>>();
  /** What every leaf of this CA has, encoded once. */
  readonly #extensions: readonly Sequence[];
  #made = 0;

  /** Throws RangeError for a size or lifetime that is not positive, or keys that are not 48 bytes. */
  constructor(ca: CertificateAuthority, options: LeafOptions) {
    const { cacheSize, expiryHours, ticketKeys = randomBytes(48), now = Date.now } = options;
    if (!Number.isSafeInteger(cacheSize) || cacheSize < 1) {
      throw new RangeError(`the leaf cache needs a size of at least 1, not ${cacheSize}`);
    }
    if (!(expiryHours > 0)) throw new RangeError(`leaves need a lifetime above 0 hours, not ${expiryHours}`);
    if (ticketKeys.length !== 48) throw new RangeError("ticketKeys must be 48 bytes");
    this.#ca = ca;
    this.#expiry = expiryHours * hour;
    this.#now = now;
    this.ticketKeys = ticketKeys;
    this.#leaves = new LRUCache({ max: cacheSize });
    this.#extensions = [
      x509.basicConstraints(false),
      x509.keyUsage(x509.keyUsageBit.digitalSignature),
      x509.serverAuth(),
      x509.authorityKeyIdentifier(ca.keyId),
    ];
  }

  /**
   * The context to serve `host` with: at once when it is cached or the CA's key signs fast, else a promise
   * (RSA signatures are made off the main thread). Asked for one host at the same time, makes one leaf.
   * Rejects with CaError when the CA has expired, and never throws. Ask only after policy: a new host costs a
   * key and a signature (I8).
   */
  contextFor(host: Host): SecureContext | Promise<SecureContext> {
    const leaf = this.#leaves.get(host.name);
    if (leaf !== undefined && this.#now() < leaf.renewAt) return leaf.context;
    try {
      return this.#pending.get(host.name) ?? this.#make(host);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Whether `contextFor` answers without making a leaf. */
  has(host: Host): boolean {
    const leaf = this.#leaves.peek(host.name);
    return leaf !== undefined && this.#now() < leaf.renewAt;
  }

  /** Leaves in the cache. */
  get size(): number {
    return this.#leaves.size;
  }

  /** Leaves made so far. */
  get made(): number {
    return this.#made;
  }

  /** Drops every leaf. Connections in being keep theirs. */
  close(): void {
    this.#leaves.clear();
  }

  #make(host: Host): SecureContext | Promise<SecureContext> {
    const now = this.#now();
    const notBefore = Math.max(now - minute, this.#ca.notBefore);
    const notAfter = Math.min(now + this.#expiry, this.#ca.notAfter);
    if (now >= notAfter) {
      throw new CaError(
        `the CA certificate expired on ${new Date(this.#ca.notAfter).toISOString()}: replace it`,
      );
    }
    const { publicKey, privateKey } = newKey();
    // RFC 5280: a common name has at most 64 characters, and an empty subject makes the names critical.
    const subject = host.name.length <= 64 ? host.name : undefined;
    const fields: x509.CertificateFields = {
      subject: x509.commonName(subject),
      issuer: this.#ca.subject,
      notBefore: new Date(notBefore),
      notAfter: new Date(notAfter),
      publicKey,
      extensions: [
        ...this.#extensions,
        x509.subjectKeyIdentifier(x509.keyIdentifier(publicKey)),
        x509.subjectAltName([altName(host)], subject === undefined),
      ],
    };
    const keep = (der: Buffer): SecureContext => {
      const context = this.#contextOf(der, privateKey);
      this.#made++;
      this.#leaves.set(host.name, { context, renewAt: notAfter - (notAfter - now) / 10 });
      return context;
    };
    const { signer } = this.#ca;
    if (signer.key.asymmetricKeyType !== "rsa") return keep(x509.issueCertificate(fields, signer));
    const pending = x509
      .issueCertificateAsync(fields, signer)
      .then(keep)
      .finally(() => this.#pending.delete(host.name));
    this.#pending.set(host.name, pending);
    return pending;
  }

  #contextOf(der: Buffer, privateKey: string): SecureContext {
    return createSecureContext({
      cert: x509.toPem("CERTIFICATE", der) + this.#ca.chainPem,
      key: privateKey,
      ca: [], // no client certificates are asked for, so no roots to load
      minVersion: "TLSv1.2",
      sessionIdContext,
      sessionTimeout,
      ticketKeys: this.ticketKeys,
    });
  }
}

function newKey(): { publicKey: Buffer; privateKey: string } {
  return generateKeyPairSync("ec", {
    namedCurve: "P-256",
    publicKeyEncoding: { type: "spki", format: "der" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
}

function altName(host: Host): string | Uint8Array {
  return host.kind === "name" ? host.name : (addressBytes(host.name) ?? host.name);
}
