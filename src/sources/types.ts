import { inspect } from "node:util";

/**
 * A credential. It prints as `[redacted]` under every inspection (I14); only `reveal` gives the value, and
 * only code that puts it on the wire or signs with it may call that.
 */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** The real value. */
  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return "[redacted]";
  }

  toJSON(): string {
    return "[redacted]";
  }

  [inspect.custom](): string {
    return "[redacted]";
  }
}

/** One place a credential is read from. A kind of source is one file that makes these; see `docs/sources.md`. */
export interface SecretSource {
  /** How people name it: the variable, the path, the reference. Never the value. */
  readonly name: string;
  /** Two sources with the same identity are fetched once. Includes everything that decides what comes back. */
  readonly identity: string;
  /** Environment variables it reads; `sallyport run` takes them from its child. */
  readonly variables?: readonly string[];
  /**
   * Reads the value now.
   * @param signal aborted when the time-out of the source has passed
   * @throws {SourceError} with a text that holds nothing of the value
   */
  fetch(signal: AbortSignal): Promise<string> | string;
}

/** What about a secret store kept a value from being read, where that is known. */
export type SourceFault =
  | "variable"
  | "server"
  | "token"
  | "rate_limit"
  | "vault"
  | "item"
  | "field"
  | "value";

export interface SourceErrorOptions {
  readonly retryAfterMs?: number | undefined;
  readonly fault?: SourceFault | undefined;
  readonly cause?: unknown;
}

/** A source could not give its value. The message is safe to log (I14). */
export class SourceError extends Error {
  override readonly name = "SourceError";
  /** Milliseconds to wait before the next attempt, where the service named them (429 with Retry-After). */
  readonly retryAfterMs: number | undefined;
  readonly fault: SourceFault | undefined;
  constructor(message: string, options: SourceErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.retryAfterMs = options.retryAfterMs;
    this.fault = options.fault;
  }
}

/** A source as a transform holds it: cached, refreshed off the request path, one fetch for all who wait. */
export interface SecretHandle {
  readonly name: string;
  readonly variables: readonly string[];
  /**
   * The current value: at once when it is cached, else a promise for it.
   * @throws {SourceError} at once or later, when there is no value that may still serve
   */
  get(): Secret | Promise<Secret>;
}
