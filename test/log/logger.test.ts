import assert from "node:assert/strict";
import { test } from "node:test";
import { createLogger, type LogLevel, resolveFormat } from "../../src/log/logger.ts";
import { plain } from "../../src/log/terminal.ts";
import { Secret } from "../../src/sources/types.ts";

function capture(level: LogLevel, format: "json" | "text") {
  const lines: string[] = [];
  const stream = { write: (line: string) => lines.push(line) };
  return { lines, log: createLogger({ level, format, stream, paint: plain }) };
}

test("log.format auto is text on a terminal and JSON elsewhere; anything else stands", () => {
  assert.equal(resolveFormat("auto", true), "text");
  assert.equal(resolveFormat("auto", false), "json");
  assert.equal(resolveFormat("auto", undefined), "json");
  assert.equal(resolveFormat("text", false), "text");
  assert.equal(resolveFormat("json", true), "json");
});

test("a JSON line has level, time and msg before its fields", () => {
  const { log, lines } = capture("info", "json");
  log.info("http proxy starting", { addr: "127.0.0.1:8080" });
  assert.equal(lines.length, 1);
  assert.match(
    lines[0] ?? "",
    /^\{"level":"INFO","time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z","msg":"http proxy starting","addr":"127\.0\.0\.1:8080"\}\n$/,
  );
});

test("a text line has time, level, message and fields", () => {
  const { log, lines } = capture("info", "text");
  log.warn("sync failed", {
    error: new Error("no route"),
    count: 2,
    absent: undefined,
    list: ["a"],
    empty: "",
  });
  assert.match(
    lines[0] ?? "",
    /^\d\d:\d\d:\d\d\.\d{3} warn  sync failed error="no route" count=2 list=\["a"\] empty=""\n$/,
  );
});

for (const format of ["json", "text"] as const) {
  test(`${format}: lines below the level are not written`, () => {
    const { log, lines } = capture("warn", format);
    for (const level of ["debug", "info", "warn", "error"] as const) log[level](`at ${level}`);
    assert.equal(lines.length, 2);
    assert.match(lines[0] ?? "", /at warn/);
    assert.match(lines[1] ?? "", /at error/);
  });

  test(`${format}: I14 a secret prints as [redacted], at any depth`, () => {
    const { log, lines } = capture("info", format);
    log.info("x", { token: new Secret("hunter2"), deep: { list: [new Secret("hunter2")] } });
    assert.ok(!lines.join("").includes("hunter2"));
    assert.equal(lines.join("").split("[redacted]").length, 3);
  });

  test(`${format}: an error is its message`, () => {
    const { log, lines } = capture("info", format);
    log.error("fatal error", { error: new Error("broken") });
    assert.match(lines[0] ?? "", /"?error"?[:=]"?broken"?/);
    assert.ok(!lines.join("").includes("at "), "no stack");
  });

  test(`${format}: one line per call, whatever the values`, () => {
    const { log, lines } = capture("info", format);
    const cycle: Record<string, unknown> = {};
    cycle["self"] = cycle;
    log.info("a\nb", { evil: "x\n\u001b[2J\u009b", cycle });
    assert.equal(lines.length, 1);
    assert.match(lines[0] ?? "", /^[\u0020-\u007e]*\n$/);
  });
}
