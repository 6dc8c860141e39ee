import assert from "node:assert/strict";
import { test } from "node:test";
import { Reloader } from "../../src/admin/reloader.ts";
import { type Issue, issueAt } from "../../src/config/issues.ts";
import { type LoadResult, loadConfig } from "../../src/config/load.ts";
import type { Config } from "../../src/config/types.ts";
import type { Logger } from "../../src/log/logger.ts";
import { ConfigurationError } from "../../src/proxy/proxy.ts";
import { ca } from "../helpers/config.ts";

const place = { file: "p.yaml", locate: () => ({ line: 3, column: 7 }) };
const issue: Issue = issueAt("error", place, ["transforms", 0], "no such transform");

interface Bench {
  readonly reloader: Reloader;
  readonly log: string[];
  readonly applied: string[];
}

/** A reloader over a text that tests change; `apply` is what the proxy would do. */
function bench(read: () => string, apply: (config: Config) => readonly string[] = () => []): Bench {
  const log: string[] = [];
  const applied: string[] = [];
  const line = (level: string) => (message: string, fields?: object) =>
    void log.push(`${level} ${message} ${JSON.stringify(fields ?? {})}`);
  const logger: Logger = {
    debug: line("debug"),
    info: line("info"),
    warn: line("warn"),
    error: line("error"),
  };
  const load = (): LoadResult => loadConfig({ file: "p.yaml", text: read(), env: {} });
  const reloader = new Reloader({
    load,
    apply({ config }) {
      const restart = apply(config);
      applied.push(config.proxy.denialMessage ?? "");
      return { transforms: "", restart };
    },
    logger,
    started: load().config as Config,
  });
  return { reloader, log, applied };
}

const text = (message: string) => `${ca}proxy: {denial_message: ${message}}\n`;

test("H1: a good configuration is put in force, and told of", async () => {
  let current = text("one");
  const { reloader, applied } = bench(
    () => current,
    () => ["proxy.http_listen"],
  );
  current = text("two");
  const outcome = await reloader.reload("management API");
  assert.equal(outcome.kind, "ok");
  assert.deepEqual(applied, ["two"]);
  assert.equal(reloader.config.proxy.denialMessage, "two");
  const { succeeded, rejected, last, restart } = reloader.history;
  assert.deepEqual([succeeded, rejected, last?.by, last?.result], [1, 0, "management API", "ok"]);
  assert.deepEqual(restart, ["proxy.http_listen"]);
});

test("H1 attack 52: a wrong file changes nothing, and every error of it comes back with its line", async () => {
  let current = text("one");
  const { reloader, applied, log } = bench(() => current);
  current = `${ca}proxy: {denial: x}\nlogg: {}\n`;
  const outcome = await reloader.reload("SIGHUP");
  assert.equal(outcome.kind, "rejected");
  assert.deepEqual(outcome.kind === "rejected" && outcome.issues.map(({ line }) => line), [2, 3]);
  assert.deepEqual(applied, []);
  assert.equal(reloader.config.proxy.denialMessage, "one");
  assert.match(log.join("\n"), /^warn reload rejected, .*p\.yaml:2:9: .*p\.yaml:3:1: /);
  assert.match(reloader.history.last?.error ?? "", /p\.yaml:2:9/);
});

test("what is only found while building is a rejection as well", async () => {
  const { reloader } = bench(
    () => text("one"),
    () => {
      throw new ConfigurationError([issue]);
    },
  );
  const outcome = await reloader.reload("SIGHUP");
  assert.deepEqual(outcome, { kind: "rejected", issues: [issue] });
});

test("I14: a failure that is not the configuration's is told by name, without its text", async () => {
  const { reloader, log } = bench(
    () => text("one"),
    () => {
      throw new RangeError("sk-live-in-an-error");
    },
  );
  assert.deepEqual(await reloader.reload("management API"), { kind: "failed" });
  assert.match(log.join("\n"), /RangeError/);
  assert.doesNotMatch(log.join("\n") + JSON.stringify(reloader.history), /sk-live/);
  assert.equal(reloader.history.failed, 1);
});

test("two reloads at once run one after the other, and the last one asked for wins", async () => {
  let reads = 0;
  let busy = 0;
  const { reloader, applied } = bench(
    () => text(`r${reads++}`),
    () => {
      assert.equal(++busy, 1);
      busy--;
      return [];
    },
  );
  await Promise.all([reloader.reload("SIGHUP"), reloader.reload("management API"), reloader.reload("watch")]);
  assert.deepEqual(applied, ["r1", "r2", "r3"]);
  assert.equal(reloader.config.proxy.denialMessage, "r3");
});

test("a watch reloads what has changed, and nothing that means the same", async () => {
  let current = text("one");
  const { reloader, applied } = bench(() => current);
  assert.equal(await reloader.reloadIfChanged("watch"), undefined);
  current = `# a comment\n${text("one")}`;
  assert.equal(await reloader.reloadIfChanged("watch"), undefined);
  current = text("two");
  assert.equal((await reloader.reloadIfChanged("watch"))?.kind, "ok");
  assert.deepEqual(applied, ["two"]);
});

test("a watch reports a file that stays wrong once, and again when it is wrong in another way", async () => {
  let current = text("one");
  const { reloader, log } = bench(() => current);
  const kind = async () => (await reloader.reloadIfChanged("watch"))?.kind;
  current = "{{{";
  assert.deepEqual([await kind(), await kind()], ["rejected", undefined]);
  current = `${ca}unknown: 1\n`;
  assert.deepEqual([await kind(), await kind()], ["rejected", undefined]);
  current = text("one");
  assert.equal(await kind(), undefined, "what is in force is back");
  current = "{{{";
  assert.equal(await kind(), "rejected");
  assert.equal(log.length, 3);
});

test("a watch tries another file after one that could not be built", async () => {
  let current = text("one");
  const { reloader, applied } = bench(
    () => current,
    (config) => {
      if (config.proxy.denialMessage === "bad") throw new ConfigurationError([issue]);
      return [];
    },
  );
  const kind = async () => (await reloader.reloadIfChanged("watch"))?.kind;
  current = text("bad");
  assert.deepEqual([await kind(), await kind()], ["rejected", undefined]);
  current = text("good");
  assert.equal(await kind(), "ok");
  assert.deepEqual(applied, ["good"]);
});
