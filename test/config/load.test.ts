import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { formatIssue } from "../../src/config/issues.ts";
import { loadConfig } from "../../src/config/load.ts";
import { address, ca } from "../helpers/config.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-config-"));
after(() => rmSync(folder, { recursive: true }));

const files: readonly [what: string, make: (path: string) => void, message: string][] = [
  ["a missing file", () => {}, "opening config file: no such file"],
  ["a directory", (path) => mkdirSync(path), "opening config file: it is a directory"],
  [
    "bytes that are no text",
    (path) => writeFileSync(path, Buffer.from([0x61, 0xff, 0xfe])),
    "not UTF-8 text",
  ],
  [
    "a file of megabytes",
    (path) => writeFileSync(path, "#".repeat(9_000_000)),
    "larger than 8388608 bytes; this is no configuration",
  ],
];

for (const [index, [what, make, message]] of files.entries()) {
  test(`says what is wrong with ${what}`, () => {
    const path = join(folder, `${index}.yaml`);
    make(path);
    const { config, issues } = loadConfig({ file: path, env: {} });
    assert.equal(config, undefined);
    assert.deepEqual(issues.map(formatIssue), [`${path}: ${message}`]);
  });
}

test("reads a file, with or without a byte order mark", () => {
  const path = join(folder, "good.yaml");
  writeFileSync(path, `\uFEFF${ca}`);
  assert.equal(loadConfig({ file: path, env: {} }).config?.file, path);
});

const locations: readonly [location: string, message: RegExp][] = [
  [
    "s3://bucket/key",
    /configuration in S3 is not supported yet; fetch it first and give the path of the local file/,
  ],
  ["s3://bucket/nested/key.yaml", /not supported yet; fetch it first/],
  ["s3://bucket", /invalid S3 URL "s3:\/\/bucket": expected s3:\/\/bucket\/key/],
  ["s3://bucket/", /invalid S3 URL/],
  ["s3:///key", /invalid S3 URL/],
  ["https://example.com/proxy.yaml", /is a URL; fetch it first/],
];

for (const [location, message] of locations) {
  test(`refuses to fetch ${location}`, () => {
    const { config, issues } = loadConfig({ file: location, env: {} });
    assert.equal(config, undefined);
    assert.match(issues[0]?.message ?? "", message);
  });
}

test("iron-proxy's reference file loads without a fault", () => {
  const { config, issues } = loadConfig({
    file: new URL("fixtures/iron-proxy.yaml", import.meta.url).pathname,
    env: {},
  });
  assert.deepEqual(
    issues.map((issue) => issue.message),
    [],
  );
  assert.equal(config?.transforms.length, 2);
  assert.equal(address(config?.proxy.tunnelListen ?? "off"), ":8080");
  assert.deepEqual(config?.proxy.upstreamDenyCidrs, ["169.254.169.254/32", "127.0.0.0/8"]);
  assert.equal(config?.proxy.upstreamResponseHeaderTimeoutMs, 60_000);
  assert.equal(config?.dns.proxyIp, "172.20.0.2");
});
