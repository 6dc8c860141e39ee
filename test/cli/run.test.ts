import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { valueOf } from "../e2e/harness/message.ts";
import { missing } from "../e2e/harness/programs.ts";
import { eventually } from "../e2e/harness/wait.ts";
import { credential, leftovers, openRuns } from "./run-fixture.ts";

const runs = await openRuns();
const { upstream, authority, url } = runs;
const secret = ["--secret", `OPENAI_API_KEY=${authority}`];
const base = ["--config", runs.config()];

/** What the upstream got in Authorization on a path. */
async function authorizationAt(path: string): Promise<string | undefined> {
  return valueOf((await upstream.request(path)).fields, "authorization");
}

const fetchScript = `
  fetch(process.argv[1], { headers: { authorization: "Bearer " + process.env.OPENAI_API_KEY } })
    .then((answer) => answer.text()).then((text) => process.stdout.write(text))`;
const urllibScript = `
import os, sys, urllib.request
request = urllib.request.Request(sys.argv[1], headers={"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"]})
sys.stdout.write(urllib.request.urlopen(request).read().decode())`;

describe("sallyport run", { concurrency: 3 }, () => {
  for (const [client, command] of [
    ["curl", ["sh", "-c", 'curl -sS -H "Authorization: Bearer $OPENAI_API_KEY" "$0"']],
    ["node", [process.execPath, "-e", fetchScript]],
    ["python3", ["python3", "-c", urllibScript]],
  ] as const) {
    test(`${client} in the child sends the placeholder, and the service gets the credential`, {
      skip: missing(client),
    }, async () => {
      const { code, stdout, stderr } = await runs.run([
        ...base,
        ...secret,
        "--",
        ...command,
        `${url}/${client}`,
      ]);
      assert.equal(stdout, "ok", stderr);
      assert.equal(code, 0);
      assert.equal(await authorizationAt(`/${client}`), `Bearer ${credential}`);
      assert.match(stderr, /^sallyport: 1 request allowed, 1 with a credential \(OPENAI_API_KEY 1\)$/m);
    });
  }

  test("attack 51: the child has a placeholder of the credential's shape, also inside other variables", async () => {
    const { stdout } = await runs.run([...base, ...secret, "--", "env"], {
      AUTH_HEADER: `Authorization: Bearer ${credential}`,
    });
    const env = new Map(stdout.split("\n").map((line) => line.split(/=(.*)/s) as [string, string]));
    const placeholder = env.get("OPENAI_API_KEY") ?? "";
    assert.match(placeholder, /^sk-proj-[A-Za-z0-9]{32}$/);
    assert.equal(env.get("AUTH_HEADER"), `Authorization: Bearer ${placeholder}`);
    assert.ok(!stdout.includes(credential));
  });

  test("attack 51: takes away what sources read, and gives the placeholders that a file names", async () => {
    const file = runs.config(
      `transforms:
  - name: secrets
    config:
      secrets:
        - {source: {type: env, var: REPLACED}, replace: {proxy_value: PLACEHOLDER-1234}, rules: [{host: a.example}]}
        - {source: {type: env, var: INJECTED}, inject: {header: X-Key}, rules: [{host: b.example}]}
        - {source: {type: 1password, secret_ref: "op://v/i/f"}, inject: {header: X-Key}, rules: [{host: c.example}]}
`,
      "sources.yaml",
    );
    const { stdout, stderr } = await runs.run(["--config", file, "--", "env"], {
      REPLACED: "real-replaced-value",
      INJECTED: "ghp_0123456789abcdefghijklmnopqrstuvwxyz",
      OP_SERVICE_ACCOUNT_TOKEN: "ops_token",
      SALLYPORT_LOG_LEVEL: "warn",
      IRON_PROXY_TOKEN: "managed",
      UNRELATED: "kept",
    });
    assert.match(stdout, /^REPLACED=PLACEHOLDER-1234$/m);
    assert.match(stdout, /^INJECTED=ghp_[a-z0-9]{36}$/m);
    assert.match(stdout, /^UNRELATED=kept$/m);
    assert.doesNotMatch(stdout, /^(OP_|SALLYPORT_|IRON_)/m);
    assert.doesNotMatch(stdout + stderr, /real-replaced|0123456789abcdef|ops_token/);
    assert.match(stderr, /placeholders for REPLACED, INJECTED$/m);
  });

  test("attack 54: refuses whoever does not know the password of this run", async () => {
    const script = `
      address=\${HTTPS_PROXY#*@}
      for proxy in http://$address http://sallyport:wrong@$address; do
        curl -s -o /dev/null -w '%{http_connect} ' -x $proxy ${url}/stranger
        curl -s -o /dev/null -w '%{http_code} ' -x $proxy http://api.run.test/stranger
      done; true`;
    const { stdout, stderr } = await runs.run([...base, ...secret, "--", "sh", "-c", script]);
    assert.equal(stdout, "407 407 407 407 ");
    assert.match(stderr, /^sallyport: 4 sent without the proxy's password$/m);
    assert.equal(upstream.count("/stranger"), 0);
  });

  test("reaches only the hosts of --secret where there is no file, and says so", async () => {
    const command = ["sh", "-c", "curl -s -o /dev/null -w '%{http_connect}' https://evil.example/; true"];
    const { stdout, stderr } = await runs.run([
      "--secret",
      "OPENAI_API_KEY=api.openai.com",
      "--",
      ...command,
    ]);
    assert.equal(stdout, "403");
    assert.deepEqual(stderr.trim().split("\n"), [
      "sallyport: only api.openai.com can be reached; the command has placeholders for OPENAI_API_KEY",
      "sallyport: 1 refused (evil.example 1)",
    ]);
  });

  test("denies everything without a file and a secret, and says so", async () => {
    const command = ["sh", "-c", "curl -s -o /dev/null -w '%{http_connect}' https://api.openai.com/; true"];
    const { stdout, stderr } = await runs.run(["--", ...command]);
    assert.equal(stdout, "403");
    assert.match(stderr, /every request is refused/);
  });

  test("never sends the credential to another host that is allowed", async () => {
    const file = runs.config(
      `transforms: [{name: allowlist, config: {rules: [{host: "${authority}"}]}}]`,
      "other.yaml",
    );
    const command = `curl -s -H "Authorization: Bearer $OPENAI_API_KEY" ${url}/other`;
    const { stderr } = await runs.run([
      "--config",
      file,
      "--secret",
      "OPENAI_API_KEY=api.openai.com",
      "--",
      "sh",
      "-c",
      command,
    ]);
    const sent = upstream.received.filter(({ target }) => target === "/other").map(({ head }) => head);
    assert.ok(!sent.join("").includes(credential));
    assert.match(stderr, /the allowlist refuses api\.openai\.com, so this credential is never used there/);
  });

  test("writes audit records where it is told to, and nothing of its own when quiet", async () => {
    const audit = join(dirname(base[1] as string), "audit.log");
    const { stdout, stderr } = await runs.run([
      ...base,
      ...secret,
      "--quiet",
      "--audit",
      audit,
      "--",
      "curl",
      "-sS",
      `${url}/quiet`,
    ]);
    assert.equal(stdout, "ok");
    assert.doesNotMatch(stderr, /^sallyport:/m);
    const paths = readFileSync(audit, "utf8").trim().split("\n");
    assert.ok(paths.some((line) => JSON.parse(line).audit.path === "/quiet"));
  });

  for (const [what, command, expected] of [
    ["the command's exit code", ["sh", "-c", "exit 7"], 7],
    ["128 and the signal's number", ["sh", "-c", "kill -TERM $$"], 143],
    ["127 for a command that is not there", ["no-such-command"], 127],
    ["126 for one that cannot be executed", ["/etc/passwd"], 126],
  ] as const) {
    test(`exits with ${what}`, async () => {
      const { code, stderr } = await runs.run(["--quiet", "--", ...command]);
      assert.equal(code, expected, stderr);
      if (expected === 126 || expected === 127) assert.match(stderr, /^sallyport: .*(not found|executed)/m);
    });
  }

  test("gives options after the command to the command", async () => {
    const { stdout } = await runs.run(["-q", "echo", "--quiet", "--", "-c"]);
    assert.equal(stdout, "--quiet -- -c\n");
  });

  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"] as const) {
    test(`passes ${signal} on, waits for the command, and leaves nothing behind`, async () => {
      const script = `
        trap 'echo got; exit 9' ${signal.slice(3)}
        echo "$SSL_CERT_FILE"
        while :; do sleep 0.1; done`;
      const { process: sallyport, output, ended } = runs.start(["--quiet", "--", "sh", "-c", script]);
      await eventually("the command is ready", () => output().includes("\n"), 30_000);
      sallyport.kill(signal);
      const { code, stdout } = await ended;
      const [bundle = "", ...rest] = stdout.trim().split("\n");
      assert.deepEqual(rest, ["got"]);
      assert.equal(code, 9);
      assert.throws(() => readFileSync(bundle), { code: "ENOENT" });
    });
  }

  test("a Ctrl-C of the terminal reaches the command once", {
    skip: process.platform === "linux" ? missing("python3") : "this terminal is Linux's",
  }, () => {
    const script = `
import os, pty, sys, time
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
text = b""
pressed = False
while True:
    try: part = os.read(terminal, 1024)
    except OSError: break
    if not part: break
    text += part
    if b"ready" in text and not pressed:
        pressed = True
        os.write(terminal, b"\\x03")
status = os.waitpid(pid, 0)[1]
print(text.count(b"got"), os.waitstatus_to_exitcode(status))`;
    const child = "trap 'echo got' INT; echo ready; for i in 1 2 3 4 5 6 7 8; do sleep 0.1; done; exit 4";
    const executable = new URL("../../bin/sallyport", import.meta.url).pathname;
    const { stdout, stderr } = spawnSync(
      "python3",
      ["-c", script, executable, "run", "--quiet", "--", "sh", "-c", child],
      { encoding: "utf8", timeout: 30_000 },
    );
    assert.equal(stdout, "1 4\n", stderr);
  });

  test("a file that is wrong ends the run before the command starts", async () => {
    const file = join(dirname(base[1] as string), "wrong.yaml");
    writeFileSync(file, "proxy: {tunnel_lisen: off}\n");
    const { code, stdout, stderr } = await runs.run(["--config", file, "--", "echo", "started"]);
    assert.deepEqual([code, stdout], [1, ""]);
    assert.match(stderr, /wrong\.yaml:1:9: .*tunnel_listen/);
  });
});

test("runs leave no file behind", () => {
  assert.deepEqual(leftovers(runs), []);
});
