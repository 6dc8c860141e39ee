// `sallyport bootstrap` with a kubectl that only writes down what it is told.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, beforeEach, test } from "node:test";
import { parse, parseAllDocuments } from "yaml";
import { chartNames } from "../../src/cli/bootstrap/plan.ts";
import { parseCa } from "../../src/tls/ca.ts";
import { type FakeKubectl, fakeKubectl } from "../fakes/kubectl.ts";
import { run } from "../helpers/cli.ts";

let kubectl: FakeKubectl;
beforeEach(() => {
  kubectl = fakeKubectl();
});
afterEach(() => kubectl.close());

const folder = mkdtempSync(join(tmpdir(), "sallyport-bootstrap-"));
after(() => rmSync(folder, { recursive: true }));
const canary = (name: string) => `canary-${name}-${randomBytes(9).toString("hex")}`;
const serviceToken = canary("service-token");
const connectToken = canary("connect-token");
const credentials = JSON.stringify({ verifier: canary("credentials") });
const credentialsFile = join(folder, "1password-credentials.json");
writeFileSync(credentialsFile, credentials);

const { infra, connect, connectKey, ca } = chartNames;
const onepassword = { OP_VAULT: "agents", OP_SERVICE_ACCOUNT_TOKEN: serviceToken };
const withConnect = {
  OP_VAULT: "agents",
  OP_CONNECT_TOKEN: connectToken,
  OP_CONNECT_CREDENTIALS_FILE: credentialsFile,
};

const bootstrap = (env: NodeJS.ProcessEnv, ...options: string[]) =>
  run(["bootstrap", `--kubectl=${kubectl.program}`, "-n", "centaur-system", ...options], { env });

test("J2: makes the infra Secret with two random keys, and a CA with certificate and key apart", async () => {
  const { code, stdout, stderr } = await bootstrap(onepassword);
  assert.deepEqual([code, stderr], [0, ""]);
  const made = kubectl.secret(infra) ?? {};
  assert.deepEqual(Object.keys(made).sort(), [
    "IRON_MANAGEMENT_API_KEY",
    "OP_SERVICE_ACCOUNT_TOKEN",
    "OP_VAULT",
    "SANDBOX_SIGNING_KEY",
  ]);
  assert.equal(made["OP_SERVICE_ACCOUNT_TOKEN"], serviceToken);
  assert.match(made["IRON_MANAGEMENT_API_KEY"] ?? "", /^[0-9a-f]{64}$/);
  assert.match(made["SANDBOX_SIGNING_KEY"] ?? "", /^[0-9a-f]{64}$/);
  assert.notEqual(made["IRON_MANAGEMENT_API_KEY"], made["SANDBOX_SIGNING_KEY"]);
  const shared = kubectl.secret(ca.certSecret) ?? {};
  assert.deepEqual(Object.keys(shared), [ca.certKey]);
  parseCa(shared[ca.certKey] ?? "", kubectl.secret(ca.keySecret)?.[ca.keyKey] ?? "");
  assert.deepEqual(kubectl.namespaces(), ["centaur-system"]);
  assert.equal(kubectl.secret(connect), undefined);
  assert.match(stdout, /^namespace centaur-system: made\nSecret centaur-infra-env: made, with OP_VAULT, /);
});

test("J1: with a credentials file the mode is Connect, and the file becomes a Secret", async () => {
  const { code } = await bootstrap(withConnect);
  assert.equal(code, 0);
  assert.deepEqual(kubectl.secret(connect), { [connectKey]: credentials });
  assert.equal(kubectl.secret(infra)?.["OP_CONNECT_TOKEN"], connectToken);
  assert.equal(kubectl.secret(infra)?.["OP_SERVICE_ACCOUNT_TOKEN"], undefined);
});

test("J3: a second run changes nothing", async () => {
  await bootstrap(withConnect);
  const names = [infra, connect, ca.certSecret, ca.keySecret];
  const before = names.map((name) => kubectl.secret(name));
  const calls = kubectl.calls().length;
  const { code, stdout } = await bootstrap(withConnect);
  assert.equal(code, 0);
  assert.deepEqual(
    names.map((name) => kubectl.secret(name)),
    before,
  );
  const verbs = kubectl
    .calls()
    .slice(calls)
    .flatMap((argv) => argv.filter((one) => one === "replace" || one === "delete"));
  assert.deepEqual(verbs, []);
  assert.match(stdout, /centaur-infra-env: was there, nothing to change\n/);
});

test("J3: a new Connect token is put in, and nothing else", async () => {
  await bootstrap(withConnect);
  const before = kubectl.secret(infra) ?? {};
  const { stdout } = await bootstrap({ ...withConnect, OP_CONNECT_TOKEN: "another-token" });
  assert.deepEqual(kubectl.secret(infra), { ...before, OP_CONNECT_TOKEN: "another-token" });
  assert.match(stdout, /centaur-infra-env: was there; put in OP_CONNECT_TOKEN\n/);
});

test("a Secret of somebody else's keeps its keys and gets those that are missing", async () => {
  await bootstrap({ ...onepassword, LOCAL_DEV_API_KEY: "local" }, "--add=LOCAL_DEV_API_KEY");
  const before = kubectl.secret(infra) ?? {};
  await bootstrap(onepassword);
  assert.deepEqual(kubectl.secret(infra), before);
});

test("J3: --force makes everything anew", async () => {
  await bootstrap(withConnect);
  const before = kubectl.secret(infra) ?? {};
  const certificate = kubectl.secret(ca.certSecret)?.[ca.certKey];
  assert.equal((await bootstrap(withConnect, "--force")).code, 0);
  assert.notEqual(kubectl.secret(infra)?.["SANDBOX_SIGNING_KEY"], before["SANDBOX_SIGNING_KEY"]);
  assert.notEqual(kubectl.secret(ca.certSecret)?.[ca.certKey], certificate);
});

for (const [what, env, options, message] of [
  ["no variable of the mode", {}, [], /mode onepassword needs .* OP_VAULT \(.*OP_SERVICE_ACCOUNT_TOKEN \(/],
  [
    "an empty token",
    { ...onepassword, OP_SERVICE_ACCOUNT_TOKEN: " " },
    [],
    /empty: OP_SERVICE_ACCOUNT_TOKEN \(/,
  ],
  ["Connect without its token", { OP_VAULT: "v" }, ["--mode=onepassword-connect"], /: OP_CONNECT_TOKEN \(/],
  [
    "an unreadable credentials file",
    { ...withConnect, OP_CONNECT_CREDENTIALS_FILE: "/nowhere" },
    [],
    /OP_CONNECT_CREDENTIALS_FILE: \/nowhere: no such file/,
  ],
  [
    "--add of what is not set",
    {},
    ["--mode=env", "--add=WAREHOUSE_API_KEY"],
    /WAREHOUSE_API_KEY \(for --add\)/,
  ],
  [
    "a mode that does not exist",
    onepassword,
    ["--mode=onepassword_connect"],
    /--mode: "onepassword_connect" is none of env, onepassword, onepassword-connect/,
  ],
  [
    "a kubectl that does not exist",
    onepassword,
    ["--kubectl=/nowhere/kubectl"],
    /no such program; install it, or use --dry-run/,
  ],
] as const) {
  test(`J1, J2: refuses ${what}, and touches nothing`, async () => {
    const { code, stderr } = await bootstrap(env, ...options);
    assert.notEqual(code, 0);
    assert.match(stderr, message);
    assert.deepEqual(kubectl.namespaces(), []);
  });
}

test("asks only for what the mode needs", async () => {
  assert.equal((await bootstrap({}, "--mode=env")).code, 0);
  assert.deepEqual(Object.keys(kubectl.secret(infra) ?? {}), [
    "IRON_MANAGEMENT_API_KEY",
    "SANDBOX_SIGNING_KEY",
  ]);
});

test("--prefix stands before every key", async () => {
  await bootstrap(onepassword, "--prefix=CENTAUR_");
  for (const key of Object.keys(kubectl.secret(infra) ?? {})) assert.match(key, /^CENTAUR_/);
});

test("L1, I14: no value is on a command line or in the output", async () => {
  const ran = [await bootstrap(withConnect), await bootstrap(onepassword, "--mode=onepassword")];
  const secrets = [infra, connect, ca.keySecret].flatMap((name) => Object.values(kubectl.secret(name) ?? {}));
  const values = secrets.filter((value) => value !== "agents" && !value.includes("CERTIFICATE"));
  assert.ok(values.length >= 6);
  const shown = JSON.stringify([kubectl.calls(), ran]);
  for (const value of values) assert.ok(!shown.includes(JSON.stringify(value).slice(1, -1)));
});

test("I14: an error of kubectl's that quotes its input is cut", async () => {
  kubectl.refuseSecrets();
  const { code, stderr } = await bootstrap(onepassword);
  assert.equal(code, 1);
  assert.match(stderr, /Forbidden/);
  for (const value of [serviceToken, Buffer.from(serviceToken).toString("base64")]) {
    assert.ok(!stderr.includes(value));
  }
});

test("--dry-run prints manifests that can be applied, and calls no kubectl", async () => {
  const { code, stdout, stderr } = await bootstrap(withConnect, "--dry-run");
  assert.equal(code, 0);
  assert.match(stderr, /hold secrets/);
  assert.deepEqual(kubectl.calls(), []);
  const manifests = parseAllDocuments(stdout).map(
    (document) => document.toJS() as { kind: string; metadata: { name: string } },
  );
  assert.deepEqual(
    manifests.map(({ kind, metadata }) => `${kind}/${metadata.name}`),
    [
      "Namespace/centaur-system",
      ...[infra, connect, ca.keySecret, ca.certSecret].map((name) => `Secret/${name}`),
    ],
  );
});

test("the names are those that the chart looks for", () => {
  const values = parse(readFileSync("charts/sallyport/values.yaml", "utf8")) as {
    secretManager: { existingSecretName: string };
    onepasswordConnect: { connect: { credentialsName: string; credentialsKey: string } };
    ca: { create: { certSecret: string; keySecret: string }; certKey: string; keyKey: string };
  };
  assert.equal(values.secretManager.existingSecretName, infra);
  assert.equal(values.onepasswordConnect.connect.credentialsName, connect);
  assert.equal(values.onepasswordConnect.connect.credentialsKey, connectKey);
  const { create, certKey, keyKey } = values.ca;
  assert.deepEqual({ certSecret: create.certSecret, keySecret: create.keySecret, certKey, keyKey }, ca);
});
