import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { parseEnv } from "node:util";
import * as fc from "fast-check";
import { parse } from "yaml";
import { FormatError, formatEnvironment } from "../../src/tools/environment-format.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-format-"));
after(() => rmSync(folder, { recursive: true }));

/** What quoting goes wrong on, and everything else a variable can hold. */
const character = fc.oneof(
  fc.constantFrom(
    ...Array.from("'\"`\\$(){}#=!&;|<>*?[]~ \t\n\r%-_.,:/aZ0é\u2028\u{1f600}\x01\x7f\x85\ufeff"),
  ),
  fc.string({ unit: "binary", minLength: 1, maxLength: 1 }),
);
const value = fc
  .array(character, { maxLength: 30 })
  .map((parts) => parts.join("").replaceAll("\0", ""))
  .filter((text) => text.isWellFormed());
const environment = fc
  .array(value, { minLength: 1, maxLength: 8 })
  .map((values) => new Map(values.map((one, index) => [`V_${index}`, one])));

/** To start few shells. */
const large = fc
  .array(value, { minLength: 100, maxLength: 200 })
  .map((values) => new Map(values.map((one, index) => [`V_${index}`, one])));

const special = new Map(
  [
    "",
    "plain",
    "two words",
    "it's",
    "$HOME ${HOME} $(id) `id`",
    "back\\slash \\n",
    "line\nbreak\n",
    " spaces ",
    "# no comment",
    "yes",
    "1e3",
    "null",
    "~",
    "a=b",
    "- x",
    "'''",
    '"',
  ].map((text, index) => [`S_${index}`, text]),
);

/** The variables a shell has after it read a file. */
function readByShell(shell: string, text: string): Map<string, string> {
  const file = join(folder, "env.sh");
  writeFileSync(file, text);
  const { stdout, status, stderr } = spawnSync(shell, ["-c", '. "$0" && exec env -0', file], { env: {} });
  assert.equal(status, 0, stderr.toString());
  return new Map(
    stdout
      .toString("utf8")
      .split("\0")
      .filter((entry) => /^[VS]_/.test(entry))
      .map((entry) => [entry.slice(0, entry.indexOf("=")), entry.slice(entry.indexOf("=") + 1)]),
  );
}

for (const shell of ["/bin/sh", "/bin/bash"]) {
  const present = spawnSync(shell, ["-c", "exit 0"]).status === 0 && spawnSync("env", ["-0"]).status === 0;
  test(`${shell} reads every value as it is`, { skip: !present && `there is no ${shell}` }, () => {
    assert.deepEqual(readByShell(shell, formatEnvironment(special, "shell")), special);
    fc.assert(
      fc.property(large, (variables) => {
        assert.deepEqual(readByShell(shell, formatEnvironment(variables, "shell")), variables);
      }),
      { numRuns: 5 },
    );
  });
}

test("JSON has every value as it is", () => {
  fc.assert(
    fc.property(environment, (variables) => {
      assert.deepEqual(new Map(Object.entries(JSON.parse(formatEnvironment(variables, "json")))), variables);
    }),
  );
});

/** What the kubelet makes of a value: `$$` is a dollar sign, `$(NAME)` another variable where there is one. */
function expandedByKubernetes(text: string): string {
  return text.replaceAll(/\$(\$|\([^)]*\))/g, (whole, what: string) =>
    what === "$" ? "$" : `expanded ${whole}`,
  );
}

test("a container's env has every value as a text, and no reference in it", () => {
  fc.assert(
    fc.property(fc.oneof(environment, fc.constant(special)), (variables) => {
      const list = parse(formatEnvironment(variables, "k8s")) as { name: string; value: unknown }[];
      for (const entry of list) assert.deepEqual(Object.keys(entry), ["name", "value"]);
      const read = list.map(({ name, value }) => {
        assert.ok(typeof value === "string");
        return [name, expandedByKubernetes(value)] as const;
      });
      assert.deepEqual(new Map(read), variables);
    }),
  );
});

test("a .env file has every value as it is, or none is written", () => {
  let written = 0;
  fc.assert(
    fc.property(environment, (variables) => {
      let text: string;
      try {
        text = formatEnvironment(variables, "dotenv");
      } catch (error) {
        assert.ok(error instanceof FormatError);
        return;
      }
      written++;
      assert.deepEqual(new Map(Object.entries(parseEnv(text))), variables);
    }),
    { numRuns: 500 },
  );
  assert.ok(written > 50);
});

/** The first equals sign parts name and value, and lines end at a line feed. */
function readByDocker(text: string): Map<string, string> {
  return new Map(
    text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
  );
}

test("a file for docker run has every value as it is, or none is written", () => {
  fc.assert(
    fc.property(environment, (variables) => {
      if ([...variables.values()].some((one) => /[\r\n]/.test(one))) {
        assert.throws(() => formatEnvironment(variables, "docker"), FormatError);
      } else assert.deepEqual(readByDocker(formatEnvironment(variables, "docker")), variables);
    }),
  );
});

test("I14: what cannot be written is named by its variable, without its value", () => {
  for (const [format, text] of [
    ["shell", "secret\0"],
    ["json", "secret\ud800"],
    ["docker", "secret\n"],
    ["dotenv", "secret\r"],
    ["dotenv", "secret'$"],
  ] as const) {
    assert.throws(
      () => formatEnvironment(new Map([["NAME", text]]), format),
      (error: unknown) =>
        error instanceof FormatError &&
        error.message.startsWith("NAME: ") &&
        !error.message.includes("secret"),
    );
  }
});
