// Tools directory → proxy with a `tools:` section → control service → a program with the environment it gave: the
// upstream sees the credential, and the program never does.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { declareTool } from "../api/support.ts";
import { newKey } from "../callers/support.ts";
import { valueOf } from "./harness/message.ts";
import { missing, run } from "./harness/programs.ts";
import { main } from "./harness/sallyport.ts";
import { eventually, within } from "./harness/wait.ts";
import { openWorld } from "./harness/world.ts";

const [signingKey, managementKey] = [newKey(), newKey()];
const world = await openWorld({
  config: ({ folder, securePort }) => {
    const tools = join(folder, "tools");
    const host = `api.e2e.test:${securePort}`;
    declareTool(tools, "crm", `{ name = "E2E_KEY", match_headers = ["X-Api-Key"], hosts = ["${host}"] }`);
    declareTool(
      tools,
      "mail",
      `{ name = "MAIL_KEY", mode = "inject", inject_header = "X-Mail", hosts = ["${host}"] }`,
    );
    return { proxy: { require_caller: true }, tools: { directories: [tools] }, transforms: [] };
  },
  env: { SANDBOX_SIGNING_KEY: signingKey, MAIL_KEY: "the-credential-of-mail" },
});
world.canary.watch("the signing key", signingKey);
world.canary.watch("the management key", managementKey);
world.canary.watch("the credential of mail", "the-credential-of-mail");

/** The control service as its own process, which has two keys and nothing of any source. */
async function startApi(): Promise<{ url: string; child: ChildProcess; log: string[] }> {
  const { host, port } = world.proxy.addresses.tunnel as { host: string; port: number };
  const args = [main, "api", "--config", world.proxy.configFile, "--listen", "127.0.0.1:0"];
  const child = spawn(process.execPath, [...args, "--proxy", `http://${host}:${port}`, "--ca", bundleFile], {
    env: { SANDBOX_SIGNING_KEY: signingKey, IRON_MANAGEMENT_API_KEY: managementKey },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const hear = world.canary.listen("the log of the control service");
  const log: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (part: Buffer) => {
      hear(part);
      log.push(...part.toString().split("\n").filter(Boolean));
    });
  }
  const address = await eventually(
    "the control service listens",
    () => {
      return /"api starting".*?"addr":"([^"]*)"|"addr":"([^"]*)".*?"api starting"/
        .exec(log.join("\n"))
        ?.slice(1)
        .find(Boolean);
    },
    30_000,
  );
  return { url: `http://${address}`, child, log };
}

const bundleFile = join(world.folder, "bundle.pem");
const api = await startApi();
after(() => void api.child.kill("SIGKILL"));

const authorized = { Authorization: `Bearer ${managementKey}` };

interface Sandbox {
  readonly env: Record<string, string>;
  readonly token: string;
}

async function createSandbox(request: object): Promise<Sandbox> {
  const response = await fetch(`${api.url}/v1/sandboxes`, {
    method: "POST",
    headers: { ...authorized, "Content-Type": "application/json" },
    body: JSON.stringify(request),
  });
  const text = await response.text();
  world.canary.search("an answer of the control service", Buffer.from(text));
  assert.equal(response.status, 201, text);
  return JSON.parse(text) as Sandbox;
}

const bundle = await (await fetch(`${api.url}/v1/ca.pem?roots=system`, { headers: authorized })).text();
writeFileSync(bundleFile, bundle);

/** Programs of others, each asking for a URL with the header it is told. */
const programs: Readonly<Record<string, (url: string) => string[]>> = {
  curl: (url) => ["-sf", "-H", "X-Api-Key: E2E_KEY", url],
  node: (url) => [
    "-e",
    `fetch(${JSON.stringify(url)}, {headers: {"X-Api-Key": process.env.E2E_KEY}}).then(async (r) => console.log(await r.text()))`,
  ],
  python3: (url) => [
    "-c",
    `import os, urllib.request as u\nprint(u.urlopen(u.Request(${JSON.stringify(url)}, headers={"X-Api-Key": os.environ["E2E_KEY"]})).read())`,
  ],
};

for (const [program, args] of Object.entries(programs)) {
  const command = program === "node" ? process.execPath : program;
  test(`D4: ${program} with the environment of a sandbox gets there, and the credential is put in on the way`, {
    skip: missing(command),
  }, async () => {
    const { env } = await createSandbox({ name: `with-${program}`, tools: ["crm"] });
    const path = `/with-${program}`;
    const { code, stdout, stderr } = await run(command, args(`https://${world.secureAuthority}${path}`), {
      env,
    });
    assert.equal(code, 0, stderr);
    assert.match(stdout, /ok/);
    world.canary.search(`what ${program} knows`, Buffer.from(JSON.stringify(env) + stdout + stderr));
    const { fields } = await world.secure.request(path);
    assert.equal(valueOf(fields, "x-api-key"), world.credential);
    assert.equal(valueOf(fields, "x-mail"), undefined, "of another tool");
  });
}

test("D4: git with the environment of a sandbox trusts the proxy and gets there", {
  skip: missing("git"),
}, async () => {
  const { env } = await createSandbox({ name: "with-git", tools: ["crm"] });
  const args = ["-c", "http.extraHeader=X-Api-Key: E2E_KEY", "ls-remote"];
  // The upstream is no repository: what counts is that the request came, with the credential.
  await run("git", [...args, `https://${world.secureAuthority}/with-git`], {
    env: { ...env, GIT_TERMINAL_PROMPT: "0", GIT_CONFIG_NOSYSTEM: "1", HOME: world.folder },
  });
  const { fields } = await world.secure.request("/with-git/info/refs");
  assert.equal(valueOf(fields, "x-api-key"), world.credential);
});

test("a sandbox of another tool gets that tool's credential and keeps its placeholder", {
  skip: missing("curl"),
}, async () => {
  const { env } = await createSandbox({ name: "mail-only", tools: ["mail"] });
  assert.deepEqual([env["MAIL_KEY"], env["E2E_KEY"]], ["MAIL_KEY", undefined]);
  const url = `https://${world.secureAuthority}/mail-only`;
  const { code } = await run("curl", ["-sf", "-H", "X-Api-Key: E2E_KEY", url], { env });
  assert.equal(code, 0);
  const { fields } = await world.secure.request("/mail-only");
  assert.equal(valueOf(fields, "x-mail"), "the-credential-of-mail");
  assert.equal(valueOf(fields, "x-api-key"), "E2E_KEY", "not its to use");
});

test("a sandbox with no tool reaches nothing", { skip: missing("curl") }, async () => {
  const { env } = await createSandbox({ name: "nothing", tools: [] });
  const url = `https://${world.secureAuthority}/nothing`;
  const { stdout } = await run("curl", ["-s", "-o", "/dev/null", "-w", "%{http_connect}", url], { env });
  assert.equal(stdout, "403");
  assert.equal(world.secure.count("/nothing"), 0);
});

test("L2: the control service holds no credential, and its environment has none to read", async () => {
  const tools = await (await fetch(`${api.url}/v1/tools`, { headers: authorized })).text();
  world.canary.search("the list of tools", Buffer.from(tools));
  assert.match(tools, /"E2E_KEY"/);
  const { text } = { text: await (await fetch(`${api.url}/v1/ca.pem`, { headers: authorized })).text() };
  assert.equal(text.match(/BEGIN/g)?.length, 1);
  assert.doesNotMatch(text + bundle, /PRIVATE/);
});

test("writes a line for each request, without what was sent, and stops in order", async () => {
  const unauthorized = await fetch(`${api.url}/v1/tools?key=hush`, {
    headers: { Authorization: "Bearer hush" },
  });
  assert.equal(unauthorized.status, 401);
  await unauthorized.text();
  await (await fetch(`${api.url}/hush-path`)).text();
  const lines = await eventually("the lines of both", () => {
    const requests = api.log.filter((line) => line.includes('"msg":"request"'));
    return requests.some((line) => line.includes('"status":404')) && requests;
  });
  assert.ok(lines.some((line) => line.includes('"path":"/v1/tools"') && line.includes('"status":401')));
  assert.ok(lines.every((line) => !line.includes("hush")));
  const ended = new Promise<number | null>((resolve) => api.child.once("close", resolve));
  api.child.kill("SIGTERM");
  assert.equal(await within("the control service stops", ended), 0);
  assert.match(api.log.at(-1) ?? "", /api stopped/);
});

test("I14: the control service shows neither of its keys to other processes", () => {
  world.canary.searchProcess(api.child.pid as number);
  world.canary.check();
});
