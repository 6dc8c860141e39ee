import { parseDuration } from "./duration.ts";
import type { Path } from "./issues.ts";
import { nearest } from "./nearest.ts";
import type { CheckedFile } from "./schema.ts";
import { sourceModes, type ToolsConfig } from "./types.ts";

const standardVault = "ai-agents";
const standardTtl = "10m";

/** Variables of Centaur's, for what the section leaves out. */
const variables = {
  source: "FIREWALL_MANAGER_SECRET_SOURCE",
  ttl: "FIREWALL_MANAGER_SECRET_TTL",
  vault: "OP_VAULT",
} as const;

/** Fills in what `tools:` leaves to the environment, and refuses what would be guessed at. */
export function resolveTools(
  tools: CheckedFile["tools"],
  env: NodeJS.ProcessEnv,
  error: (path: Path, message: string) => void,
): ToolsConfig | undefined {
  if (tools === undefined) return undefined;
  const given = (key: keyof typeof variables): { text: string | undefined; name: string } => {
    const name = `tools.${key}`;
    const variable = variables[key];
    return tools[key] === undefined
      ? { text: env[variable]?.trim() || undefined, name: variable } // a Secret's text often ends in a line break
      : { text: tools[key], name };
  };
  const { text: givenSource, name: sourceName } = given("source");
  const source = givenSource ?? "env";
  const mode = sourceModes.find((one) => one === source);
  if (mode === undefined) error(["tools", "source"], unknownMode(source, sourceName));
  const { text: ttl = standardTtl, name: ttlName } = given("ttl");
  const isTtlGood = (parseDuration(ttl) ?? -1) >= 0;
  if (!isTtlGood) {
    const message = "must be a duration such as 45s, 10m or 1h30m, or 0 for never";
    error(["tools", "ttl"], `${ttlName}: ${message}; got ${JSON.stringify(ttl.slice(0, 40))}`);
  }
  const { text: givenVault, name: vaultName } = given("vault");
  const vault = givenVault ?? standardVault;
  if (/[/?\p{Cc}]/u.test(vault)) {
    const message =
      "must be the name or id of a vault, without a slash or a question mark; use the id of such a vault";
    error(["tools", "vault"], `${vaultName} ${message}`);
  }
  return {
    directories: tools.directories ?? (env["TOOL_DIRS"] ?? "").split(":").filter((one) => one !== ""),
    harnesses: tools.harnesses,
    gateway: tools.gateway === "" ? undefined : tools.gateway,
    source: mode ?? "env",
    vault,
    givenBy: {
      source: givenSource === undefined ? undefined : sourceName,
      vault: givenVault === undefined ? undefined : vaultName,
    },
    ttl: isTtlGood ? ttl : standardTtl,
    placeholders: tools.placeholders,
    allowHeaders: tools.allow_headers,
  };
}

/** Never taken for `env`: credentials would then be looked for in another place than the one that was meant. */
function unknownMode(source: string, name: string): string {
  const [env, ...others] = sourceModes.map((one) => JSON.stringify(one));
  const shown = source.length <= 40 ? ` ${JSON.stringify(source)}` : "";
  const meant = nearest(source, sourceModes);
  const hint = meant === undefined ? "" : `; did you mean "${meant}"?`;
  return `${name}: unknown source mode${shown}; must be ${env}, ${others.join(" or ")}${hint}`;
}
