// What the proxy trusts on its upstream leg, and what a workload has to trust besides our CA.
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext, getCACertificates, type SecureContext } from "node:tls";
import { pemBlocks } from "./ca.ts";
import { toPem } from "./x509.ts";

/** A file with roots that cannot be used. The message names it and the setting that named it. */
export class RootsError extends Error {
  override readonly name = "RootsError";
}

export interface RootsOptions {
  /** PEM file trusted besides everything else: `tls.upstream_ca`. */
  readonly upstreamCa?: string | undefined;
  /** SSL_CERT_FILE replaces the system's roots, as for OpenSSL and Go; NODE_EXTRA_CA_CERTS adds to them. */
  readonly env: NodeJS.ProcessEnv;
}

/**
 * PEM texts of the trusted roots: the system's (the ones built into node where it has none) or SSL_CERT_FILE's,
 * then NODE_EXTRA_CA_CERTS', then `upstreamCa`'s. Throws RootsError for a file that is missing or holds no
 * certificate: a root that silently is not there fails later, far from its cause.
 */
export function upstreamRoots(options: RootsOptions): string[] {
  const { SSL_CERT_FILE: certFile = "", NODE_EXTRA_CA_CERTS: extra = "" } = options.env;
  return [
    ...(certFile === "" ? systemRoots() : readRoots(certFile, "SSL_CERT_FILE")),
    ...(extra === "" ? [] : readRoots(extra, "NODE_EXTRA_CA_CERTS")),
    ...(options.upstreamCa === undefined ? [] : readRoots(options.upstreamCa, "tls.upstream_ca")),
  ];
}

/**
 * One client context for all upstream connections: parsing some hundred roots takes longer than a handshake.
 * TLS 1.2 or newer. A certificate in the roots is trusted whether or not it signed itself, as Go and curl do.
 */
export function upstreamContext(options: RootsOptions): SecureContext {
  return contextFor(upstreamRoots(options), undefined);
}

/** A certificate for ourselves, with its private key; both PEM. */
export interface ClientCertificate {
  readonly cert: string;
  readonly key: string;
}

/**
 * The context for hosts that trust or present something of their own.
 * @param roots PEM texts
 */
export function contextFor(
  roots: readonly string[],
  certificate: ClientCertificate | undefined,
): SecureContext {
  return createSecureContext({
    ca: [...roots],
    minVersion: "TLSv1.2",
    allowPartialTrustChain: true,
    ...certificate,
  });
}

/**
 * What is wrong with a client certificate, or `undefined`; nothing of either text is in the answer (I14).
 */
export function certificateProblem({ cert, key }: ClientCertificate): string | undefined {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(cert);
  } catch {
    return "the certificate is not a certificate in PEM";
  }
  let privateKey: KeyObject;
  try {
    privateKey = createPrivateKey(key);
  } catch {
    // In the label of PKCS#8 (RFC 7468 section 11), in a header of older forms.
    return key.includes("ENCRYPTED")
      ? "the key is encrypted; give it without a password"
      : "the key is not a private key in PEM";
  }
  if (!certificate.checkPrivateKey(privateKey)) return "the key is not that of the certificate";
  return undefined;
}

/** PEM text for a workload's SSL_CERT_FILE and the like: our CA, then everything that `options` trusts. */
export function bundle(caPem: string, options: RootsOptions): string {
  return [caPem, ...upstreamRoots(options)].map((pem) => (pem.endsWith("\n") ? pem : `${pem}\n`)).join("");
}

/** The system's store lists many roots twice, by file and by hash. */
function systemRoots(): string[] {
  const system = new Set(getCACertificates("system"));
  return system.size > 0 ? [...system] : [...getCACertificates("bundled")];
}

/**
 * PEM texts of the certificates in a file.
 * @param setting what named the file, for errors
 * @throws {RootsError}
 */
export function readRoots(path: string, setting: string): string[] {
  let text: string;
  try {
    text = readFileSync(path, "latin1");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new RootsError(`${setting}: ${path} cannot be read (${code})`);
  }
  const blocks = pemBlocks(text).filter(({ label }) => label.endsWith("CERTIFICATE"));
  if (blocks.length === 0) throw new RootsError(`${setting}: ${path} holds no certificate in PEM`);
  return blocks.map(({ text: block }, index) => {
    try {
      return toPem("CERTIFICATE", new X509Certificate(block).raw);
    } catch {
      throw new RootsError(`${setting}: certificate ${index + 1} of ${path} cannot be decoded`);
    }
  });
}
