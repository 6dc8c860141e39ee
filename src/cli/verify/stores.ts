// Is 1Password Connect there, does it take the token, and does it have the vaults that references name?
import { findVault } from "../../sources/1password-connect.ts";
import { connectServer, type ConnectServer } from "../../sources/connect-server.ts";
import { nearest } from "../../config/nearest.ts";
import { textAt } from "../../sources/json.ts";
import { parseOpReference } from "../../sources/op-reference.ts";
import { SourceError } from "../../sources/types.ts";
import { printable } from "../../log/terminal.ts";
import type { Check } from "./check.ts";
import type { NamedSource, Subject } from "./subject.ts";

/** What is known of the Connect server before a credential is read. */
export interface ConnectFindings {
  readonly checks: readonly Check[];
  /** Why the credentials of a vault need not be tried; `undefined` where they do. */
  blocked(vault: string): string | undefined;
  /** Titles of the vault's items, for "did you mean"; empty where they cannot be listed. */
  titles(vault: string): Promise<readonly string[]>;
}

const nothingFound: ConnectFindings = {
  checks: [],
  blocked: () => undefined,
  titles: () => Promise.resolve([]),
};

/** Names from outside that are shown in one line. */
const maxShownNames = 12;

export async function checkConnect(
  { sources, env, upstream }: Subject,
  signal: AbortSignal,
): Promise<ConnectFindings> {
  const vaults = [...new Set(sources.flatMap((source) => vaultOf(source) ?? []))];
  if (vaults.length === 0) return nothingFound;
  const ofServer = (status: Check["status"], message: string, more: Partial<Check> = {}): Check => ({
    kind: "connect",
    subject: "Connect",
    status,
    message,
    ...more,
  });
  const unusable = (check: Check, why: string): ConnectFindings => ({
    ...nothingFound,
    checks: [check],
    blocked: () => why,
  });
  const missing = ["OP_CONNECT_HOST", "OP_CONNECT_TOKEN"].filter((name) => (env[name] ?? "").trim() === "");
  if (missing.length > 0) {
    const why = `${missing.join(" and ")} ${missing.length === 1 ? "is" : "are"} missing`;
    return unusable(ofServer("skip", `not asked: ${why}`), why);
  }
  const checks: Check[] = [];
  const blocked = new Map<string, string>();
  let server: ConnectServer;
  try {
    server = connectServer({ env, dispatcher: upstream?.operatorDispatcher }, signal);
    for (const vault of vaults) {
      const check = await checkVault(vault, server);
      checks.push(check);
      if (check.status === "fail")
        blocked.set(vault, `vault ${JSON.stringify(vault)} is not there for this token`);
    }
  } catch (error) {
    if (!(error instanceof SourceError)) throw error;
    const { message, fault = "server" } = error;
    const check = ofServer("fail", signal.aborted ? "no answer in time" : message, {
      cause: causeOf(fault),
      hint: serverHint(fault),
    });
    return unusable(check, "Connect cannot be used");
  }
  return {
    checks: [ofServer("ok", "answers, and takes the token"), ...checks],
    blocked: (vault) => blocked.get(vault),
    titles: (vault) => titlesIn(vault, server),
  };
}

/** @throws {SourceError} where it is not about the vault */
async function checkVault(name: string, server: ConnectServer): Promise<Check> {
  const shown = JSON.stringify(name);
  const check = { kind: "vault", subject: `vault ${shown}` } as const;
  try {
    await findVault(name, server);
    return { ...check, status: "ok", message: "found" };
  } catch (error) {
    if (!(error instanceof SourceError) || error.fault !== "vault") throw error;
    const names = await namesAt("/v1/vaults", "name", server);
    const known = names.length === 0 ? "it can read no vault" : `it can read: ${shownNames(names)}`;
    const hint = `set OP_VAULT to the name or id as 1Password shows it, and give the Connect token access; ${known}`;
    return { ...check, status: "fail", message: error.message, cause: "vault", hint };
  }
}

async function titlesIn(vault: string, server: ConnectServer): Promise<readonly string[]> {
  try {
    return await namesAt(`/v1/vaults/${await findVault(vault, server)}/items`, "title", server);
  } catch (error) {
    if (error instanceof SourceError) return [];
    throw error;
  }
}

async function namesAt(path: string, key: string, server: ConnectServer): Promise<readonly string[]> {
  const list = await server.get(path);
  return Array.isArray(list) ? list.flatMap((entry: unknown) => textAt(entry, key) ?? []) : [];
}

function shownNames(names: readonly string[]): string {
  const shown = names.slice(0, maxShownNames).map((name) => printable(name.slice(0, 60)));
  return `${shown.join(", ")}${names.length > maxShownNames ? ", ..." : ""}`;
}

/** The title that was most likely meant. */
export function nearestTitle(title: string, titles: readonly string[]): string | undefined {
  return nearest(title, titles.slice(0, 1000));
}

/** The vault of a reference that a Connect server is asked for. */
export function vaultOf({ config }: NamedSource): string | undefined {
  if (config.type !== "1password_connect") return undefined;
  const reference = parseOpReference(String(config["secret_ref"]));
  return "problem" in reference ? undefined : reference.vault;
}

function causeOf(fault: NonNullable<SourceError["fault"]>): Check["cause"] {
  return fault;
}

function serverHint(fault: NonNullable<SourceError["fault"]>): string {
  switch (fault) {
    case "token":
      return "make a new access token for this Connect server in 1Password, and put it into OP_CONNECT_TOKEN";
    case "rate_limit":
      return "wait for a minute; a longer tools.ttl means fewer reads";
    default:
      return "see that the Connect pod runs and that OP_CONNECT_HOST is its URL; a network policy may be in the way";
  }
}
