// The README, as a newcomer follows it: every command is run, and answers what the page says.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { missing } from "../e2e/harness/programs.ts";
import { startInternet } from "./github.ts";
import { blocks, read, root } from "./pages.ts";
import { assertShown, type Background, openSession, stepsOf } from "./session.ts";

const page = read("README.md");
const token = "github_pat_...";
const internet = await startInternet(["api.github.com"], token);
const session = await openSession({ ...internet.env, SALLYPORT_LOG_FORMAT: "text" });
after(async () => {
  await session.close();
  internet.close();
});

const scripts = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
let proxy: Background | undefined;
/** What `npm start` printed: the port of its service is in it. */
let quickstart = "";

const skip = missing("curl") || missing("bash");

test("the README's commands", { skip }, async (t) => {
  for (const { language, text } of blocks(page)) {
    const file = /^# (\S+\.yaml)\n/.exec(text)?.[1];
    if (file !== undefined) {
      const folder = (await session.run("pwd")).trim();
      writeFileSync(join(folder, file), session.translate(text));
    }
    if (language !== "console") continue;
    for (const { command, expected } of stepsOf(text)) {
      await t.test(command, () => follow(command, expected));
    }
  }
});

async function follow(command: string, expected: string): Promise<void> {
  // Installing needs the network, and the tests are what runs here.
  if (command === "npm ci && npm test") return assert.ok("test" in scripts.scripts);
  if (command === "npm ci && npm start") {
    // Its service is its own, not the internet's.
    const unset = `unset ${Object.keys(internet.env).join(" ")}`;
    const demo = await session.start(`${unset}; cd ${root} && npm start`, /Stop with Ctrl-C/);
    quickstart = demo.output();
    return;
  }
  if (command.includes("demo.localhost")) {
    const printed = /curl -x .*/.exec(quickstart)?.[0] ?? "";
    const [, proxy = "", port = ""] = /(127\.0\.0\.1:\d+).*demo\.localhost:(\d+)/.exec(printed) ?? [];
    const shown = command.replace("127.0.0.1:8080", proxy).replace("...", port);
    assert.equal(shown.replace("~", session.home), printed, "the command that quickstart prints");
    return assertShown(await session.run(printed), expected);
  }
  const translated = session.translate(command);
  if (command.includes("sallyport start ")) proxy = await session.start(translated, /transform pipeline/);
  else assertShown(await session.run(translated), expected);
}

test("the service got the credential each time, and nothing that was refused", { skip }, () => {
  assert.deepEqual(internet.received, [`Bearer ${token}`, `Bearer ${token}`]);
});

test("the records are as shown, but for times", { skip }, async () => {
  const [shown] = blocks(page).filter(({ language }) => language === "text");
  await proxy?.stop();
  const written = timeless(proxy?.output() ?? "").split("\n");
  for (const line of timeless(shown?.text ?? "")
    .trimEnd()
    .split("\n")) {
    assert.ok(written.includes(line), `${line} is not in\n${written.join("\n")}`);
  }
});

function timeless(text: string): string {
  return text.replaceAll(/^[\d:.]+ /gm, "").replaceAll(/\d+ ms/g, "N ms");
}
