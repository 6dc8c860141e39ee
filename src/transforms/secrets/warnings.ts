import type { BuildContext, ConfigPath, RuleConfig } from "../../pipeline/types.ts";
import type { EntryConfig, ReplaceConfig } from "./schema.ts";

const shortestPlaceholder = 8;

/** Warns of entries that are legal and yet do nothing, or more than the person who wrote them wants. */
export function warnAboutEntries(entries: readonly EntryConfig[], context: BuildContext): void {
  const placeholders: Placeholder[] = [];
  for (const [index, entry] of entries.entries()) {
    const path: ConfigPath = ["secrets", index];
    warnAboutRules(entry.rules ?? [], path, context);
    if (entry.inject !== undefined) continue;
    const replace: ReplaceConfig = entry.replace ?? entry;
    const at = entry.replace === undefined ? path : [...path, "replace"];
    warnAboutPlaces(replace, at, context);
    const text = replace.proxy_value ?? "";
    if (text === "") continue;
    if (text.length < shortestPlaceholder) {
      const advice = `use ${shortestPlaceholder} characters or more that occur nowhere else`;
      context.warn(
        [...at, "proxy_value"],
        `the placeholder is short and may stand in other text by chance; ${advice}`,
      );
    }
    placeholders.push({ index, text, rules: entry.rules ?? [], path: [...at, "proxy_value"] });
  }
  warnAboutOverlaps(placeholders, context);
}

function warnAboutRules(rules: readonly RuleConfig[], path: ConfigPath, context: BuildContext): void {
  if (rules.length === 0) context.warn(path, "the entry has no rules, so its credential is never used");
  for (const [index, { host }] of rules.entries()) {
    if (host === undefined || !/^\*(?::.*)?$/.test(host)) continue;
    context.warn(
      [...path, "rules", index, "host"],
      "this credential goes to any host the workload names; name the hosts it is for",
    );
  }
}

function warnAboutPlaces(replace: ReplaceConfig, path: ConfigPath, context: BuildContext): void {
  if ((replace.match_headers ?? []).length > 0) return;
  const other = (["match_query", "match_path", "match_body"] as const).find((key) => replace[key] === true);
  const at = replace.match_headers === undefined ? path : [...path, "match_headers"];
  if (other !== undefined) {
    context.warn(at, `no header is searched, because ${other} is on and match_headers names none`);
  } else if (replace.require === true) {
    const advice = "name the header in match_headers";
    context.warn([...path, "require"], `a placeholder in any header satisfies require; ${advice}`);
  }
}

interface Placeholder {
  readonly index: number;
  readonly text: string;
  readonly rules: readonly RuleConfig[];
  readonly path: ConfigPath;
}

function warnAboutOverlaps(placeholders: readonly Placeholder[], context: BuildContext): void {
  for (const [position, later] of placeholders.entries()) {
    for (const earlier of placeholders.slice(0, position)) {
      if (later.text === earlier.text) {
        if (!rulesOverlap(earlier.rules, later.rules)) continue;
        const first = `secrets[${earlier.index}] comes first and is used where both apply`;
        context.warn(later.path, `the placeholder is also that of secrets[${earlier.index}]; ${first}`);
      } else if (later.text.includes(earlier.text) || earlier.text.includes(later.text)) {
        const [longer, shorter] =
          later.text.length > earlier.text.length ? [later, earlier] : [earlier, later];
        const inside = `the placeholder of secrets[${shorter.index}] is part of that of secrets[${longer.index}]`;
        context.warn(later.path, `${inside}; the longer one is swapped where both apply`);
      }
    }
  }
}

function rulesOverlap(left: readonly RuleConfig[], right: readonly RuleConfig[]): boolean {
  return left.some((one) => right.some((other) => hostsOverlap(one, other)));
}

/** Whether some host may match both; patterns inside labels count only when they are equal. */
function hostsOverlap(left: RuleConfig, right: RuleConfig): boolean {
  if (left.host === undefined || right.host === undefined)
    return left.cidr !== undefined && left.cidr === right.cidr;
  const [one, other] = [hostOf(left.host), hostOf(right.host)];
  return one === other || covers(one, other) || covers(other, one);
}

function hostOf(pattern: string): string {
  return pattern.toLowerCase().replace(/:(?:\d+|\*)$/, "");
}

function covers(pattern: string, host: string): boolean {
  if (pattern === "*") return true;
  return pattern.startsWith("*.") && (host === pattern.slice(2) || host.endsWith(pattern.slice(1)));
}
