// docs/routing.md: its variables and commands lead real clients to the real program.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { missing } from "../e2e/harness/programs.ts";
import { startInternet } from "./github.ts";
import { blocks, read } from "./pages.ts";
import { assertShown, openSession, stepsOf } from "./session.ts";

const page = blocks(read("docs/routing.md"));
const token = "github_pat_...";
const internet = await startInternet(["api.github.com"], token);
const session = await openSession(internet.env);
const skip = missing("curl") || missing("bash");

after(async () => {
  await session.close();
  internet.close();
});

before(async () => {
  const config = page.find(({ language }) => language === "yaml")?.text ?? "";
  writeFileSync(join(session.home, "proxy.yaml"), session.translate(config));
  await session.run("PATH=$PWD/bin:$PATH; sallyport ca init --dir .");
  await session.start(`GITHUB_TOKEN=${token} sallyport start --config proxy.yaml`, /transform pipeline/);
  const variables = page.find(({ language }) => language === "sh")?.text ?? "";
  await session.run(session.translate(variables));
});

const url = "https://api.github.com/user";
const clients: readonly (readonly [program: string, command: string])[] = [
  ["git", `git -c http.extraHeader='Authorization: Bearer ghp-placeholder' ls-remote ${url}`],
  [
    "python3",
    `python3 -c 'import urllib.request as u; print(u.urlopen(u.Request("${url}", headers={"Authorization": "Bearer ghp-placeholder"})).status)'`,
  ],
  [
    "node",
    `${process.execPath} -e 'fetch("${url}", { headers: { authorization: "Bearer ghp-placeholder" } }).then((r) => console.log(r.status))'`,
  ],
];

for (const [program, command] of clients) {
  test(`the variables lead ${program} through the proxy`, { skip: skip || missing(program) }, async () => {
    const before = internet.received.length;
    const output = await session.run(command);
    assert.ok(internet.received.length > before, output);
    assert.equal(internet.received.at(-1), `Bearer ${token}`, output);
  });
}

test("the commands answer what the page says", { skip }, async (t) => {
  for (const { language, text } of page) {
    if (language !== "console") continue;
    for (const { command, expected } of stepsOf(text)) {
      await t.test(command, async () => assertShown(await session.run(session.translate(command)), expected));
    }
  }
});
