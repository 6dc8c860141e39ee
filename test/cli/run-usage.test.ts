import assert from "node:assert/strict";
import { test } from "node:test";
import { run } from "../helpers/cli.ts";
import { credential } from "./run-fixture.ts";

const env = { OPENAI_API_KEY: credential };
const secret = ["--secret", "OPENAI_API_KEY=api.openai.com"];

for (const [what, args, message] of [
  ["no host", ["--secret", "OPENAI_API_KEY"], /write --secret NAME=HOST/],
  ["no name", ["--secret", "=api.openai.com"], /write --secret NAME=HOST/],
  ["a variable that is not set", ["--secret", "NOT_SET=api.openai.com"], /NOT_SET: the variable is not set/],
  ["a URL", ["--secret", "OPENAI_API_KEY=https://api.openai.com"], /host 1 is not a host such as/],
  ["an empty host", ["--secret", "OPENAI_API_KEY=api.openai.com,"], /host 2 is empty/],
  ["every host", ["--secret", "OPENAI_API_KEY=*"], /every host there is/],
  ["the credential", ["--secret", `OPENAI_API_KEY=${credential}`], /its value stands where its hosts should/],
] as const) {
  test(`--secret with ${what} is wrong usage`, async () => {
    const { code, stdout, stderr } = await run(["run", ...args, "--", "echo", "started"], { env });
    assert.deepEqual([code, stdout], [2, ""]);
    assert.match(stderr, message);
    assert.ok(!stderr.includes(credential));
  });
}

test("I14: refuses a credential that the shell has put into the command line", async () => {
  const { code, stderr } = await run(["run", ...secret, "--", "curl", "-H", `Authorization: ${credential}`], {
    env,
  });
  assert.equal(code, 2);
  assert.match(stderr, /argument 2 of the command holds the value of OPENAI_API_KEY/);
  assert.ok(!stderr.includes(credential));
});
