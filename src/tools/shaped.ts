// Placeholders that look like the keys of the services they are for: some SDKs refuse a key that does not.
import { createHash } from "node:crypto";
import { type Chance, shapedPlaceholder } from "./shaped-placeholder.ts";
import type { Tool } from "./types.ts";

const mixed = "aA0".repeat(40);

/** Texts of the shape that keys of a service have, by its hosts; each service publishes its own. */
const shapes: readonly { readonly host: RegExp; readonly sample: string }[] = [
  { host: /(?:^|\.)openai\.com$/, sample: `sk-proj-${mixed.slice(0, 48)}` },
  { host: /(?:^|\.)anthropic\.com$/, sample: `sk-ant-api03-${mixed.slice(0, 95)}` },
  { host: /(?:^|\.)openrouter\.ai$/, sample: `sk-or-v1-${"a0".repeat(32)}` },
  { host: /(?:^|\.)x\.ai$/, sample: `xai-${mixed.slice(0, 80)}` },
  { host: /(?:^|\.)googleapis\.com$/, sample: `AIza${mixed.slice(0, 35)}` },
  { host: /(?:^|\.)github\.com$/, sample: `ghp_${mixed.slice(0, 36)}` },
  { host: /(?:^|\.)slack\.com$/, sample: `xoxb-${"0".repeat(12)}-${"0".repeat(13)}-${mixed.slice(0, 24)}` },
  { host: /(?:^|\.)gitlab\.com$/, sample: `glpat-${mixed.slice(0, 20)}` },
  { host: /(?:^|\.)huggingface\.co$/, sample: `hf_${"aA".repeat(17)}` },
  { host: /(?:^|\.)groq\.com$/, sample: `gsk_${mixed.slice(0, 52)}` },
  { host: /(?:^|\.)stripe\.com$/, sample: `sk_test_${mixed.slice(0, 99)}` },
  { host: /(?:^|\.)notion\.com$/, sample: `ntn_${mixed.slice(0, 46)}` },
  { host: /(?:^|\.)linear\.app$/, sample: `lin_api_${mixed.slice(0, 40)}` },
  { host: /(?:^|\.)sendgrid\.com$/, sample: `SG.${mixed.slice(0, 22)}.${mixed.slice(0, 43)}` },
];

/** For services that are not listed. */
const usualSample = mixed.slice(0, 40);

/**
 * The placeholder of a credential in the shape of its service's keys. It depends on the name and the service alone: what
 * the proxy swaps and what a sandbox holds are made at different times and places. It is no secret.
 */
export function shapedFor(name: string, hosts: readonly string[]): string {
  const bare = hosts.map((host) =>
    host
      .toLowerCase()
      .replace(/:[^:]*$/, "")
      .replace(/^\*\./, ""),
  );
  const shape = shapes.find(({ host }) => bare.some((one) => host.test(one)));
  return shapedPlaceholder(shape?.sample ?? usualSample, chanceOf(name));
}

/** Tools whose placeholders, where none was chosen by a `replacer`, have the shape of a key. */
export function withShapedPlaceholders(tools: readonly Tool[]): readonly Tool[] {
  return tools.map((tool) => ({
    ...tool,
    secrets: tool.secrets.map((entry) => {
      if (entry.type !== "http" || entry.mode !== "replace" || entry.placeholder !== entry.name) return entry;
      return { ...entry, placeholder: shapedFor(entry.name, entry.hosts) };
    }),
  }));
}

/** Numbers that follow from a text: bytes of SHA-256 over the text and a counter. */
function chanceOf(text: string): Chance {
  let block = Buffer.alloc(0);
  let at = 0;
  let count = 0;
  return (bound) => {
    if (at + 4 > block.length) {
      block = createHash("sha256").update(`sallyport placeholder\0${text}\0${count++}`).digest();
      at = 0;
    }
    at += 4;
    return block.readUInt32BE(at - 4) % bound;
  };
}
