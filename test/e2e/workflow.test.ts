// The page "Use 1Password" from a declaration to the upstream: tools in a directory, credentials in a Connect server, a
// proxy, programs in a sandbox's environment. One canary searches everything that comes out anywhere (L1).
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { run as runCommand } from "../helpers/cli.ts";
import { warehouseHost } from "../helpers/warehouse.ts";
import { valueOf } from "./harness/message.ts";
import { missing, run } from "./harness/programs.ts";
import { type Address, startSallyport } from "./harness/sallyport.ts";
import { eventually, pause } from "./harness/wait.ts";
import {
  at,
  canary,
  config,
  connect,
  credentials,
  env,
  folder,
  harnessNames,
  managementKey,
  manyHost,
  names,
  open,
  otherHost,
  others,
  proxy,
  sallyport,
  stored,
  upstream,
  vault,
} from "./workflow-support.ts";

test("E1: the header that is declared arrives with the value of the 1Password item", async () => {
  const client = await open(warehouseHost);
  const fields = ["Authorization: Bearer WAREHOUSE_API_KEY"];
  assert.equal((await client.request("POST", "/v1/query", { fields, body: "select 1" })).status, 200);
  const seen = await upstream.request("/v1/query");
  assert.equal(valueOf(seen.fields, "authorization"), `Bearer ${credentials["WAREHOUSE_API_KEY"]}`);
  client.close();
});

test("A2, B1: Connect is asked by the vault's name, the item's name and then its id", () => {
  const asked = connect.requests.map((path) => decodeURIComponent(path.replaceAll("+", " ")));
  assert.ok(asked.includes('/v1/vaults?filter=title eq "agents"'), asked.join("\n"));
  assert.ok(asked.includes(`/v1/vaults/${vault.id}/items?filter=title eq "WAREHOUSE_API_KEY"`));
  assert.ok(asked.includes(`/v1/vaults/${vault.id}/items/${vault.items[0]?.id}`));
});

/** A request that is refused as misuse of a placeholder, before anything of it reaches the upstream. */
async function assertRefused(host: string, path: string, field: string): Promise<void> {
  const client = await open(host);
  const { status, fields } = await client.request("GET", path, { fields: [field] });
  assert.deepEqual([status, valueOf(fields, "sallyport-reason")], [403, "placeholder_misused"]);
  assert.equal(upstream.count(path), 0);
  client.close();
}

test("E2: the same request to another host is refused, and the host gets neither placeholder nor value", async () => {
  await assertRefused(otherHost, "/other-host", "Authorization: Bearer WAREHOUSE_API_KEY");
});

test("E3: another header is refused; in the body, the path and the query the placeholder stays as it is", async () => {
  await assertRefused(warehouseHost, "/other-header", "X-Api-Key: WAREHOUSE_API_KEY");
  await assertRefused(manyHost, "/query-only", "Authorization: Bearer QUERY_ONLY");
  const client = await open(warehouseHost);
  const path = "/WAREHOUSE_API_KEY/places?key=WAREHOUSE_API_KEY";
  assert.equal((await client.request("POST", path, { body: "WAREHOUSE_API_KEY" })).status, 200);
  const seen = await upstream.request("/WAREHOUSE_API_KEY/places");
  assert.equal(seen.target, path);
  assert.equal(seen.body.toString(), "WAREHOUSE_API_KEY");
  client.close();
  const other = await open(manyHost);
  await other.request("POST", "/QUERY_ONLY/kept", { body: "QUERY_ONLY" });
  const kept = await upstream.request("/QUERY_ONLY/kept");
  assert.equal(kept.body.toString(), "QUERY_ONLY");
  other.close();
});

test("E4, E5: names in any case, patterns, Basic credentials, query, path and injection, two names of one beginning", async () => {
  const client = await open(manyHost);
  const fields = ["x-KEYS: KEY_2 and KEY", "X-App-Auth: BY_PATTERN", "X-Token: from the workload"];
  await client.request("GET", "/v1/IN_PATH/rows?a=1&q=QUERY_ONLY&apikey=mine", { fields });
  const seen = await upstream.request(`/v1/${credentials["IN_PATH"]}/rows`);
  assert.equal(valueOf(seen.fields, "x-keys"), `${credentials["KEY_2"]} and ${credentials["KEY"]}`);
  assert.equal(valueOf(seen.fields, "x-app-auth"), credentials["BY_PATTERN"]);
  assert.equal(valueOf(seen.fields, "x-token"), `Token ${credentials["IN_HEADER"]}`);
  const query = new URL(seen.target, "https://x").searchParams;
  assert.deepEqual([query.get("a"), query.get("q")], ["1", credentials["QUERY_ONLY"]]);
  assert.deepEqual(query.getAll("apikey"), [credentials["IN_QUERY"]]);
  client.close();
  const basic = await open(warehouseHost);
  const payload = Buffer.from("user:WAREHOUSE_API_KEY").toString("base64");
  await basic.request("GET", "/basic", { fields: [`Authorization: Basic ${payload}`] });
  const { fields: sent } = await upstream.request("/basic");
  const real = Buffer.from(`user:${credentials["WAREHOUSE_API_KEY"]}`).toString("base64");
  assert.equal(valueOf(sent, "authorization"), `Basic ${real}`);
  basic.close();
});

test("E6: the record of a request names the reference and the place, and no value", async () => {
  const client = await open(warehouseHost);
  await client.request("GET", "/recorded", { fields: ["Authorization: Bearer WAREHOUSE_API_KEY"] });
  client.close();
  const record = await proxy.audit.last(client, 2);
  assert.equal(record.audit.host, warehouseHost);
  const swapped = record.request_transforms?.find(({ name }) => name === "secrets")?.annotations?.["swapped"];
  assert.deepEqual(swapped, [
    { secret: "op://agents/WAREHOUSE_API_KEY/credential", locations: ["header:Authorization"] },
  ]);
});

test("E7: a credential that cannot be had refuses the request, and says which reason it is", async () => {
  const client = await open(warehouseHost);
  const { status, fields } = await client.request("GET", "/forgotten", {
    fields: ["X-Other-Key: FORGOTTEN"],
  });
  assert.deepEqual([status, valueOf(fields, "sallyport-reason")], [403, "secret_unavailable"]);
  assert.equal(upstream.count("/forgotten"), 0);
  const told = proxy.log.find(({ error }) =>
    String(error).includes('item "FORGOTTEN" not found in vault "agents"'),
  );
  assert.equal(told?.level, "WARN");
  client.close();
});

test("E8: a large body passes as it is, and the connection serves the next request", async () => {
  const client = await open(warehouseHost);
  const body = "WAREHOUSE_API_KEY ".repeat(150_000);
  const fields = ["Authorization: Bearer WAREHOUSE_API_KEY"];
  assert.equal((await client.request("POST", "/large", { fields, body })).status, 200);
  const seen = await upstream.request("/large");
  assert.equal(seen.body.length, body.length);
  assert.ok(seen.body.equals(Buffer.from(body)));
  assert.equal((await client.request("GET", "/after-large", { fields })).status, 200);
  client.close();
});

for (const [name, host, header, sent, arrives] of [
  ["OPENAI_API_KEY", "api.openai.com", "Authorization", "Bearer OPENAI_API_KEY", "Bearer "],
  ["ANTHROPIC_API_KEY", "api.anthropic.com", "X-Api-Key", "ANTHROPIC_API_KEY", ""],
  ["AMP_API_KEY", "ampcode.com", "Authorization", "Bearer AMP_API_KEY", "Bearer "],
] as const) {
  test(`F1: ${name} goes to ${host} in ${header}`, async () => {
    const client = await open(host);
    await client.request("POST", `/harness/${name}`, { fields: [`${header}: ${sent}`], body: "{}" });
    const { fields } = await upstream.request(`/harness/${name}`);
    assert.equal(valueOf(fields, header), `${arrives}${credentials[name]}`);
    client.close();
  });
}

/** Programs of others that send the placeholder they find in their environment. */
const programs: Readonly<Record<string, (url: string) => string[]>> = {
  node: (url) => [
    "-e",
    `fetch("${url}", { headers: { Authorization: "Bearer " + process.env.WAREHOUSE_API_KEY } }).then(async (r) => console.log(await r.text()))`,
  ],
  curl: (url) => ["-sSf", "-H", "Authorization: Bearer WAREHOUSE_API_KEY", url],
  python3: (url) => [
    "-c",
    `import os, urllib.request as u\nprint(u.urlopen(u.Request("${url}", headers={"Authorization": "Bearer " + os.environ["WAREHOUSE_API_KEY"]})).read())`,
  ],
  git: (url) => ["-c", "http.extraHeader=Authorization: Bearer WAREHOUSE_API_KEY", "ls-remote", url],
};

test("D1, D3: `sandbox env` gives placeholders and the way to the proxy, and nothing of value", async () => {
  const { host, port } = proxy.addresses.tunnel as Address;
  const args = [
    "--proxy",
    `http://${host}:${port}`,
    "--write-ca",
    at("bundle.pem"),
    "--name",
    "sbx-1",
    "--format",
    "json",
  ];
  const text = await sallyport("sandbox", "env", "--config", proxy.configFile, ...args);
  const variables = JSON.parse(text) as Record<string, string>;
  for (const name of [...names, ...harnessNames]) assert.equal(variables[name], name);
  assert.match(variables["HTTPS_PROXY"] ?? "", new RegExp(`^http://sbx:sbx1\\..*@${host}:${port}$`));
  assert.doesNotMatch(readFileSync(at("bundle.pem"), "utf8"), /PRIVATE/);
  writeFileSync(at("sandbox.json"), text);
});

for (const [program, args] of Object.entries(programs)) {
  const command = program === "node" ? process.execPath : program;
  test(`D4: ${program} with the environment of \`sandbox env\` reaches the upstream with the real value`, {
    skip: missing(command),
  }, async () => {
    const sandbox = JSON.parse(readFileSync(at("sandbox.json"), "utf8")) as Record<string, string>;
    const url = `https://${warehouseHost}/by-${program}`;
    const own = { ...sandbox, HOME: folder, GIT_TERMINAL_PROMPT: "0", GIT_CONFIG_NOSYSTEM: "1" };
    const { code, stdout, stderr } = await run(command, args(url), { env: own });
    canary.search(`what ${program} can see`, Buffer.from(JSON.stringify(own) + stdout + stderr));
    // The upstream is no repository.
    if (program !== "git") assert.equal(code, 0, stderr);
    const { fields } = await upstream.request(program === "git" ? "/by-git/info/refs" : `/by-${program}`);
    assert.equal(valueOf(fields, "authorization"), `Bearer ${credentials["WAREHOUSE_API_KEY"]}`);
  });
}

test("L1: a process of the sandbox finds no credential in its environment or its arguments", {
  skip: existsSync("/proc/self/environ") ? false : "this system has no /proc",
}, async () => {
  const sandbox = JSON.parse(readFileSync(at("sandbox.json"), "utf8")) as Record<string, string>;
  const script =
    'const fs = require("fs"); for (const f of ["environ", "cmdline"]) process.stdout.write(fs.readFileSync("/proc/self/" + f))';
  const { stdout } = await run(process.execPath, ["-e", script], { env: sandbox });
  assert.match(stdout, /WAREHOUSE_API_KEY=WAREHOUSE_API_KEY/);
  canary.search("environ and cmdline of a process of the sandbox", Buffer.from(stdout));
  canary.search("cmdline of the proxy", readFileSync(`/proc/${proxy.pid}/cmdline`));
});

test("L1: no command prints a credential, and verify reads every one of them", async () => {
  const rendered = await sallyport("tools", "render", at("tools"));
  assert.match(rendered, /secret_ref: op:\/\/agents\/WAREHOUSE_API_KEY\/credential/);
  await sallyport("tools", "list", "--json", at("tools"));
  await sallyport("tools", "check", at("tools"));
  await sallyport("check", proxy.configFile);
  await sallyport(
    "explain",
    proxy.configFile,
    "GET",
    `https://${warehouseHost}/`,
    "-H",
    "Authorization: Bearer WAREHOUSE_API_KEY",
  );
  // FORGOTTEN has no item, and everything else is in order.
  const data = JSON.parse(await sallyport("verify", "--json", "--config", proxy.configFile)) as {
    checks: { subject: string; kind: string; status: string; cause: string | null }[];
  };
  const failed = data.checks.filter(({ status }) => status !== "ok");
  assert.deepEqual(
    failed.map(({ subject, cause }) => [subject, cause]),
    [["FORGOTTEN", "item"]],
  );
  const read = data.checks.filter(({ kind, status }) => kind === "credential" && status === "ok");
  assert.equal(read.length, names.length + harnessNames.length);
});

test("L1: neither metrics nor the management API nor an error tells one", async () => {
  const address = (msg: string) => String(proxy.log.find((line) => line.msg === msg)?.["addr"]);
  const authorization = { Authorization: `Bearer ${managementKey}` };
  for (const [url, headers, wanted] of [
    [`http://${address("metrics server starting")}/metrics`, {}, /sallyport_/],
    [
      `http://${address("management server starting")}/v1/status`,
      authorization,
      /op:\/\/agents\/KEY_2\/credential/,
    ],
    [`http://${address("management server starting")}/v1/status`, {}, /./],
    [`http://${address("metrics server starting")}/readyz`, {}, /./],
  ] as const) {
    const text = await (await fetch(url, { headers })).text();
    assert.match(text, wanted);
    canary.search(url, Buffer.from(text));
  }
});

async function sentNow(): Promise<string | undefined> {
  const client = await open(warehouseHost);
  const { status } = await client.request("GET", "/now", { fields: ["Authorization: WAREHOUSE_API_KEY"] });
  client.close();
  assert.equal(status, 200);
  return valueOf((await upstream.request("/now", upstream.count("/now"))).fields, "authorization");
}

test("A5: an item that is rotated is used within the ttl, without a restart", async () => {
  const before = credentials["WAREHOUSE_API_KEY"];
  vault.items = vault.items.map((item) => (item.title === "WAREHOUSE_API_KEY" ? stored(item.title) : item));
  assert.notEqual(credentials["WAREHOUSE_API_KEY"], before);
  const until = performance.now() + 5000;
  while ((await sentNow()) !== credentials["WAREHOUSE_API_KEY"]) {
    assert.ok(performance.now() < until, "not within five times the ttl");
    await pause(100);
  }
});

test("A6: while Connect fails the old value serves, with a warning; a rate limit is named and not hammered", async () => {
  const warnings = () =>
    proxy.log.filter(({ msg }) => msg === "a secret source failed").map(({ error }) => String(error));
  connect.misbehave = (_, response) => {
    response.writeHead(503).end("{}");
    return true;
  };
  const stale = /serving stale value: .*the Connect server answered with status 503/;
  await eventually("a warning", () => {
    void sentNow().catch(() => {});
    return warnings().some((text) => stale.test(text));
  });
  assert.equal(await sentNow(), credentials["WAREHOUSE_API_KEY"]);
  connect.misbehave = (_, response) => {
    response.writeHead(429, { "Retry-After": "60" }).end("{}");
    return true;
  };
  await eventually("the rate limit is named", () => {
    void sentNow().catch(() => {});
    return warnings().some((text) =>
      /WAREHOUSE_API_KEY.*rate limited by the Connect server \(429\)/.test(text),
    );
  });
  await pause(300); // what was under way
  const path = `/items/${vault.items[0]?.id}`;
  const asked = () => connect.requests.filter((request) => request.endsWith(path)).length;
  const before = asked();
  for (let time = 0; time < 5; time++) {
    assert.equal(await sentNow(), credentials["WAREHOUSE_API_KEY"]);
    await pause(300);
  }
  assert.equal(asked(), before, "not asked again before Retry-After");
  connect.misbehave = undefined;
});

test("A7: a variable that is missing is named in the log of the start", async () => {
  const cases: readonly [unset: keyof typeof env, mode: string, message: RegExp][] = [
    ["OP_CONNECT_HOST", "onepassword-connect", /env var "OP_CONNECT_HOST" is not set or empty/],
    ["OP_CONNECT_TOKEN", "onepassword-connect", /env var "OP_CONNECT_TOKEN" is not set or empty/],
    ["OP_CONNECT_TOKEN", "onepassword", /env var "OP_SERVICE_ACCOUNT_TOKEN" is not set or empty/],
    [
      "OP_VAULT",
      "onepassword-connect",
      /neither OP_VAULT nor tools\.vault is set: items are looked for in the vault "ai-agents"/,
    ],
  ];
  const starting = cases.map(async ([unset, mode, message], index): Promise<void> => {
    const { [unset]: _, ...rest } = env;
    const off = { metrics: { listen: "off" }, management: { listen: "off" } };
    const one = await startSallyport({
      folder: at(`a7-${index}`),
      config: { ...config, ...off, audit: { file: at(`audit-${index}.log`) } },
      env: { ...(rest as Record<string, string>), FIREWALL_MANAGER_SECRET_SOURCE: mode },
      canary,
    });
    others.push(one);
    await eventually(`${unset} is named`, () =>
      one.log.some(({ msg, error }) => message.test(msg) || message.test(String(error))),
    );
    await one.stop();
  });
  await Promise.all(starting);
});

test("A4: an unknown mode keeps the proxy from starting, and the three are named", async () => {
  const { code, stderr } = await runCommand(["start", "--config", proxy.configFile], {
    env: { ...env, FIREWALL_MANAGER_SECRET_SOURCE: "onepassword_connect" },
  });
  assert.equal(code, 1);
  assert.match(
    stderr,
    /unknown source mode "onepassword_connect"; must be "env", "onepassword" or "onepassword-connect"/,
  );
});
