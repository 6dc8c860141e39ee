import { checkShape } from "../config/shape.ts";
import { compileRules } from "../pipeline/rules.ts";
import type { BuildContext } from "../pipeline/types.ts";
import { SourceError } from "../sources/types.ts";
import { transformKinds } from "../transforms/registry.ts";
import { renderEntry } from "./render.ts";
import type { Entry } from "./types.ts";

/** Keys of a transform that a declaration calls by another name. */
const declaredAs: ReadonlyMap<string, string> = new Map([
  ["header", "inject_header"],
  ["query_param", "inject_query_param"],
  ["formatter", "inject_formatter"],
  ["proxy_value", "replacer"],
  ["host", "hosts"],
]);

const secret = {
  name: "declared",
  variables: [],
  get() {
    throw new SourceError("a declaration that is only checked reads nothing");
  },
};

/**
 * Builds what an entry becomes, by the kind of transform itself, and throws it away: header names, patterns, templates,
 * hosts and URLs are checked where they are understood. One bad tool must not keep the proxy from starting.
 */
export function validateEntry(
  entry: Entry,
): readonly { readonly key: string | undefined; readonly message: string }[] {
  const rendered = renderEntry(entry, { mode: "env", vault: "", ttl: "", callers: false });
  const kind = transformKinds.find(({ name }) => name === rendered?.name);
  if (rendered === undefined || kind === undefined) return [];
  const found: { key: string | undefined; message: string }[] = [];
  const error: BuildContext["error"] = (path, message) => {
    const last = path.findLast((step) => typeof step === "string");
    const key = typeof last === "string" ? (declaredAs.get(last) ?? last) : undefined;
    found.push({ key, message: message.replace(/^\w+: (?:tokens\[0\]: )?/, "") });
  };
  const place = { file: "", locate: () => ({ line: 0, column: 0 }) };
  const shape = checkShape(kind.schema, rendered.config, { ...place, path: [], root: "in the declaration" });
  for (const { path, message } of shape.issues) error(path, message);
  if (shape.value === undefined) return found;
  const transform = kind.build(shape.value, {
    error,
    warn() {},
    rules: (path, configs) =>
      compileRules(configs, {
        ports: "scheme",
        callers: "unlimited",
        error: (below, message) => error([...path, ...below], message),
        warn() {},
      }),
    secret: () => secret,
    dispatcher() {
      throw new Error("a declaration that is only checked makes no calls");
    },
    log() {},
  });
  transform.close?.();
  return found;
}
