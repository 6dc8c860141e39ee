import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { LineWriter, type LineWriterOptions } from "../../src/log/lines.ts";
import { eventually, temporaryDirectory } from "./support.ts";

/** A writer whose outages are noted. */
function open(t: TestContext, target: { file: string } | { fd: number }, options: LineWriterOptions = {}) {
  const writer = new LineWriter(target, { retryMs: 20, ...options });
  const events: string[] = [];
  writer.watch({
    failed: (problem) => events.push(`failed: ${problem}`),
    recovered: () => events.push("recovered"),
    reopenFailed: (problem) => events.push(`reopen: ${problem}`),
  });
  t.after(() => writer.close());
  return { writer, events };
}

/** A pipe with a name; reading begins when the test says so. */
function namedPipe(t: TestContext): { file: string; read: () => string; end: () => void } {
  const file = join(temporaryDirectory(t), "pipe");
  execFileSync("mkfifo", [file]);
  const reader = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  const buffer = Buffer.alloc(1 << 20);
  const read = (): string => {
    try {
      return buffer.toString("latin1", 0, fs.readSync(reader, buffer));
    } catch {
      return "";
    }
  };
  return { file, read, end: () => fs.closeSync(reader) };
}

test("lines arrive in order within some milliseconds, in a file only its owner may read", async (t) => {
  const file = join(temporaryDirectory(t), "log");
  const { writer } = open(t, { file });
  for (let n = 0; n < 5000; n++) writer.write(`line ${n} é\n`);
  await eventually(() => fs.readFileSync(file, "utf8").split("\n").length === 5001);
  const lines = fs.readFileSync(file, "utf8").split("\n");
  assert.deepEqual(
    lines.slice(0, -1),
    Array.from({ length: 5000 }, (_, n) => `line ${n} é`),
  );
  assert.equal(fs.statSync(file).mode & 0o777, 0o600);
});

test("a file that exists is appended to", async (t) => {
  const file = join(temporaryDirectory(t), "log");
  fs.writeFileSync(file, "before\n");
  const { writer } = open(t, { file });
  writer.write("after\n");
  await writer.close();
  assert.equal(fs.readFileSync(file, "utf8"), "before\nafter\n");
});

test("a file that cannot be opened is an error at once", (t) => {
  const file = join(temporaryDirectory(t), "no/such/directory");
  assert.throws(() => new LineWriter({ file }), { code: "ENOENT" });
});

test("close writes what waits; later lines are counted as lost", async (t) => {
  const file = join(temporaryDirectory(t), "log");
  const { writer } = open(t, { file }, { lingerMs: 60_000 });
  writer.write("one\n");
  await writer.close();
  assert.equal(fs.readFileSync(file, "utf8"), "one\n");
  assert.equal(writer.write("two\n"), false);
  assert.equal(writer.lost, 1);
});

test("flushSync writes before it returns", (t) => {
  const file = join(temporaryDirectory(t), "log");
  const { writer } = open(t, { file }, { lingerMs: 60_000 });
  writer.write("last words\n");
  writer.flushSync();
  assert.equal(fs.readFileSync(file, "utf8"), "last words\n");
});

test("after a rotation lines go to the new file, none torn, none lost", async (t) => {
  const directory = temporaryDirectory(t);
  const file = join(directory, "log");
  const { writer } = open(t, { file });
  let written = 0;
  for (let rotation = 0; rotation < 3; rotation++) {
    for (let n = 0; n < 500; n++) writer.write(`${String(written++).padStart(100)}\n`);
    await writer.flush();
    for (let n = 0; n < 500; n++) writer.write(`${String(written++).padStart(100)}\n`);
    fs.renameSync(file, `${file}.${rotation}`);
    writer.reopen();
    await eventually(() => fs.existsSync(file));
  }
  await writer.close();
  const parts = [0, 1, 2].map((n) => fs.readFileSync(`${file}.${n}`, "utf8"));
  parts.push(fs.readFileSync(file, "utf8"));
  for (const part of parts) assert.ok(part === "" || part.endsWith("\n"));
  assert.deepEqual(
    parts.join("").trimEnd().split("\n").map(Number),
    Array.from({ length: written }, (_, n) => n),
  );
});

test("when the new file cannot be opened, lines still go to the old one and it is said", async (t) => {
  const directory = temporaryDirectory(t);
  fs.mkdirSync(join(directory, "in"));
  const file = join(directory, "in", "log");
  const { writer, events } = open(t, { file });
  fs.renameSync(join(directory, "in"), join(directory, "moved"));
  writer.reopen();
  writer.write("still here\n");
  await writer.flush();
  assert.equal(fs.readFileSync(join(directory, "moved", "log"), "utf8"), "still here\n");
  assert.equal(events.length, 1);
  assert.match(events[0] ?? "", /^reopen: ENOENT/);
  assert.equal(writer.failing, false);
});

test("I12 I13: a full disk is said once, lines wait up to the limit, what is more is counted", async (t) => {
  const fd = fs.openSync("/dev/full", "w");
  const { writer, events } = open(t, { fd }, { maxWaiting: 100 });
  assert.equal(writer.write("x".repeat(59) + "\n"), true);
  await eventually(() => writer.failing);
  assert.equal(writer.write("x".repeat(59) + "\n"), false);
  assert.equal(writer.write("x".repeat(59) + "\n"), false);
  assert.equal(writer.write("fits\n"), true);
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(writer.lost, 2);
  assert.equal(events.length, 1);
  assert.match(events[0] ?? "", /^failed: ENOSPC/);
});

test("flush gives up at once when writes fail, and close counts what could not be written", async (t) => {
  const file = join(temporaryDirectory(t), "full");
  fs.symlinkSync("/dev/full", file);
  const { writer } = open(t, { file });
  writer.write("a\n");
  writer.write("b\n");
  const began = performance.now();
  await writer.close();
  assert.ok(performance.now() - began < 1000);
  assert.equal(writer.lost, 2);
});

test("after an outage everything that waited is written, and that is said", async (t) => {
  const directory = temporaryDirectory(t);
  const file = join(directory, "log");
  fs.symlinkSync("/dev/full", file);
  const { writer, events } = open(t, { file });
  writer.write("waits\n");
  await eventually(() => writer.failing);
  fs.unlinkSync(file);
  writer.reopen();
  await eventually(() => !writer.failing);
  writer.write("goes on\n");
  await writer.flush();
  assert.equal(fs.readFileSync(file, "utf8"), "waits\ngoes on\n");
  assert.deepEqual(events.slice(1), ["recovered"]);
});

test("a full pipe holds nobody up, and when it is read again not a line is missing", async (t) => {
  const pipe = namedPipe(t);
  const { writer, events } = open(t, { file: pipe.file });
  const line = `${"x".repeat(999)}\n`;
  for (let n = 0; n < 300; n++) writer.write(line);
  await new Promise((resolve) => setTimeout(resolve, 60));
  assert.deepEqual(events, [], "a slow reader is no outage");
  let received = "";
  await eventually(() => {
    received += pipe.read();
    return received.length >= 300_000;
  });
  assert.equal(received, line.repeat(300));
});

test("a pipe that nobody reads for long is an outage", async (t) => {
  const pipe = namedPipe(t);
  const { writer, events } = open(t, { file: pipe.file }, { stallMs: 40 });
  for (let n = 0; n < 100; n++) writer.write(`${"x".repeat(999)}\n`);
  await eventually(() => events.length === 1);
  assert.match(events[0] ?? "", /^failed: nothing could be written for 40 ms$/);
  await eventually(() => {
    pipe.read();
    return events.length === 2;
  });
  assert.equal(events[1], "recovered");
});

test("a pipe whose reader left is an outage, not a crash", async (t) => {
  const pipe = namedPipe(t);
  const { writer, events } = open(t, { file: pipe.file });
  pipe.end();
  writer.write("to nobody\n");
  await eventually(() => writer.failing);
  assert.match(events[0] ?? "", /^failed: EPIPE/);
});

const library = new URL("../../src/log/lines.ts", import.meta.url).href;

test("process.exit writes what waits, to a file and to standard error", async (t) => {
  const file = join(temporaryDirectory(t), "log");
  const script = `
    import { LineWriter, standardError } from ${JSON.stringify(library)};
    new LineWriter({ file: ${JSON.stringify(file)} }).write("to the file\\n");
    standardError().write("to standard error\\n");
    process.exit(3);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let errors = "";
  child.stderr.on("data", (bytes: Buffer) => (errors += bytes.toString()));
  const status = await new Promise((resolve) => child.on("close", resolve));
  assert.equal(status, 3);
  assert.equal(errors, "to standard error\n");
  assert.equal(fs.readFileSync(file, "utf8"), "to the file\n");
});

test("a standard error that nobody reads does not keep the process from ending", async (t) => {
  const script = `
    import { standardError } from ${JSON.stringify(library)};
    for (let n = 0; n < 500; n++) standardError().write("x".repeat(999) + "\\n");
    setTimeout(() => process.exit(0), 50);`;
  const pipe = namedPipe(t);
  const full = fs.openSync(pipe.file, "w");
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "ignore", full],
  });
  fs.closeSync(full);
  const status = await new Promise((resolve) => child.on("exit", resolve));
  assert.equal(status, 0);
});
