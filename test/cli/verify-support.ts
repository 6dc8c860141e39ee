// What the tests of `sallyport verify` share: a Connect server with one vault, a configuration, and its environment.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, beforeEach } from "node:test";
import type { Check } from "../../src/cli/verify/check.ts";
import { verify, type VerifyOptions } from "../../src/cli/verify/run.ts";
import { fakeConnect, type FakeConnect, type FakeItem } from "../fakes/connect.ts";
import { makeCa } from "../helpers/pki.ts";
import { directoryOf, pageBlock } from "../tools/support.ts";

export const canary = "sk-canary-of-the-warehouse";
export const host = "warehouse.internal.example.com";
export const vaultId = "vaultvaultvaultvaultvault1";

export function item(title: string, ...fields: NonNullable<FakeItem["fields"]>): FakeItem {
  const id = `item${title.toLowerCase().replaceAll(/[^a-z0-9]/g, "")}${"0".repeat(26)}`.slice(0, 26);
  return { id, title, fields };
}

export const good = item(
  "WAREHOUSE_API_KEY",
  { id: "notes", label: "notes", value: "not this one" },
  { id: "f1", label: "credential", value: canary },
);

export let connect: FakeConnect;
before(async () => {
  connect = await fakeConnect([]);
});
after(() => connect.close());
beforeEach(() => {
  connect.vaults = [{ id: vaultId, name: "agents", items: [good] }];
  connect.misbehave = undefined;
  connect.requests.length = 0;
});

export const folder = directoryOf({
  "tools/warehouse/pyproject.toml": pageBlock,
});
export const ca = makeCa({ notAfter: new Date(Date.now() + 365 * 86_400_000) });
writeFileSync(join(folder, "ca.crt"), ca.certPem);
writeFileSync(join(folder, "ca.key"), ca.keyPem, { mode: 0o600 });

/** Paths in the configuration are the folder's. */
function configured(text: string): string {
  return text.replaceAll(/\b(ca\.crt|ca\.key|tools)\b(?=[,\] }])/g, (name) =>
    JSON.stringify(join(folder, name)),
  );
}

let files = 0;
export function fileOf(text: string): string {
  const path = join(folder, `proxy-${++files}.yaml`);
  writeFileSync(path, configured(text));
  return path;
}

export const standard = fileOf(`
tls: { ca_cert: ca.crt, ca_key: ca.key }
tools: { directories: [tools] }
transforms:
  - { name: allowlist, config: { domains: ["${host}", other.example.com] } }
`);

export function environment(more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  return {
    FIREWALL_MANAGER_SECRET_SOURCE: "onepassword-connect",
    OP_VAULT: "agents",
    OP_CONNECT_HOST: connect.url,
    OP_CONNECT_TOKEN: connect.token,
    ...more,
  };
}

export async function checksOf(options: Partial<VerifyOptions> = {}): Promise<readonly Check[]> {
  const checks = await verify({
    file: standard,
    directories: [],
    requests: [],
    env: environment(),
    timeoutMs: 5000,
    ...options,
  });
  const text = JSON.stringify(checks);
  assert.ok(!text.includes("canary"), "I14: the credential");
  assert.ok(!text.includes(connect.token), "I14: the token");
  return checks;
}

/** The one that did not go well; fails where there is not exactly one. */
export function onlyFailure(checks: readonly Check[]): Check {
  const failures = checks.filter(({ status }) => status === "fail");
  assert.equal(failures.length, 1, JSON.stringify(failures, undefined, 2));
  return failures[0] as Check;
}

export function find(checks: readonly Check[], subject: string): Check {
  const found = checks.find((check) => check.subject === subject);
  assert.ok(found, `${subject} is not among ${checks.map((check) => check.subject).join(", ")}`);
  return found;
}

export function request(url: string, ...headers: string[]): VerifyOptions["requests"][number] {
  return { method: "GET", url, headers, data: undefined, caller: undefined };
}

export const carrying = request(`https://${host}/v1`, "Authorization: Bearer WAREHOUSE_API_KEY");
