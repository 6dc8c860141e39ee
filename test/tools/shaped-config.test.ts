// `tools.placeholders: shaped`: the proxy swaps the very text that a sandbox is given.
import assert from "node:assert/strict";
import { test } from "node:test";
import { loadConfig } from "../../src/config/load.ts";
import { sandboxPlaceholders } from "../../src/tools/placeholders.ts";

const text = (more: string) =>
  `tls: {ca_cert: a, ca_key: b}\ntools: {harnesses: [codex, GITHUB_TOKEN]${more}}\n`;

for (const [more, expected] of [
  ["", /^OPENAI_API_KEY$/],
  [", placeholders: name", /^OPENAI_API_KEY$/],
  [", placeholders: shaped", /^sk-proj-[A-Za-z0-9]{48}$/],
] as const) {
  test(`the proxy and the sandbox agree with ${more.slice(2) || "no choice"}`, () => {
    const { config, tools } = loadConfig({ text: text(more), env: {} });
    const entries = config?.transforms.flatMap(
      ({ config }) =>
        (config as { secrets: { source: { var: string }; replace: { proxy_value: string } }[] }).secrets,
    );
    const swapped = new Map(entries?.map(({ source, replace }) => [source.var, replace.proxy_value]));
    const held = new Map(
      sandboxPlaceholders(tools?.tools ?? []).map(({ name, placeholder }) => [name, placeholder]),
    );
    assert.deepEqual(held, swapped);
    assert.match(held.get("OPENAI_API_KEY") ?? "", expected);
    assert.equal(held.size, 2);
  });
}
