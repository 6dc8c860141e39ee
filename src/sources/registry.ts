import type { Dispatcher } from "undici";
import { onePasswordConnectSource } from "./1password-connect.ts";
import { onePasswordSource, type OnePasswordClient } from "./1password.ts";
import { awsSecretsManagerSource } from "./aws-sm.ts";
import { awsParameterStoreSource } from "./aws-ssm.ts";
import { CachedSource, defaultCacheSettings, type CacheSettings, type SourceStatus } from "./cache.ts";
import { checkedConfig, hint, type SourceConfig, type SourceConfigError } from "./check-config.ts";
import { systemClock, type Clock } from "./clock.ts";
import { controlPlaneSource } from "./control-plane.ts";
import type { Custody, KeptSource } from "./custody.ts";
import { envSource } from "./env.ts";
import { fileSource } from "./file.ts";
import { JsonField } from "./json-field.ts";
import type { CommonKeys, SourceContext, SourceKind } from "./kind.ts";
import { SourceError, type SecretHandle } from "./types.ts";

/** Every kind of source; see "adding a source" in `docs/sources.md`. */
export const sourceKinds: readonly SourceKind[] = [
  envSource,
  fileSource,
  awsSecretsManagerSource,
  awsParameterStoreSource,
  onePasswordConnectSource,
  onePasswordSource,
  controlPlaneSource,
];

export type { SourceConfig, SourceConfigError, SourceStatus };

export interface SourceRegistryOptions {
  /** Environment that sources read, and where their own credentials (tokens of secret stores) come from. */
  readonly env: NodeJS.ProcessEnv;
  /** Told of failed reads and of careless storage; `name` names the source, and nothing is secret (I14). */
  readonly onWarning: (name: string, message: string) => void;
  readonly clock?: Clock;
  /** Dialler for sources that speak HTTP themselves. */
  readonly dispatcher?: Dispatcher;
  /** Makes 1Password's client from a service account token, in place of the real one. */
  readonly onePassword?: (token: string) => Promise<OnePasswordClient>;
  /** Who keeps the values, where it is not this registry. */
  readonly custody?: Custody | undefined;
  /** In place of {@link sourceKinds}. */
  readonly kinds?: readonly SourceKind[];
}

/** Sources checked at a time at start-up, so that a service with a rate limit is not met by all at once. */
const checksAtOnce = 8;

/** All sources of one configuration, each identical one once. */
export class SourceRegistry {
  readonly #options: SourceRegistryOptions;
  readonly #kinds: readonly SourceKind[];
  readonly #context: SourceContext;
  readonly #shared = new Map<string, unknown>();
  readonly #sources = new Map<string, KeptSource>();
  readonly #handles: SecretHandle[] = [];

  constructor(options: SourceRegistryOptions) {
    this.#options = options;
    this.#kinds = options.kinds ?? sourceKinds;
    this.#context = {
      env: options.env,
      dispatcher: options.dispatcher,
      onePassword: options.onePassword,
      onWarning: options.onWarning,
      shared: (key, make) => this.#share(key, make),
    };
  }

  /**
   * The handle for a source object of the configuration; nothing is read yet. An object with errors gives a
   * handle that always fails, so that the rest of the configuration can be checked too.
   */
  handle(source: SourceConfig, error: SourceConfigError): SecretHandle {
    const handle = this.#build(source, error);
    if (handle === undefined) return brokenHandle;
    this.#handles.push(handle);
    return handle;
  }

  /** Reads every source once, which also fills the cache. Resolves to one line for each that failed. */
  async check(): Promise<{ name: string; message: string }[]> {
    const failures = new Map<string, { name: string; message: string }>();
    const waiting = this.#handles.values();
    const work = async () => {
      for (const handle of waiting) {
        try {
          await handle.get();
        } catch (error) {
          const message = error instanceof SourceError ? error.message : "unexpected error";
          failures.set(`${handle.name}\n${message}`, { name: handle.name, message });
        }
      }
    };
    await Promise.all(Array.from({ length: checksAtOnce }, work));
    return [...failures.values()];
  }

  /** How it is with each source. */
  status(): SourceStatus[] {
    return [...this.#sources.values()].map((source) => source.status);
  }

  /**
   * Takes over from the configuration before this one: a source that both have keeps its counters, and its value until
   * it is read anew, so that a store which is down during a reload stops no request.
   */
  adopt(old: SourceRegistry): void {
    for (const [identity, source] of this.#sources) {
      const before = old.#sources.get(identity);
      if (before !== undefined) source.adopt(before);
    }
  }

  /**
   * Stops reading ahead, for a configuration that no new request uses (reload, stop). What a request still
   * waits for is read on, to the source's time limit.
   */
  close(): void {
    for (const source of this.#sources.values()) source.close();
  }

  #build(source: unknown, error: SourceConfigError): SecretHandle | undefined {
    const kind = this.#kindOf(source, error);
    if (kind === undefined) return undefined;
    const config = checkedConfig(kind, source as SourceConfig, error);
    if (config === undefined) return undefined;
    let good = true;
    const made = kind.build(config, this.#context, (key, message) => {
      good = false;
      error([key], message);
    });
    if (!good) return undefined;
    const settings = cacheSettings(config);
    const identity = JSON.stringify([kind.name, made.identity, Object.values(settings)]);
    let cached = this.#sources.get(identity);
    if (cached === undefined) {
      const { onWarning, clock = systemClock, custody } = this.#options;
      const own = new CachedSource(made, settings, { onWarning, clock });
      cached = custody?.source(own) ?? own;
      this.#sources.set(identity, cached);
    }
    return typeof config.json_key === "string" ? new JsonField(cached, config.json_key) : cached;
  }

  #kindOf(source: unknown, error: SourceConfigError): SourceKind | undefined {
    const given = typeof source === "object" && source !== null ? source : {};
    const type: unknown = Reflect.get(given, "type");
    const names = this.#kinds.map(({ name }) => name);
    if (type === undefined || type === null || type === "") {
      error([], `source.type is required; one of ${names.join(", ")}`);
      return undefined;
    }
    const kind = this.#kinds.find(({ name }) => name === type);
    if (kind === undefined) {
      const written = JSON.stringify(type);
      error(["type"], `unsupported source type ${written}; ${hint(written.replaceAll('"', ""), names)}`);
    }
    return kind;
  }

  #share<T>(key: string, make: () => T): T {
    if (!this.#shared.has(key)) this.#shared.set(key, make());
    return this.#shared.get(key) as T;
  }
}

const brokenHandle: SecretHandle = {
  name: "unusable source",
  variables: [],
  get() {
    throw new SourceError("the source is not configured correctly; see the errors of the configuration");
  },
};

function cacheSettings({ ttl, failure_ttl, max_stale, timeout }: CommonKeys): CacheSettings {
  return {
    ttl: ttl ?? defaultCacheSettings.ttl,
    failureTtl: failure_ttl || defaultCacheSettings.failureTtl, // 0 cannot switch it off
    maxStale: max_stale ?? defaultCacheSettings.maxStale,
    timeout: timeout ?? defaultCacheSettings.timeout,
  };
}
