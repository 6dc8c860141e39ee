import type { Dispatcher } from "undici";
import { textAt } from "../../sources/json.ts";
import { Secret } from "../../sources/types.ts";
import { hasControl, toByteString } from "../byte-string.ts";
import type { Credentials } from "../minting/credential-set.ts";
import { MintError } from "../minting/mint-error.ts";
import type { Minted } from "../minting/minter.ts";
import { lifetimeOf, requestToken, type TokenAnswer, tokenField } from "../minting/token-endpoint.ts";
import { grantRequest, type GrantSettings } from "./grants.ts";
import { refresh } from "./rotation.ts";
import type { RotationFile, RotationFileError } from "./rotation-file.ts";

/** How one entry mints. */
export interface MintSettings extends GrantSettings {
  /** URL of the token endpoint. */
  readonly endpoint: string;
  /** Names of `token_endpoint_headers`, with their casing. */
  readonly headerNames: readonly string[];
  readonly rotationFile: RotationFile | undefined;
  dispatcher(): Dispatcher;
  readonly onFileError: (error: RotationFileError) => void;
}

/** The name a header's value has among the credentials of its entry. */
export function headerField(name: string): string {
  return `token_endpoint_headers[${JSON.stringify(name)}]`;
}

/**
 * Gets one access token with the grant of an entry.
 * @param now milliseconds since 1970
 * @throws {MintError}
 */
export async function mintToken(
  settings: MintSettings,
  values: Credentials,
  signal: AbortSignal,
  now: () => number,
): Promise<Minted> {
  const exchange = async (refreshToken: string | undefined) => {
    const { form, authorization } = await grantRequest(settings, values, refreshToken, now());
    const answer = await requestToken({
      endpoint: settings.endpoint,
      form,
      headers: headersOf(settings, values, authorization),
      dispatcher: settings.dispatcher(),
      signal,
    });
    const rotated = textAt(answer.fields, "refresh_token");
    return { answer, refreshToken: rotated === "" ? undefined : rotated };
  };
  const configured = settings.grant === "refresh_token" ? values.get("refresh_token")?.reveal() : undefined;
  if (configured === undefined || configured === "") return tokenOf((await exchange(undefined)).answer);
  const { endpoint, rotationFile: file, onFileError } = settings;
  const { answer } = await refresh({ endpoint, configured, file, signal, onFileError }, exchange);
  // Only now: an answer of no use may still have replaced the refresh token.
  return tokenOf(answer);
}

function tokenOf(answer: TokenAnswer): Minted {
  return { token: new Secret(tokenField(answer, "access_token")), lifetimeMs: lifetimeOf(answer) };
}

function headersOf(
  { headerNames }: MintSettings,
  values: Credentials,
  authorization: string | undefined,
): ReadonlyMap<string, string> {
  const headers = new Map(authorization === undefined ? [] : [["Authorization", authorization]]);
  for (const name of headerNames) {
    const field = headerField(name);
    const bytes = toByteString(values.get(field)?.reveal() ?? "");
    if (hasControl(bytes)) {
      const problem = "has a line break or another control character and cannot be put in a header";
      throw new MintError("mint_failed", `the value of ${field} ${problem}`);
    }
    headers.set(name, bytes);
  }
  return headers;
}
