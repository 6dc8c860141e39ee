import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { run, runCheck } from "../helpers/cli.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-check-"));
after(() => rmSync(folder, { recursive: true }));

const good =
  "tls: {ca_cert: c, ca_key: k}\ntransforms: [{name: allowlist, config: {domains: [a.example]}}]\n";
const warned = "tls: {ca_cert: c, ca_key: k}\n";
const wrong = "proxy:\n  htp_listen: ':1'\ntransforms: [{name: allowlst}]\n";

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

test("a file without fault is ok and exits 0", async () => {
  const path = file("good.yaml", good);
  assert.deepEqual(await run(["check", path]), { code: 0, stdout: `${path}: ok\n`, stderr: "" });
});

test("every error of the file and its transforms comes at once, sorted by place, with a summary, and exits 1", async () => {
  const path = file("wrong.yaml", wrong);
  const { code, stdout } = await run(["check", path]);
  assert.equal(code, 1);
  assert.deepEqual(stdout.split("\n"), [
    `${path}:1:1: tls.ca_cert is required; make a CA with \`sallyport ca init\` and name its ca.crt here`,
    `${path}:1:1: tls.ca_key is required; make a CA with \`sallyport ca init\` and name its ca.key here`,
    `${path}:2:3: unknown key "htp_listen" in proxy; did you mean "http_listen"?`,
    `${path}:3:21: unknown transform "allowlst"; did you mean "allowlist"?`,
    `${path}: 4 errors`,
    "",
  ]);
});

test("warnings alone exit 0, and 1 with --strict", async () => {
  const message =
    "1:1: warning: there is no allowlist, so every request is refused; add an allowlist transform";
  assert.deepEqual(await runCheck(warned), { issues: [message], code: 0 });
  assert.deepEqual(await runCheck(warned, "--strict"), { issues: [message], code: 1 });
  assert.equal((await runCheck(good, "--strict")).code, 0);
});

test("--json gives the same to programs", async () => {
  const { code, stdout } = await run(["check", "--json", "-"], { stdin: wrong });
  const report = JSON.parse(stdout) as { issues: unknown[] };
  assert.equal(code, 1);
  assert.deepEqual(
    { ...report, issues: report.issues.slice(2) },
    {
      file: "<stdin>",
      ok: false,
      errors: 4,
      warnings: 0,
      issues: [
        {
          severity: "error",
          file: "<stdin>",
          line: 2,
          column: 3,
          path: ["proxy", "htp_listen"],
          message: 'unknown key "htp_listen" in proxy; did you mean "http_listen"?',
        },
        {
          severity: "error",
          file: "<stdin>",
          line: 3,
          column: 21,
          path: ["transforms", 0, "name"],
          message: 'unknown transform "allowlst"; did you mean "allowlist"?',
        },
      ],
    },
  );
});

test("the environment is checked with the file, as start would read it", async () => {
  const { code, stdout } = await run(["check", "-"], { stdin: good, env: { IRON_LOG_LEVEL: "loud" } });
  assert.equal(code, 1);
  assert.match(stdout, /^IRON_LOG_LEVEL: log.level: unknown log level: "loud"/);
});

test("no credential is read: a source that is not there is no error", async () => {
  const text = `${good}- name: secrets\n  config: {secrets: [{source: {type: file, path: /nonexistent}, inject: {header: X}, rules: [{host: a.example}]}]}\n`;
  const block = text.replace(
    "transforms: [{name: allowlist, config: {domains: [a.example]}}]",
    "transforms:\n- {name: allowlist, config: {domains: [a.example]}}",
  );
  assert.deepEqual(await runCheck(block), { issues: [], code: 0 });
});

test("I14: a credential in the file is warned of and shown nowhere", async () => {
  const text = `tls: {ca_cert: c, ca_key: k}
transforms:
- {name: allowlist, config: {domains: [a.example]}}
- name: secrets
  config: {secrets: [{source: {type: control_plane, value: hunter2}, inject: {header: X}, rules: [{host: a.example}]}]}
`;
  for (const options of [[], ["--json"]]) {
    const { stdout, stderr, code } = await run(["check", ...options, "-"], { stdin: text });
    assert.equal(code, 0);
    assert.match(stdout, /credential in plain text/);
    assert.doesNotMatch(stdout + stderr, /hunter2/);
  }
});

test("iron-proxy's reference file has a warning only", async () => {
  const path = new URL("../config/fixtures/iron-proxy.yaml", import.meta.url).pathname;
  const { code, stdout } = await run(["check", path]);
  assert.equal(code, 0, stdout);
  assert.match(stdout, /: 1 warning\n$/);
  assert.match(stdout, /warning: top-level proxy_value\/match_headers are deprecated/);
});

test("--schema prints a JSON Schema and needs no file", async () => {
  const { code, stdout } = await run(["check", "--schema"]);
  assert.equal(code, 0);
  assert.equal((JSON.parse(stdout) as { title: string }).title, "Sallyport configuration");
});

test("a missing file is an error of that file, no file at all is wrong usage", async () => {
  const missing = await run(["check", "/nonexistent/p.yaml"]);
  assert.equal(missing.code, 1);
  assert.match(missing.stdout, /^\/nonexistent\/p.yaml: opening config file: no such file\n/);
  const none = await run(["check"]);
  assert.deepEqual(none, {
    code: 2,
    stdout: "",
    stderr: "error: name a configuration file, or - for standard input\n",
  });
});
