import type { BuildContext } from "../../pipeline/types.ts";
import type { Clock } from "../../sources/clock.ts";
import { Secret } from "../../sources/types.ts";
import { MintError } from "../minting/mint-error.ts";
import { mintWith, type Perishable } from "../minting/minter.ts";
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
  readonly custody?: BuildContext["custody"];
}

interface LoadedKeys extends Perishable {
  readonly accessKeyId: Secret;
  readonly secretAccessKey: Secret;
  readonly sessionToken: Secret | undefined;
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
  custody,
}: WorkloadIdentityOptions): CredentialSource {
  const minter = mintWith<object, LoadedKeys>(custody, {
    credentials: () => withoutCredentials,
    mint: () => load(provide, now),
    onFailure: ({ message }, retryInMs) => {
      log("warn", "aws_auth could not load its keys", { error: message, retry_ms: retryInMs });
    },
    onOutcome: (ok) => minted?.("aws_auth", ok),
    ...(clock === undefined ? {} : { clock }),
  });
  let last: { readonly keys: LoadedKeys; readonly signer: Signer } | undefined;
  const sign = (keys: LoadedKeys): Signer => {
    if (last?.keys !== keys) last = { keys, signer: signerWith(keys) };
    return last.signer;
  };
  return {
    name: "workload_identity",
    get() {
      const keys = minter.get();
      return keys instanceof Promise ? keys.then(sign) : sign(keys);
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
    signerOf({ accessKeyId, secretAccessKey, sessionToken }); // keys that cannot sign are a failed mint
    return {
      accessKeyId: new Secret(accessKeyId),
      secretAccessKey: new Secret(secretAccessKey),
      sessionToken: sessionToken === undefined ? undefined : new Secret(sessionToken),
      lifetimeMs,
    };
  } catch (error) {
    if (error instanceof CredentialError) throw new MintError("mint_failed", error.message);
    throw error;
  }
}

function signerWith({ accessKeyId, secretAccessKey, sessionToken }: LoadedKeys): Signer {
  return signerOf({
    accessKeyId: accessKeyId.reveal(),
    secretAccessKey: secretAccessKey.reveal(),
    sessionToken: sessionToken?.reveal(),
  });
}
