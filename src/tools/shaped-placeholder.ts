import { randomInt } from "node:crypto";

/**
 * Beginnings of keys that say whose they are and nothing else: SDKs and linters look at them before they send a
 * key anywhere. The longest that fits is kept.
 */
const publicPrefixes: readonly string[] = `
  sk- sk-ant- sk-ant-api03- sk-ant-oat01- sk-proj- sk-svcacct- sk-admin- sk-or-v1-
  sk_live_ sk_test_ rk_live_ rk_test_ whsec_
  ghp_ gho_ ghu_ ghs_ ghr_ github_pat_ glpat- dckr_pat_ npm_ pypi-
  AKIA ASIA AIza ya29. hf_ gsk_ xai- r8_ pplx- tvly- SG. dop_v1_
  xoxb- xoxp- xoxa- xoxr- xapp- lin_api_ ntn_ shpat_ figd_`
  .trim()
  .split(/\s+/)
  .sort((one, other) => other.length - one.length);

/** Forms whose separators are public; clients that take such a value apart find the parts. */
const publicForms: readonly { readonly pattern: RegExp; readonly separator: string }[] = [
  { pattern: /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i, separator: "-" }, // UUID (RFC 9562 section 4)
  { pattern: /^xox[a-z](?:-\d+)+-[A-Za-z0-9]+$/, separator: "-" }, // Slack
  { pattern: /^[\w-]+\.[\w-]+\.[\w-]+$/, separator: "." }, // JWT (RFC 7519), SendGrid
];

/** Random characters a placeholder has at least: it must stand in no other text by chance. */
const leastRandom = 20;
/** A value longer than this is a document; its placeholder need not be. */
const mostRandom = 512;

const lower = "abcdefghijklmnopqrstuvwxyz";
const upper = lower.toUpperCase();
const digits = "0123456789";

/** Gives a whole number from 0 to below `bound`. */
export type Chance = (bound: number) => number;

/**
 * A harmless text of the same shape as a credential: its public prefix, its length, letters and digits of the kinds
 * it has, all of them random. Where the value itself has letters, digits or separators stays unknown.
 */
export function shapedPlaceholder(value: string, chance: Chance = randomInt): string {
  const prefix = publicPrefixes.find((one) => value.startsWith(one)) ?? "";
  const rest = value.slice(prefix.length, prefix.length + mostRandom);
  const alphabet = alphabetOf(rest);
  const separator = publicForms.find(({ pattern }) => pattern.test(value))?.separator;
  let text = prefix;
  for (let index = 0; index < rest.length; index++) {
    text += rest[index] === separator ? separator : pick(alphabet, chance);
  }
  for (let length = rest.length; length < leastRandom; length++) text += pick(alphabet, chance);
  return text;
}

/** Letters and digits of the kinds that a text has; hexadecimal stays hexadecimal. */
function alphabetOf(text: string): string {
  const hasDigits = /[0-9]/.test(text);
  if (hasDigits && /^[0-9a-f-]+$/.test(text)) return /[a-f]/.test(text) ? `${digits}abcdef` : digits;
  if (hasDigits && /^[0-9A-F-]+$/.test(text)) return /[A-F]/.test(text) ? `${digits}ABCDEF` : digits;
  const kinds = [/[a-z]/.test(text) ? lower : "", /[A-Z]/.test(text) ? upper : "", hasDigits ? digits : ""];
  return kinds.join("") || lower + digits;
}

function pick(alphabet: string, chance: Chance): string {
  return alphabet[chance(alphabet.length)] as string;
}
