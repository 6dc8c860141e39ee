// Reads every credential that is declared, and says what is wrong where one cannot be had. Prints none.
import { formatDuration } from "../../config/duration.ts";
import { parseOpReference } from "../../sources/op-reference.ts";
import { SourceError } from "../../sources/types.ts";
import { referenceText } from "../../tools/index.ts";
import { secretsOf } from "../../tools/secrets-of.ts";
import { type Check, inParallel } from "./check.ts";
import { type ConnectFindings, nearestTitle, vaultOf } from "./stores.ts";
import type { NamedSource, Subject } from "./subject.ts";

/** Sources read at a time: a service with a rate limit is not to be met by all at once. */
const readsAtOnce = 8;

export async function checkCredentials(
  subject: Subject,
  connect: ConnectFindings,
  timeout: { readonly signal: AbortSignal; readonly ms: number },
): Promise<readonly Check[]> {
  if (subject.broken.has("tools.source")) return [];
  const declared = declaredNames(subject);
  const late = new Promise<never>((_, reject) => {
    const tooLate = () =>
      reject(new SourceError(`not read within ${formatDuration(timeout.ms)}`, { fault: "server" }));
    if (timeout.signal.aborted) tooLate();
    else timeout.signal.addEventListener("abort", tooLate, { once: true });
  });
  late.catch(() => {});
  return inParallel(distinct(subject.sources), readsAtOnce, async (source): Promise<Check> => {
    const { names = [], optional = false } = declared.get(referenceOf(source)) ?? {};
    const name = names.join(", ") || referenceOf(source);
    const from = names.length === 0 ? "" : ` from ${referenceOf(source)}`;
    const check = { kind: "credential", subject: name } as const;
    const vault = vaultOf(source);
    const obstacle = vault === undefined ? undefined : connect.blocked(vault);
    if (obstacle !== undefined) return { ...check, status: "skip", message: `not read: ${obstacle}` };
    try {
      await Promise.race([source.handle.get(), late]);
      return { ...check, status: "ok", message: `can be read${from}` };
    } catch (error) {
      if (!(error instanceof SourceError)) throw error;
      const status = optional ? "warn" : "fail";
      const message = optional ? `${error.message} (optional: its tool works without)` : error.message;
      return { ...check, status, message, cause: error.fault, hint: await hintFor(source, error, connect) };
    }
  });
}

/** Each source once, however often the configuration names it. */
function distinct(sources: readonly NamedSource[]): readonly NamedSource[] {
  return [...new Map(sources.map((source) => [JSON.stringify(source.config), source])).values()];
}

interface DeclaredName {
  readonly names: readonly string[];
  /** Every declaration of it is. */
  readonly optional: boolean;
}

/** Names of declarations by what they refer to. */
function declaredNames({ tools }: Subject): ReadonlyMap<string, DeclaredName> {
  const found = new Map<string, DeclaredName>();
  if (tools === undefined) return found;
  const { source: mode, vault, ttl } = tools.settings;
  for (const { secrets } of tools.tools) {
    for (const entry of secrets) {
      for (const [, secret] of secretsOf(entry)) {
        const reference = referenceText(secret, { mode, vault, ttl, callers: true });
        const { names = [], optional = true } = found.get(reference) ?? {};
        found.set(reference, {
          names: [...new Set([...names, entry.name])],
          optional: optional && entry.optional,
        });
      }
    }
  }
  return found;
}

/** As `tools list` shows it. */
function referenceOf({ config, handle }: NamedSource): string {
  const field = config["json_key"];
  return typeof field === "string" ? `${handle.name} (${field})` : handle.name;
}

async function hintFor(
  source: NamedSource,
  { fault }: SourceError,
  connect: ConnectFindings,
): Promise<string | undefined> {
  const reference = parseOpReference(String(source.config["secret_ref"]));
  const { vault, item, field } = "problem" in reference ? { vault: "", item: "", field: "" } : reference;
  switch (fault) {
    case "vault":
      return "set OP_VAULT to the name or id as 1Password shows it, and give the token access to that vault";
    case "item": {
      const titles = source.config.type === "1password_connect" ? await connect.titles(vault) : [];
      const meant = nearestTitle(item, titles);
      const rename = meant === undefined || meant === item ? "" : `; did you mean ${JSON.stringify(meant)}?`;
      return `the vault needs exactly one item with the title ${JSON.stringify(item)}, upper and lower case as written${rename}`;
    }
    case "field":
      return `put the value into a field with the name ${JSON.stringify(field)} of the item ${JSON.stringify(item)}`;
    case "value":
      return "store the credential there: what is there is empty, or is none";
    case "variable":
      return source.config.type === "env"
        ? `set ${source.handle.name} in the environment of the proxy; with the chart, list it in proxy.envSecrets`
        : undefined;
    case "token":
      return "make a new token in 1Password, and put it where the old one is";
    case "rate_limit":
      return "wait for a minute; a longer tools.ttl means fewer reads, and a Connect server has no such limit";
    case "server":
      return "see that the store is up and that the proxy's network lets it be reached";
    case undefined:
      return undefined;
  }
}
