import assert from "node:assert/strict";
import { test } from "node:test";
import { run } from "../helpers/cli.ts";

const policy = (allowlist: string) => `proxy: {require_caller: true}
transforms:
${allowlist}  - name: secrets
    config:
      secrets:
        - source: {type: env, var: CRM_KEY}
          inject: {header: X-Api-Key}
          rules: [{host: crm.example, tools: [crm]}]
        - source: {type: env, var: ADMIN_KEY}
          inject: {header: X-Admin-Key}
          rules: [{host: crm.example}]
`;
const open = policy("  - {name: allowlist, config: {domains: [crm.example]}}\n");

async function explain(text: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(["explain", "-", "GET", "https://crm.example/", ...args], {
    stdin: text,
  });
  assert.equal(code, 0, stderr);
  return stdout;
}

for (const [who, args, names] of [
  ["a caller without limits", [], ["CRM_KEY", "ADMIN_KEY"]],
  ["a caller limited to crm", ["--caller-tools", "crm"], ["CRM_KEY"]],
  ["a caller limited to crm and search", ["--caller-tools", "search, crm"], ["CRM_KEY"]],
  ["a caller limited to search", ["--caller-tools=search"], []],
  ["a caller who may use no tool", ["--caller-tools", ""], []],
] as const) {
  test(`explains what ${who} would get`, async () => {
    const { credentials } = JSON.parse(await explain(open, "--json", ...args)) as {
      credentials: { name: string }[];
    };
    assert.deepEqual(
      credentials.map(({ name }) => name),
      names,
    );
  });
}

test("says why an entry is not for the caller, and decides the tunnel for the same caller", async () => {
  const text = await explain(policy(""), "--caller-tools", "search");
  assert.match(text, /^tunnel +would be refused: 403 host_not_allowed/m);
  const lines = await explain(open, "--caller-tools", "search");
  assert.match(lines, /secrets\[0\] CRM_KEY: rules do not match: .*may use search, and the rule is for crm/);
  assert.match(lines, /secrets\[1\] ADMIN_KEY: .*the rule is for callers who are not limited to tools/);
});
