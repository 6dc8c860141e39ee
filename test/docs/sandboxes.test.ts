// docs/sandboxes.md and docs/api.md against the commands and the code.
import assert from "node:assert/strict";
import { test } from "node:test";
import { issueToken } from "../../src/callers/token.ts";
import { signingVariables } from "../../src/callers/keys.ts";
import { sandboxRequest } from "../../src/api/schemas.ts";
import { startService, toolsFolder } from "../api/support.ts";
import { keysOf, newKey } from "../callers/support.ts";
import { run, runCheck } from "../helpers/cli.ts";
import { blocks, codes, read, rows } from "./pages.ts";

const sandboxes = read("docs/sandboxes.md");
const api = read("docs/api.md");

for (const { language, text, line } of blocks(sandboxes)) {
  if (language !== "yaml") continue;
  test(`sandboxes.md:${line}: the configuration is without fault`, async () => {
    assert.deepEqual((await runCheck(text)).issues, []);
  });
}

/** Options as a command's help has them, and as a table has them. */
async function optionsOf(...command: string[]): Promise<Set<string>> {
  const { stdout } = await run([...command, "--help"]);
  const found = [...stdout.matchAll(/^ {2}(?:-\w, )?(--[a-z-]+)/gm)].map(([, option]) => option as string);
  return new Set(found.filter((option) => option !== "--help"));
}

function documented(page: string): Set<string> {
  const cells = rows(page).map(([first = ""]) => first);
  return new Set(cells.flatMap((cell) => cell.match(/--[a-z-]+/g) ?? []));
}

test("every option of `sandbox env` and of `api` is on its page, and no other", async () => {
  assert.deepEqual(documented(sandboxes), await optionsOf("sandbox", "env"));
  assert.deepEqual(documented(api), await optionsOf("api"));
});

test("the claims of a token are those on the page", () => {
  const { token } = issueToken({ name: "a", tools: ["b"] }, keysOf(newKey()).current.key, 0);
  const claims = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as object;
  const named = new Set(rows(sandboxes).flatMap(([first = ""]) => codes(first)));
  for (const claim of Object.keys(claims)) assert.ok(named.has(claim), claim);
  for (const variable of signingVariables) assert.ok(named.has(variable), variable);
});

test("every operation is on the page with its answers, and every key of the request", async () => {
  const tools = toolsFolder({});
  const service = await startService(tools.path);
  const response = await fetch(`${service.url}/openapi.json`);
  const { paths } = (await response.json()) as {
    paths: Record<string, Record<string, { security: unknown[]; responses: Record<string, unknown> }>>;
  };
  service.close();
  tools.remove();
  const described = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { security, responses }]) => {
      const statuses = Object.keys(responses).filter((status) => status !== "500");
      return [
        `${method.toUpperCase()} ${path}`,
        security.length > 0 ? "needed" : "none",
        statuses.join(", "),
      ];
    }),
  );
  const written = rows(api)
    .map(([operation = "", key = "", answers = ""]) => [codes(operation)[0] ?? "", key, answers])
    .filter(([operation = ""]) => /^(?:GET|POST) \//.test(operation) && operation !== "GET /openapi.json");
  const order = (list: string[][]) => list.map((row) => row.join(" | ")).sort();
  assert.deepEqual(order(written), order(described));
  const keys = new Set(rows(api).flatMap(([first = ""]) => codes(first)));
  for (const key of Object.keys(sandboxRequest.shape)) assert.ok(keys.has(key), key);
});
