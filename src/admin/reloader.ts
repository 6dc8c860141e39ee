import { isDeepStrictEqual } from "node:util";
import { formatIssue, hasErrors, type Issue, placeText } from "../config/issues.ts";
import type { LoadResult } from "../config/load.ts";
import type { Config } from "../config/types.ts";
import type { Logger } from "../log/logger.ts";
import { ConfigurationError, type Reloaded } from "../proxy/proxy.ts";

/** What asked for a reload. */
export type Trigger = "management API" | "SIGHUP" | "watch";

/** How a reload ended. */
export type Outcome =
  | { readonly kind: "ok"; readonly reloaded: Reloaded; readonly warnings: readonly Issue[] }
  /** The configuration is wrong, and the one before it stays. */
  | { readonly kind: "rejected"; readonly issues: readonly Issue[] }
  /** Something failed that is not the configuration's fault; the one before it stays. */
  | { readonly kind: "failed" };

export interface ReloaderOptions {
  /** Reads the configuration as the start did. */
  load(): LoadResult;
  /** @throws {ConfigurationError} when it cannot be run */
  apply(loaded: LoadResult & { readonly config: Config }): Reloaded | Promise<Reloaded>;
  readonly logger: Logger;
  /** The configuration that was started with. */
  readonly started: Config;
}

/** What is told of the reloads so far. Times are milliseconds since 1970. */
export interface ReloadHistory {
  /** When the configuration in force was put there. */
  readonly loadedAt: number;
  readonly succeeded: number;
  readonly rejected: number;
  readonly failed: number;
  readonly last:
    | { readonly at: number; readonly by: Trigger; readonly result: Outcome["kind"]; readonly error: string }
    | undefined;
  /** Keys that wait for a restart. */
  readonly restart: readonly string[];
}

/** Reads the configuration again when asked to, one time after the other, and remembers how it went. */
export class Reloader {
  readonly #options: ReloaderOptions;
  #config: Config;
  /** What was rejected last, so that a file which stays wrong is reported once. */
  #rejected: LoadResult | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #counts = { ok: 0, rejected: 0, failed: 0 };
  #loadedAt = Date.now();
  #last: ReloadHistory["last"];
  #restart: readonly string[] = [];

  constructor(options: ReloaderOptions) {
    this.#options = options;
    this.#config = options.started;
  }

  /** The configuration in force. */
  get config(): Config {
    return this.#config;
  }

  get history(): ReloadHistory {
    const { ok, rejected, failed } = this.#counts;
    return {
      loadedAt: this.#loadedAt,
      succeeded: ok,
      rejected,
      failed,
      last: this.#last,
      restart: this.#restart,
    };
  }

  /** Reads everything again and puts it in force: all of it, or nothing. Whoever asks meanwhile waits its turn. */
  reload(by: Trigger): Promise<Outcome> {
    return this.#inTurn(() => this.#try(by, this.#options.load()));
  }

  /** As {@link reload}, but only when what is read differs from what is in force and from what was rejected last. */
  reloadIfChanged(by: Trigger): Promise<Outcome | undefined> {
    return this.#inTurn(() => {
      const loaded = this.#options.load();
      if (loaded.config !== undefined && isDeepStrictEqual(loaded.config, this.#config)) {
        this.#rejected = undefined;
        return undefined;
      }
      if (this.#rejected !== undefined && isSame(this.#rejected, loaded)) return undefined;
      return this.#try(by, loaded);
    });
  }

  #inTurn<Result>(step: () => Result | Promise<Result>): Promise<Result> {
    const result = this.#turn.then(step);
    this.#turn = result.catch(() => {});
    return result;
  }

  async #try(by: Trigger, loaded: LoadResult): Promise<Outcome> {
    const { logger } = this.#options;
    const outcome = await this.#apply(loaded);
    this.#counts[outcome.kind]++;
    let error = "";
    this.#rejected = undefined;
    if (outcome.kind === "ok") {
      this.#config = loaded.config as Config;
      this.#loadedAt = Date.now();
      this.#restart = outcome.reloaded.restart;
      for (const issue of outcome.warnings) logger.warn(issue.message, { at: placeText(issue) });
    } else if (outcome.kind === "rejected") {
      this.#rejected = loaded;
      error = outcome.issues.map(formatIssue).join("; ");
      logger.warn("reload rejected, the configuration in force stays", { by, error });
    } else {
      error = "internal error; see the log";
    }
    this.#last = { at: Date.now(), by, result: outcome.kind, error };
    return outcome;
  }

  async #apply(loaded: LoadResult): Promise<Outcome> {
    const { config, issues } = loaded;
    if (config === undefined || hasErrors(issues)) return { kind: "rejected", issues: errorsOf(issues) };
    try {
      return { kind: "ok", reloaded: await this.#options.apply({ ...loaded, config }), warnings: issues };
    } catch (error) {
      if (error instanceof ConfigurationError) return { kind: "rejected", issues: errorsOf(error.issues) };
      // Name and not text: it may quote what it choked on (I14).
      const name = error instanceof Error ? error.name : typeof error;
      this.#options.logger.error("reload failed, the configuration in force stays", { error: name });
      return { kind: "failed" };
    }
  }
}

function errorsOf(issues: readonly Issue[]): Issue[] {
  return issues.filter(({ severity }) => severity === "error");
}

function isSame(one: LoadResult, other: LoadResult): boolean {
  return isDeepStrictEqual([one.config, one.issues], [other.config, other.issues]);
}
