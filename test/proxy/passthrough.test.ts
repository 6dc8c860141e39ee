// tls.passthrough at load: what is never opened is given no credential.
import assert from "node:assert/strict";
import { test } from "node:test";
import { formatIssue } from "../../src/config/issues.ts";
import { loadConfig } from "../../src/config/load.ts";
import { buildTransforms } from "../../src/proxy/build-transforms.ts";
import { SourceRegistry } from "../../src/sources/registry.ts";
import { transformKinds } from "../../src/transforms/registry.ts";

function issuesOf(
  passthrough: string,
  credential: string,
  allowed = '"*.example.com", other.example.org',
): string[] {
  const text = `proxy: {tunnel_listen: "127.0.0.1:0"}
tls: {ca_cert: a, ca_key: b, passthrough: [${passthrough}]}
transforms:
  - name: allowlist
    config: {domains: [${allowed}]}
  - name: secrets
    config:
      secrets:
        - source: {type: env, var: KEY}
          inject: {header: Authorization}
          rules: [${credential}]
`;
  const loaded = loadConfig({ file: "p.yaml", text, env: {} });
  assert.deepEqual(loaded.issues, []);
  assert.ok(loaded.config !== undefined);
  const sources = new SourceRegistry({ env: {}, onWarning: () => {} });
  const { issues } = buildTransforms(loaded.config, {
    kinds: transformKinds,
    sources,
    locate: loaded.locate,
    file: "p.yaml",
  });
  sources.close();
  return issues.map(formatIssue);
}

test("hosts that have nothing to do with each other are fine", () => {
  assert.deepEqual(issuesOf("pinned.example.com", "{host: api.example.com}"), []);
});

for (const [what, passthrough, rule] of [
  ["the same host", "api.example.com", "{host: api.example.com}"],
  ["the same pattern", '"*.example.com"', '{host: "*.example.com"}'],
  ["a host inside the pattern", '"*.example.com"', "{host: api.example.com}"],
] as const) {
  test(`I2: a credential for ${what} is an error, at its rule`, () => {
    const [issue, ...more] = issuesOf(passthrough, rule);
    assert.deepEqual(more, []);
    assert.match(
      issue ?? "",
      /^p\.yaml:11:2\d: tls\.passthrough lets .* through unopened, so this credential would/,
    );
  });
}

test("I2: a credential for a pattern that includes a host is a warning", () => {
  const [issue, ...more] = issuesOf("pinned.example.com", '{host: "*.example.com"}');
  assert.deepEqual(more, []);
  assert.match(
    issue ?? "",
    /^p\.yaml:11:2\d: warning: tls\.passthrough lets some of \*\.example\.com through unopened/,
  );
});

test("a pattern that policy refuses passes nothing, and says so", () => {
  const issues = issuesOf("refused.example.net", "{host: api.example.com}");
  assert.equal(issues.length, 1);
  assert.match(issues[0] ?? "", /^p\.yaml:2:\d+: warning: policy refuses refused\.example\.net/);
});

test("a pattern that is none is an error at its place", () => {
  const issues = issuesOf('"https://api.example.com/"', "{host: api.example.com}");
  assert.match(issues[0] ?? "", /^p\.yaml:2:\d+: host "https:\/\/api\.example\.com\/": /);
});
