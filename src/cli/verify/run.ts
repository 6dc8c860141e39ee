import type { OnePasswordClient } from "../../sources/1password.ts";
import type { AskedRequest } from "../explain/request.ts";
import type { Check } from "./check.ts";
import { checkCredentials } from "./credentials.ts";
import { checkRequest } from "./requests.ts";
import { checkCa, checkMode, checkVariables, checkVaultName } from "./settings.ts";
import { checkConnect } from "./stores.ts";
import { openSubject } from "./subject.ts";

export interface VerifyOptions {
  readonly file: string | undefined;
  readonly directories: readonly string[];
  readonly requests: readonly AskedRequest[];
  readonly env: NodeJS.ProcessEnv;
  /** For everything that needs the network, in milliseconds. */
  readonly timeoutMs: number;
  /** In place of 1Password's own client. */
  readonly onePassword?: ((token: string) => Promise<OnePasswordClient>) | undefined;
}

/**
 * Makes every check, whatever the ones before came to. Reads each credential once and keeps none.
 * @throws {CliError} exit code 2, for a request that is none
 */
export async function verify(options: VerifyOptions): Promise<readonly Check[]> {
  const { checks, subject } = openSubject(options);
  if (subject === undefined) return checks;
  const { timeoutMs: ms } = options;
  const signal = AbortSignal.timeout(ms);
  try {
    const settings = [...checkMode(subject), ...checkVaultName(subject), ...checkVariables(subject)];
    const ca = await checkCa(subject);
    const connect = await checkConnect(subject, signal);
    const credentials = await checkCredentials(subject, connect, { signal, ms });
    const requests: Check[] = [];
    for (const request of options.requests) requests.push(await checkRequest(request, subject));
    return [...checks, ...settings, ...ca, ...connect.checks, ...credentials, ...requests];
  } finally {
    await subject.close();
  }
}
