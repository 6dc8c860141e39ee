import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { SourceRegistry } from "../../src/sources/registry.ts";
import { fakeClock } from "./fake-clock.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-file-source-"));
after(() => rmSync(folder, { recursive: true }));

let count = 0;
function file(content: string | Buffer, mode = 0o600): string {
  const path = join(folder, `secret-${++count}`);
  writeFileSync(path, content);
  chmodSync(path, mode);
  return path;
}

function scene() {
  const warnings: string[] = [];
  const clock = fakeClock();
  const registry = new SourceRegistry({ env: {}, clock, onWarning: (_, message) => warnings.push(message) });
  const read = async (path: string, keys: Record<string, unknown> = {}) => {
    const source = { type: "file", path, ...keys };
    const secret = await registry.handle(source, (_, message) => assert.fail(message)).get();
    return secret.reveal();
  };
  return { read, warnings, clock };
}

describe("R-01 the value", () => {
  const cases: readonly [what: string, content: string, value: string, keys?: Record<string, unknown>][] = [
    ["is the content", "s3cret", "s3cret"],
    ["loses one line break", "s3cret\n", "s3cret"],
    ["loses one Windows line break", "s3cret\r\n", "s3cret"],
    ["loses only one", "s3cret\n\n", "s3cret\n"],
    ["keeps spaces", "  s3cret ", "  s3cret "],
    ["keeps line breaks inside", "-----BEGIN\nKEY-----\n", "-----BEGIN\nKEY-----"],
    ["keeps its line break with trim: false", "s3cret\n", "s3cret\n", { trim: false }],
    ["may be as large as 64 kB", "a".repeat(65_536), "a".repeat(65_536)],
  ];
  for (const [what, content, value, keys] of cases) {
    test(what, async () => assert.equal(await scene().read(file(content), keys), value));
  }

  test("is read again after its ttl, so that a file replaced by renaming is picked up", async () => {
    const { read, clock } = scene();
    const path = file("s1");
    assert.equal(await read(path, { ttl: "1m" }), "s1");
    renameSync(file("s2"), path);
    clock.advance(30_000);
    assert.equal(await read(path, { ttl: "1m" }), "s1");
    clock.advance(120_000);
    assert.equal(await read(path, { ttl: "1m" }), "s2");
  });
});

describe("failures say what and where, and nothing of the content (I14)", () => {
  const refused = async (path: string, message: string | RegExp) => {
    await assert.rejects(scene().read(path), { name: "SourceError", message });
  };
  test("R-01 missing", () =>
    refused(join(folder, "no"), `reading secret file "${join(folder, "no")}": it does not exist`));
  test("R-01 empty", async () => {
    const path = file("");
    await refused(path, `secret file "${path}" is empty`);
  });
  test("only a line break", async () => {
    const path = file("\n");
    await refused(path, `secret file "${path}" is empty but for a line break`);
  });
  test("a directory", () => refused(folder, `reading secret file "${folder}": it is a directory`));
  test("a path through a file", async () => {
    const path = join(file("x"), "y");
    await refused(path, `reading secret file "${path}": a part of the path is not a directory`);
  });
  test("not readable by this user", {
    skip: process.getuid?.() === 0 ? "root may read everything" : false,
  }, async () => {
    await refused(
      file("canary", 0o000),
      /permission denied \(EACCES\); the proxy's user must be able to read it$/,
    );
  });
  test("not text", () => refused(file(Buffer.from([0xff, 0xfe, 0x41])), /is not UTF-8 text$/));
  test("a NUL byte", () =>
    refused(file("canary\0"), /^secret ".*": the value has a NUL byte; store it as text$/));
  test("larger than 64 kB", () => refused(file("c".repeat(65_537)), /it is larger than 65536 bytes$/));
  test("a named pipe does not hang the proxy", { skip: process.platform === "win32" }, async () => {
    const path = join(folder, "pipe");
    execFileSync("mkfifo", [path]);
    await refused(path, /it is not a regular file/);
  });
  test("a file without an end", { skip: process.platform === "win32" }, () =>
    refused("/dev/zero", /not a regular file/),
  );
});

describe("warnings", () => {
  test("a file that others can read is named once", { skip: process.platform === "win32" }, async () => {
    const { read, warnings, clock } = scene();
    const path = file("s", 0o644);
    await read(path, { ttl: "1m" });
    clock.advance(300_000);
    await read(path, { ttl: "1m" });
    assert.deepEqual(warnings, [
      `other users of this machine can reach secret file "${path}" (mode 0644); chmod it to 0600`,
    ]);
  });

  test("a file of its own is not", async () => {
    const { read, warnings } = scene();
    await read(file("s", 0o600));
    assert.deepEqual(warnings, []);
  });
});
