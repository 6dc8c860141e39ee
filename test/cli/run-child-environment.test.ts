import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { childEnvironment, refuseCredentialsInArguments } from "../../src/cli/run/environment.ts";
import { passwordGate } from "../../src/cli/run/password.ts";
import { withheldVariables } from "../../src/cli/run/variables.ts";
import { credentialHeaders } from "../../src/cli/run/configuration.ts";
import { isForbiddenForCredentials } from "../../src/transforms/header-matcher.ts";
import { lowerCaseName } from "../../src/http/headers.ts";
import { ca, configOf } from "../helpers/config.ts";

const proxyUrl = "http://sallyport:password@127.0.0.1:1234";

function childOf(env: NodeJS.ProcessEnv, placeholders: Record<string, string> = {}): NodeJS.ProcessEnv {
  return childEnvironment({
    env,
    placeholders: new Map(Object.entries(placeholders)),
    withheld: new Set(["OP_SERVICE_ACCOUNT_TOKEN"]),
    proxyUrl,
    bundle: "/tmp/bundle.pem",
  });
}

test("leads every client to the proxy, in both cases, and none of them round it", () => {
  const child = childOf({
    HTTPS_PROXY: "http://me:secret@corp:3128",
    https_proxy: "http://me:secret@corp:3128",
    no_proxy: "*",
    npm_config_proxy: "http://corp",
    GRPC_PROXY: "http://corp",
    NODE_OPTIONS: "--no-warnings",
    PATH: "/bin",
  });
  for (const name of ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"]) {
    assert.equal(child[name], proxyUrl);
    assert.equal(child[name.toLowerCase()], proxyUrl);
  }
  assert.equal(child["NO_PROXY"], "localhost,127.0.0.1,::1,[::1]");
  assert.equal(child["no_proxy"], child["NO_PROXY"]);
  assert.equal(child["npm_config_proxy"], undefined);
  assert.equal(child["GRPC_PROXY"], undefined);
  assert.equal(child["NODE_OPTIONS"], "--no-warnings");
  assert.equal(child["PATH"], "/bin");
  assert.ok(!JSON.stringify(child).includes("corp"));
});

test("lets every client trust the bundle", () => {
  const child = childOf({ SSL_CERT_FILE: "/etc/corp.pem" });
  assert.equal(child["NODE_USE_ENV_PROXY"], "1");
  for (const name of [
    "NODE_EXTRA_CA_CERTS",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "AWS_CA_BUNDLE",
    "DENO_CERT",
    "CARGO_HTTP_CAINFO",
  ]) {
    assert.equal(child[name], "/tmp/bundle.pem", name);
  }
});

test("attack 51: swaps a credential in every variable, the longest first", () => {
  const child = childOf(
    {
      KEY: "abcdefgh12",
      LONG: "abcdefgh12-and-more",
      URL: "https://user:abcdefgh12@host/",
      BOTH: "abcdefgh12-and-more abcdefgh12",
      OP_SERVICE_ACCOUNT_TOKEN: "ops",
      SALLYPORT_PROXY_DEFAULT: "deny",
    },
    { KEY: "P$&1", LONG: "P2" },
  );
  assert.equal(child["KEY"], "P$&1");
  assert.equal(child["URL"], "https://user:P$&1@host/");
  assert.equal(child["BOTH"], "P2 P$&1");
  assert.equal(child["OP_SERVICE_ACCOUNT_TOKEN"], undefined);
  assert.equal(child["SALLYPORT_PROXY_DEFAULT"], undefined);
});

test("leaves short values in other variables alone: they stand there by chance", () => {
  const child = childOf({ KEY: "on", OTHER: "configuration on" }, { KEY: "placeholder" });
  assert.equal(child["OTHER"], "configuration on");
});

test("I14: an argument with a credential is refused by its place, not by its text", () => {
  const options = { env: { KEY: "abcdefgh12" }, placeholders: new Map([["KEY", "P"]]) };
  refuseCredentialsInArguments(["curl", "$KEY"], options);
  assert.throws(
    () => refuseCredentialsInArguments(["curl", "-u", "me:abcdefgh12"], options),
    (error: Error) => {
      assert.match(error.message, /^argument 2 of the command holds the value of KEY/);
      assert.ok(!error.message.includes("abcdefgh12"));
      return true;
    },
  );
});

test("attack 54: only the password of this run opens the gate, with any spelling of the scheme", () => {
  const gate = passwordGate();
  const { username, password } = new URL(gate.urlFor("127.0.0.1:1"));
  const credentials = (text: string) => Buffer.from(text).toString("base64");
  const right = credentials(`${username}:${password}`);
  assert.ok(gate.admits(`Basic ${right}`));
  assert.ok(gate.admits(`basic  ${right}`));
  const wrong = [
    `${username}:`,
    `${username}:${password}x`,
    `:${password}`,
    `${username}:${password.slice(1)}`,
  ];
  for (const text of [
    undefined,
    "",
    right,
    "Basic ",
    `Bearer ${right}`,
    ...wrong.map((one) => `Basic ${credentials(one)}`),
  ]) {
    assert.ok(!gate.admits(text));
  }
  assert.ok(!passwordGate().admits(`Basic ${right}`));
});

test("I7: --secret looks into no header that is not for credentials", () => {
  for (const name of credentialHeaders) {
    assert.ok(!isForbiddenForCredentials(lowerCaseName(name)), name);
    assert.match(name, /auth|key|token/i);
  }
});

test("docs/run.md names every header of --secret and every variable that the child gets", () => {
  const page = readFileSync(new URL("../../docs/run.md", import.meta.url), "utf8");
  const variables = Object.keys(childOf({})).filter((name) => name === name.toUpperCase());
  for (const name of [...credentialHeaders, ...variables]) {
    assert.ok(page.includes(`\`${name}\``) || page.includes(`\`${name}=`), name);
  }
});

test("I14: what client certificates and their keys are read from is withheld too", () => {
  const config = configOf(ca);
  const handles = ["CLIENT_CERT", "CLIENT_KEY"].map((name) => ({
    name,
    variables: [name],
    get: () => assert.fail("read"),
  }));
  const withheld = withheldVariables(config, [], handles);
  assert.ok(withheld.has("CLIENT_CERT") && withheld.has("CLIENT_KEY"));
});
