import { AuthorityError, hostFromConfig, isLoopbackHost, makeAuthority } from "../../http/authority.ts";
import type { BuildContext } from "../../pipeline/types.ts";
import { MintError } from "../minting/mint-error.ts";

/**
 * Refuses a URL of a key file that no token is to be asked for at. A key file comes from a file or a secret store; one
 * that somebody else wrote must not make the proxy send an assertion, or a request at all, wherever it likes.
 * @param what names the field in the error, which shows nothing of the URL: it may hold a password (I14)
 * @throws {MintError}
 */
export type CheckTokenUrl = (url: string, what: string) => void;

/**
 * Google's own hosts over https are always allowed, and so are the hosts that are configured. Plain http is for a
 * configured host on this machine alone.
 */
export function tokenHosts(
  configured: readonly string[],
  prefix: string,
  context: BuildContext,
): CheckTokenUrl {
  const allowed = new Set<string>();
  for (const [index, text] of configured.entries()) {
    const authority = authorityOf(text);
    if (authority === undefined) {
      const example = "write a host, with a port if it is not 443: idp.example.com, 127.0.0.1:8443";
      context.error(
        ["allow_token_uri", index],
        `${prefix}: ${JSON.stringify(text)} is not a host; ${example}`,
      );
    } else allowed.add(authority);
  }
  return (url, what) => {
    const parsed = URL.parse(url);
    if (parsed === null) throw new MintError("mint_failed", `${what} is not a URL`);
    if (parsed.username !== "" || parsed.password !== "") {
      throw new MintError("mint_failed", `${what} has a user name or password in it`);
    }
    const host = hostOf(parsed.hostname);
    const isPlain = parsed.protocol === "http:";
    if (host === undefined || !(parsed.protocol === "https:" || (isPlain && isLoopbackHost(host)))) {
      throw new MintError("mint_failed", `${what} is not an https URL`);
    }
    const port = parsed.port === "" ? (isPlain ? 80 : 443) : Number(parsed.port);
    if (!isPlain && port === 443 && isGoogles(host.name)) return;
    if (allowed.has(makeAuthority(host, port).text)) return;
    const remedy = "list its host in allow_token_uri if that is right";
    throw new MintError("mint_failed", `${what} is not at a host of Google's; ${remedy}`);
  };
}

/** Token endpoints of key files of all ages: `oauth2.googleapis.com`, `www.googleapis.com`, `accounts.google.com`. */
function isGoogles(name: string): boolean {
  return name.endsWith(".googleapis.com") || name === "accounts.google.com";
}

function authorityOf(text: string): string | undefined {
  const [, name = "", port = "443"] = /^(.*?)(?::(\d{1,5}))?$/.exec(text) ?? [];
  const host = hostOf(name);
  try {
    return host === undefined ? undefined : makeAuthority(host, Number(port)).text;
  } catch {
    return undefined; // a port out of range
  }
}

function hostOf(name: string) {
  try {
    return hostFromConfig(name);
  } catch (error) {
    if (error instanceof AuthorityError) return undefined;
    throw error;
  }
}
