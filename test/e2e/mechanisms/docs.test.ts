// docs/testing.md: its configurations are without fault, and what it names is there.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { transformKinds } from "../../../src/transforms/registry.ts";
import { runCheck } from "../../helpers/cli.ts";

const root = new URL("../../../", import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), "utf8");
const page = read("docs/testing.md");

const files = [...page.matchAll(/^cat > (\S+) <<'EOF'\n([^]*?)^EOF$/gm)];
assert.ok(files.length > 5);
for (const [, name = "", text = ""] of files) {
  test(`${name} is a configuration for sallyport run`, async () => {
    assert.ok(page.includes(`sallyport run --config ${name} -`), "the page runs it");
    // A run has a CA of its own.
    const { issues } = await runCheck(`tls: { ca_cert: ca.crt, ca_key: ca.key }\n${text}`);
    const others = issues.filter((issue) => !issue.includes("there is no allowlist, so only hosts"));
    assert.deepEqual(others, []);
  });
}

test("files that it names exist", () => {
  for (const [path] of page.matchAll(/examples\/[\w./-]+/g)) {
    assert.ok(existsSync(new URL(path, root)), path);
  }
});

test("every credential mechanism is in the table", () => {
  for (const { name, credential } of transformKinds) {
    if (credential) assert.match(page, new RegExp(`^\\|.*\`${name}\``, "m"), name);
  }
});

test("the packages that test:peers installs are those it names", () => {
  const packages = [...read("test/peers/run.ts").matchAll(/^ {2}"([a-z0-9-]+)(?:\[\w+\])?==/gm)];
  assert.ok(packages.length > 5);
  for (const [, name = ""] of packages) {
    assert.ok(page.toLowerCase().includes(name === "awscli" ? "aws cli" : name), name);
  }
});
