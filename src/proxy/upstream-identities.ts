import { createHash, X509Certificate } from "node:crypto";
import { type Issue, issueAt, type Locate, type Path } from "../config/issues.ts";
import type { Config } from "../config/types.ts";
import type { Authority } from "../http/authority.ts";
import { compileRules, type Rules } from "../pipeline/rules.ts";
import type { SourceRegistry } from "../sources/registry.ts";
import { Secret, type SecretHandle, SourceError } from "../sources/types.ts";
import {
  certificateProblem,
  type ClientCertificate,
  contextFor,
  readRoots,
  upstreamRoots,
} from "../tls/roots.ts";
import { type IdentityOf, type TlsIdentity, UpstreamError } from "../upstream/index.ts";

export interface IdentityOptions {
  readonly sources: Pick<SourceRegistry, "handle">;
  readonly locate: Locate;
  readonly file: string | undefined;
}

/** What `tls.client_certificates` and `tls.upstream_roots` say, compiled. */
export interface UpstreamIdentities {
  /** Sources of certificates and keys. */
  readonly secrets: readonly SecretHandle[];
  /**
   * Reads the files with roots.
   * @param warn told, by name of the entry's sources, of certificates that will not do; nothing in it is secret
   * @throws {RootsError}
   */
  open(
    env: NodeJS.ProcessEnv,
    warn: (message: string, fields: Record<string, unknown>) => void,
  ): OpenIdentities;
}

export interface OpenIdentities {
  /** `undefined` where no host has an identity of its own. */
  readonly identityOf: IdentityOf | undefined;
  /** Makes every client certificate ready, or warns about it. */
  check(): Promise<void>;
}

interface RootsEntry {
  readonly rules: Rules;
  readonly file: string;
}

interface CertificateEntry {
  readonly rules: Rules;
  readonly cert: SecretHandle;
  readonly key: SecretHandle;
}

/** Compiles both lists. Nothing is read yet. */
export function compileIdentities(
  config: Config,
  { sources, locate, file }: IdentityOptions,
): { identities: UpstreamIdentities; issues: Issue[] } {
  const issues: Issue[] = [];
  const place = { file: file ?? "(no configuration file)", locate };
  const reporter = (base: Path) => (severity: Issue["severity"], path: Path, message: string) => {
    const part = message.startsWith("unknown key") ? "key" : "value";
    issues.push(issueAt(severity, place, [...base, ...path], message, part));
  };
  const rulesOf = (base: Path, rules: Config["tls"]["upstreamRoots"][number]["rules"]): Rules => {
    const report = reporter([...base, "rules"]);
    return compileRules(rules, {
      ports: config.proxy.rulePorts,
      // A client certificate is a credential that no tool has declared.
      callers: "unlimited",
      error: (path, message) => report("error", path, message),
      warn: (path, message) => report("warning", path, message),
    });
  };
  const handleOf = (base: Path, source: CertificateConfig["cert"]): SecretHandle => {
    const report = reporter(base);
    return sources.handle(source, (path, message) => report("error", path, message));
  };
  const certificates = config.tls.clientCertificates.map(({ rules, cert, key }, index): CertificateEntry => {
    const base = ["tls", "client_certificates", index];
    return {
      rules: rulesOf(base, rules),
      cert: handleOf([...base, "cert"], cert),
      key: handleOf([...base, "key"], key),
    };
  });
  const roots = config.tls.upstreamRoots.map(({ rules, file: path }, index): RootsEntry => {
    return { rules: rulesOf(["tls", "upstream_roots", index], rules), file: path };
  });
  const secrets = certificates.flatMap(({ cert, key }) => [cert, key]);
  const { upstreamCa } = config.tls;
  return {
    issues,
    identities: {
      secrets,
      open: (env, warn) => open({ certificates, roots, upstreamCa, env, warn }),
    },
  };
}

type CertificateConfig = Config["tls"]["clientCertificates"][number];

/** What was made of a pair of values; also that nothing could be made of them. */
interface Made {
  readonly cert: Secret;
  readonly key: Secret;
  readonly identity: TlsIdentity | UpstreamFault;
}

/** Why there is no identity, for the operator. */
interface UpstreamFault {
  readonly fault: string;
}

function open({
  certificates,
  roots,
  upstreamCa,
  env,
  warn,
}: {
  certificates: readonly CertificateEntry[];
  roots: readonly RootsEntry[];
  upstreamCa: string | undefined;
  env: NodeJS.ProcessEnv;
  warn: (message: string, fields: Record<string, unknown>) => void;
}): OpenIdentities {
  if (certificates.length === 0 && roots.length === 0)
    return { identityOf: undefined, check: async () => {} };
  const common = upstreamRoots({ upstreamCa, env });
  const extra = roots.map(({ file }) => readRoots(file, "tls.upstream_roots"));
  /** By the numbers of the entries that made it; their combinations are the configuration's, not the workload's. */
  const made = new Map<string, Made>();
  const plain = new Map<string, TlsIdentity>();

  const rootsFor = (numbers: readonly number[]): string[] => [
    ...common,
    ...numbers.flatMap((number) => extra[number] ?? []),
  ];

  const withoutCertificate = (numbers: readonly number[]): TlsIdentity => {
    const key = numbers.join();
    const known = plain.get(key);
    if (known !== undefined) return known;
    const trusted = rootsFor(numbers);
    const identity = { id: idOf(trusted), context: contextFor(trusted, undefined) };
    plain.set(key, identity);
    return identity;
  };

  const withCertificate = (
    numbers: readonly number[],
    index: number,
    cert: Secret,
    key: Secret,
  ): TlsIdentity | UpstreamFault => {
    const place = `${numbers.join()}/${index}`;
    const known = made.get(place);
    if (known?.cert === cert && known.key === key) return known.identity;
    const pair = { cert: cert.reveal(), key: key.reveal() };
    const name = certificates[index]?.cert.name;
    let identity = identityFrom(pair, rootsFor(numbers));
    if ("fault" in identity) {
      warn("a client certificate cannot be used", { certificate: name, error: identity.fault });
      // A renewal reaches us in two pieces: until they fit, the pair before them is what there is.
      if (known !== undefined && "id" in known.identity) identity = known.identity;
    } else if (hasExpired(pair.cert)) warn("a client certificate has expired", { certificate: name });
    made.set(place, { cert, key, identity });
    return identity;
  };

  const identify: IdentityOf = (authority, mayPresent) => {
    const numbers = roots.flatMap(({ rules }, number) =>
      rules.admits(authority, undefined) ? [number] : [],
    );
    const index = mayPresent ? certificates.findIndex(({ rules }) => rules.admits(authority, undefined)) : -1;
    const entry = certificates[index];
    if (entry === undefined) return numbers.length === 0 ? undefined : withoutCertificate(numbers);
    const finish = (cert: Secret, key: Secret): TlsIdentity => {
      const identity = withCertificate(numbers, index, cert, key);
      if ("fault" in identity) throw unavailable(authority, identity.fault);
      return identity;
    };
    try {
      const cert = entry.cert.get();
      // The key may fail at once, and then nobody waits for this one.
      if (cert instanceof Promise) cert.catch(() => {});
      const key = entry.key.get();
      if (cert instanceof Secret && key instanceof Secret) return finish(cert, key);
      return Promise.all([cert, key]).then(
        (values) => finish(...values),
        (error: unknown) => {
          throw unavailable(authority, textOf(error));
        },
      );
    } catch (error) {
      throw error instanceof UpstreamError ? error : unavailable(authority, textOf(error));
    }
  };

  return {
    identityOf: identify,
    async check() {
      await Promise.all(
        certificates.map(async ({ cert, key }, index) => {
          try {
            withCertificate([], index, await cert.get(), await key.get());
          } catch {
            // The cache has a warning for a source that cannot be read.
          }
        }),
      );
    },
  };
}

function identityFrom(pair: ClientCertificate, trusted: readonly string[]): TlsIdentity | UpstreamFault {
  const problem = certificateProblem(pair);
  if (problem !== undefined) return { fault: problem };
  try {
    return { id: idOf([pair.cert, ...trusted]), context: contextFor(trusted, pair) };
  } catch {
    // Its text stays here: it is about a key (I14).
    return { fault: "OpenSSL does not take it, as it does with keys that are too short" };
  }
}

function unavailable(authority: Authority, detail: string): UpstreamError {
  return new UpstreamError({
    reason: "client_certificate_unavailable",
    leg: "tls",
    status: 502,
    message: `The client certificate for ${authority.host.name} cannot be had at the moment.`,
    detail,
  });
}

function textOf(error: unknown): string {
  return error instanceof SourceError ? error.message : "the source failed";
}

/** Equal for identities that are made of the same things, so that a reload keeps connections. */
function idOf(parts: readonly string[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part).update("\0");
  return hash.digest("base64url").slice(0, 22);
}

function hasExpired(cert: string): boolean {
  return new X509Certificate(cert).validToDate.getTime() < Date.now();
}
