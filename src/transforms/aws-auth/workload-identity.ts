import type { BuildContext } from "../../pipeline/types.ts";
import { type CredentialSource, CredentialError, signerOfProvider } from "./credentials.ts";
import type { AwsKeys, Signer } from "./sigv4.ts";

/** Loads the proxy's own AWS keys; the SDK's chain, or what a test puts in its place. */
export type KeyProvider = () => Promise<AwsKeys>;

export interface WorkloadIdentityOptions {
  readonly provide: KeyProvider;
  readonly log: BuildContext["log"];
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** Longest wait for a provider, in milliseconds. */
export const providerTimeout = 10_000;
/** Keys are loaded again so long before they expire, or after half their life where that is shorter. */
const refreshAhead = 300_000;
/** Pause after the first failure in a row; it doubles up to the longest, so that an issuer is not hammered. */
const firstPause = 1000;
const longestPause = 60_000;

const unavailable = "no keys from the environment, web identity, profile, container or instance metadata";

/**
 * The proxy's own AWS identity. One load at a time serves all who wait; keys that will expire are loaded again
 * behind the request that notices, and keys that have expired are never used.
 */
export function workloadIdentity({ provide, log, now }: WorkloadIdentityOptions): CredentialSource {
  let signer: Signer | undefined;
  let refreshAt = 0;
  let expiresAt = 0;
  let failures = 0;
  let retryAt = 0;
  let flight: Promise<Signer> | undefined;

  const load = async (): Promise<Signer> => {
    try {
      const keys = await withTimeout(provide());
      const loadedAt = now();
      const end = keys.expiration?.getTime() ?? Number.POSITIVE_INFINITY;
      if (!(end > loadedAt)) throw new CredentialError("workload_identity: the keys have expired already");
      signer = signerOfProvider(keys);
      expiresAt = end;
      refreshAt = Math.max(end - refreshAhead, loadedAt + (end - loadedAt) / 2);
      failures = 0;
      return signer;
    } catch (error) {
      const pause = Math.min(longestPause, firstPause * 2 ** failures);
      failures = Math.min(failures + 1, 16);
      retryAt = now() + pause;
      const failure = reported(error);
      log("warn", "aws_auth could not load credentials", { error: failure.message, retry_ms: pause });
      throw failure;
    } finally {
      flight = undefined;
    }
  };

  return {
    name: "workload_identity",
    get() {
      const time = now();
      if (signer !== undefined && time < refreshAt) return signer;
      const usable = signer !== undefined && time < expiresAt ? signer : undefined;
      if (flight === undefined) {
        if (time < retryAt) {
          if (usable !== undefined) return usable;
          throw new CredentialError(`workload_identity: ${unavailable}; the next attempt follows shortly`);
        }
        flight = load();
        flight.catch(() => {}); // reported by load; a refresh has nobody who waits
      }
      return usable ?? flight;
    },
  };
}

/** The text of a foreign error may quote what a credential process printed: only our own is passed on (I14). */
function reported(error: unknown): CredentialError {
  return error instanceof CredentialError ? error : new CredentialError(`workload_identity: ${unavailable}`);
}

/** The provider goes on in the background; what it gives after the time-out is dropped. */
function withTimeout(pending: Promise<AwsKeys>): Promise<AwsKeys> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new CredentialError("workload_identity: loading the keys took too long"));
    }, providerTimeout);
    timer.unref();
    pending.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
