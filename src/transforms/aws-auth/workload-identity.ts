import type { BuildContext } from "../../pipeline/types.ts";
import type { Clock } from "../../sources/clock.ts";
import { MintError } from "../minting/mint-error.ts";
import { Minter, type Perishable } from "../minting/minter.ts";
import { CredentialError, type CredentialSource, signerOf } from "./credentials.ts";
import type { AwsKeys, Signer } from "./sigv4.ts";

/** Loads the proxy's own AWS keys: the SDK's chain, whose answer is not taken on trust. */
export type KeyProvider = () => Promise<Partial<AwsKeys> | undefined>;

export interface WorkloadIdentityOptions {
  readonly provide: KeyProvider;
  readonly log: BuildContext["log"];
  readonly minted?: BuildContext["minted"];
  /** Milliseconds since 1970: what the expiry of keys is compared with. */
  readonly now: () => number;
  readonly clock?: Clock | undefined;
}

interface LoadedKeys extends Perishable {
  readonly signer: Signer;
}

const unavailable = "no keys from the environment, web identity, profile, container or instance metadata";

/** Keys without an expiry are looked up again when the minter's own limit for that is over. */
const withoutCredentials = {};

/**
 * The proxy's own AWS identity, kept as minted tokens are: loaded once for all who wait, renewed behind a request
 * before it expires, and left alone for a growing pause after a failure.
 */
export function workloadIdentity({
  provide,
  log,
  minted,
  now,
  clock,
}: WorkloadIdentityOptions): CredentialSource {
  const minter = new Minter<object, LoadedKeys>({
    credentials: () => withoutCredentials,
    mint: () => load(provide, now),
    onFailure: ({ message }, retryInMs) => {
      log("warn", "aws_auth could not load its keys", { error: message, retry_ms: retryInMs });
    },
    onOutcome: (ok) => minted?.("aws_auth", ok),
    ...(clock === undefined ? {} : { clock }),
  });
  return {
    name: "workload_identity",
    get() {
      const keys = minter.get();
      return keys instanceof Promise ? keys.then(({ signer }) => signer) : keys.signer;
    },
    close: () => minter.close(),
  };
}

/** The text of a foreign error may quote what a credential process printed: only our own is passed on (I14). */
async function load(provide: KeyProvider, now: () => number): Promise<LoadedKeys> {
  let keys: Partial<AwsKeys> | undefined;
  try {
    keys = await provide();
  } catch {
    throw new MintError("mint_failed", unavailable);
  }
  const { accessKeyId = "", secretAccessKey = "", sessionToken, expiration } = keys ?? {};
  const lifetimeMs = expiration === undefined ? undefined : expiration.getTime() - now();
  if (Number.isNaN(lifetimeMs)) throw new MintError("mint_failed", "the keys have an expiry that is no date");
  try {
    return { signer: signerOf({ accessKeyId, secretAccessKey, sessionToken }), lifetimeMs };
  } catch (error) {
    if (error instanceof CredentialError) throw new MintError("mint_failed", error.message);
    throw error;
  }
}
