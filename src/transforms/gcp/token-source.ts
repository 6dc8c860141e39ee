import { formatDuration } from "../../config/duration.ts";
import type { BuildContext } from "../../pipeline/types.ts";
import type { Clock } from "../../sources/clock.ts";
import type { TokenSupply } from "../../sources/custody.ts";
import type { SecretHandle } from "../../sources/types.ts";
import { mintWith } from "../minting/minter.ts";
import { parseKeyfile, type ServiceAccount } from "./keyfile.ts";
import type { GoogleToken, MintContext } from "./mint.ts";
import type { GcpAuthConfig } from "./schema.ts";
import type { CheckTokenUrl } from "./token-hosts.ts";

/** What a test puts in place of the machine's own. */
export interface GcpOptions {
  /** For lifetimes and pauses. */
  readonly clock?: Clock;
  /** Milliseconds since 1970, for assertions and ID tokens. */
  readonly now?: () => number;
  readonly env?: NodeJS.ProcessEnv;
}

/** Parts that both transforms share while they are built. */
export interface Site {
  /** `gcp_auth` or `gcp_id_token`. */
  readonly name: string;
  readonly context: BuildContext;
  readonly options: GcpOptions;
  readonly checkUrl: CheckTokenUrl;
}

/**
 * Handle of the key file. A file that was replaced is noticed within a second or two, while requests go on with
 * the token there is; while the new one cannot be read, the old one stays.
 */
export function keyfileHandle(
  config: Pick<GcpAuthConfig, "keyfile_path" | "keyfile">,
  context: BuildContext,
): SecretHandle | undefined {
  if (config.keyfile !== undefined) return context.secret(["keyfile"], config.keyfile);
  if (!config.keyfile_path) return undefined;
  const source = { type: "file", path: config.keyfile_path, ttl: "1s", failure_ttl: "1s" };
  return context.secret(["keyfile_path"], source);
}

/** Mints with a key file; a new token is minted as soon as the file has other content. */
export function keyfileMinter(
  handle: SecretHandle,
  site: Site,
  mint: (account: ServiceAccount, context: MintContext) => Promise<GoogleToken>,
): TokenSupply<GoogleToken> {
  return minter(
    site,
    () => handle.get(),
    (keyfile, context) => mint(parseKeyfile(keyfile.reveal(), site.checkUrl), context),
  );
}

const noCredentials = {};

/** Mints with what is read by the mint itself. */
export function providerMinter(
  site: Site,
  mint: (context: MintContext) => Promise<GoogleToken>,
): TokenSupply<GoogleToken> {
  return minter(
    site,
    () => noCredentials,
    (_, context) => mint(context),
  );
}

function minter<Credentials extends object>(
  { name, context, options }: Site,
  credentials: () => Credentials | Promise<Credentials>,
  mint: (credentials: Credentials, context: MintContext) => Promise<GoogleToken>,
): TokenSupply<GoogleToken> {
  const { clock, now = Date.now } = options;
  return mintWith<Credentials, GoogleToken>(context.custody, {
    credentials,
    mint: async (current, signal) => mint(current, { dispatcher: context.dispatcher(), signal, now: now() }),
    onFailure({ reason, message }, retryInMs) {
      const retry_in = formatDuration(retryInMs);
      context.log("warn", `${name} mint failed`, { reason, error: message, retry_in });
    },
    onOutcome: (ok) => context.minted?.(name, ok),
    ...(clock === undefined ? {} : { clock }),
  });
}
