import { getGlobalDispatcher, type Dispatcher } from "undici";
import { compileRules } from "../../src/pipeline/rules.ts";
import type { BuildContext, ConfigPath, Transform, TransformKind } from "../../src/pipeline/types.ts";
import { Secret, type SecretHandle, SourceError } from "../../src/sources/types.ts";

/** What a test says about a source: its name is the key it is stored under. */
export type FakeSource = string | (() => string | Promise<string>);

export interface Built {
  readonly transform: Transform;
  /** `path: message`, with the path as `secrets.0.inject`. */
  readonly errors: readonly string[];
  readonly warnings: readonly string[];
  /** How often each source was asked. */
  readonly asked: Readonly<Record<string, number>>;
  /** What it told the operator. */
  readonly logs: readonly LogLine[];
}

export interface LogLine {
  readonly level: "info" | "warn" | "error";
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/**
 * Builds a transform as the proxy does, from a configuration that passes its schema. Sources are written
 * `{ type: "test", name: NAME }`; one without a value fails.
 */
export function buildTransform(
  kind: TransformKind,
  config: unknown,
  sources: Record<string, FakeSource> = {},
  dispatcher: Dispatcher = getGlobalDispatcher(),
): Built {
  const errors: string[] = [];
  const warnings: string[] = [];
  const asked: Record<string, number> = {};
  const logs: LogLine[] = [];
  const context: BuildContext = {
    error: (path, message) => errors.push(`${path.join(".")}: ${message}`),
    warn: (path, message) => warnings.push(`${path.join(".")}: ${message}`),
    rules: (path, rules) =>
      compileRules(rules, {
        ports: "scheme",
        callers: kind.credential ? "unlimited" : "all",
        error: (at: ConfigPath, message) => context.error([...path, ...at], message),
        warn: (at: ConfigPath, message) => context.warn([...path, ...at], message),
      }),
    secret: (_path, source) => fakeHandle(source["name"] as string, sources, asked),
    dispatcher: () => dispatcher,
    log: (level, message, fields = {}) => logs.push({ level, message, fields }),
  };
  return { transform: kind.build(kind.schema.parse(config), context), errors, warnings, asked, logs };
}

/** A handle as the shared cache gives it: the same object until the value changes. */
function fakeHandle(
  name: string,
  sources: Record<string, FakeSource>,
  asked: Record<string, number>,
): SecretHandle {
  const cached = new Map<string, Secret>();
  const secretOf = (value: string): Secret => {
    const secret = cached.get(value) ?? new Secret(value);
    cached.set(value, secret);
    return secret;
  };
  return {
    name,
    variables: [],
    get() {
      asked[name] = (asked[name] ?? 0) + 1;
      const source = sources[name];
      if (source === undefined) throw new SourceError(`${name} is not there`);
      const value = typeof source === "string" ? source : source();
      return typeof value === "string" ? secretOf(value) : value.then(secretOf);
    },
  };
}
