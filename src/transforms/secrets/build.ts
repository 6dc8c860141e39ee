import type { BuildContext, ConfigPath } from "../../pipeline/types.ts";
import { lowerCaseName } from "../../http/headers.ts";
import type { Secret } from "../../sources/types.ts";
import { hasControl, toByteString } from "../byte-string.ts";
import { type ExposureOptions, exposedValue } from "../exposure.ts";
import {
  compileHeaderMatcher,
  type HeaderMatcher,
  isForbiddenForCredentials,
  isHeaderName,
  searchedHeaders,
} from "../header-matcher.ts";
import { base64, compileTemplate, type Template, TemplateError } from "../template/index.ts";
import { escapeJson } from "./encodings.ts";
import { type Entry, type InjectEntry, oncePerSecret, type Prepared, type ReplaceEntry } from "./entry.ts";
import type { EntryConfig, InjectConfig, ReplaceConfig } from "./schema.ts";

type Common = Pick<Entry, "index" | "handle" | "rules" | "passUnavailable" | "exposure">;
type Mode =
  | { readonly kind: "inject"; readonly config: InjectConfig; readonly path: ConfigPath }
  | { readonly kind: "replace"; readonly config: ReplaceConfig; readonly path: ConfigPath };

/** Checks and compiles one entry; every mistake goes to the context. `undefined` for an entry without a mode. */
export function buildEntry(config: EntryConfig, index: number, context: BuildContext): Entry | undefined {
  const path: ConfigPath = ["secrets", index];
  const mode = chooseMode(config, path, context);
  const handle = context.secret([...path, "source"], config.source);
  const common: Common = {
    index,
    handle,
    exposure: { mode: config.scrub, name: handle.name },
    rules: context.rules([...path, "rules"], config.rules),
    passUnavailable: config.on_unavailable === "pass",
  };
  if (mode === undefined) return undefined;
  if (mode.config.require === true && common.passUnavailable) {
    context.error(
      [...path, "on_unavailable"],
      "`on_unavailable: pass` and `require: true` contradict each other",
    );
  }
  return mode.kind === "inject"
    ? buildInject(common, mode.config, mode.path, context)
    : buildReplace(common, mode.config, mode.path, context);
}

/** Exactly one of inject, replace and the legacy keys of the entry itself. */
function chooseMode(config: EntryConfig, path: ConfigPath, context: BuildContext): Mode | undefined {
  const { inject, replace, proxy_value, match_headers, match_body, require } = config;
  const legacy =
    (proxy_value ?? "") !== "" || (match_headers ?? []).length > 0 || match_body === true || require === true;
  const topLevel = "top-level proxy_value/match_headers";
  if (legacy && replace) context.error(path, `cannot use both ${topLevel} and replace block`);
  else if (legacy && inject) context.error(path, `cannot use both ${topLevel} and inject block`);
  else if (inject && replace) context.error(path, "cannot specify both inject and replace");
  else if (inject) return { kind: "inject", config: inject, path: [...path, "inject"] };
  else if (replace) return { kind: "replace", config: replace, path: [...path, "replace"] };
  else if (legacy) {
    context.warn(path, `${topLevel} are deprecated; put them in a replace block`);
    return { kind: "replace", config: { proxy_value, match_headers, match_body, require }, path };
  } else context.error(path, "must specify either inject or replace");
  return undefined;
}

function buildInject(
  common: Common,
  config: InjectConfig,
  path: ConfigPath,
  context: BuildContext,
): InjectEntry | undefined {
  const { header = "", query_param: parameter = "" } = config;
  if (header === "" && parameter === "")
    context.error(path, "inject must specify either header or query_param");
  if (header !== "" && parameter !== "")
    context.error(path, "inject cannot specify both header and query_param");
  if (header !== "") checkHeader(header, [...path, "header"], context);
  const formatter = buildFormatter(config.formatter, [...path, "formatter"], context);
  if (header === "" && parameter === "") return undefined;
  const inHeader = header !== "";
  const name = inHeader ? header : toByteString(parameter);
  return {
    ...common,
    kind: "inject",
    target: { kind: inHeader ? "header" : "query", name },
    location: inHeader ? `header:${header}` : `query:${parameter}`,
    place: inHeader ? lowerCaseName(header) : `query:${name}`,
    formatter,
    prepare: oncePerSecret((secret) => format(secret, formatter, common.exposure)),
  };
}

function checkHeader(name: string, path: ConfigPath, context: BuildContext): void {
  if (!isHeaderName(name)) {
    context.error(path, `${JSON.stringify(name)} is not a header name`);
  } else if (isForbiddenForCredentials(lowerCaseName(name))) {
    context.error(path, `${name} belongs to the connection; a credential cannot be put there`);
  }
}

function buildFormatter(
  text: string | undefined,
  path: ConfigPath,
  context: BuildContext,
): Template | undefined {
  if (text === undefined || text === "") return undefined;
  const { template, error } = compileTemplate(text, { fields: { Value: "string" }, functions: { base64 } });
  if (error !== undefined) {
    context.error(path, `parsing formatter template: ${error.message} (at character ${error.offset + 1})`);
  }
  return template;
}

function format(secret: Secret, formatter: Template | undefined, exposure: ExposureOptions): Prepared {
  const value = toByteString(secret.reveal());
  const exposed = exposedValue(exposure, value);
  if (formatter === undefined) return { bytes: value, fitsHeader: !hasControl(value), exposed };
  try {
    const bytes = formatter.render({ Value: value });
    return {
      bytes,
      fitsHeader: !hasControl(bytes),
      exposed: [...exposed, ...formatted(bytes, value, exposure)],
    };
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    return { bytes: "", fitsHeader: false, failure: error.message, exposed: [] };
  }
}

/** What stands behind a scheme such as `Basic`, where it is not the value itself: it works wherever the value does. */
function formatted(bytes: string, value: string, exposure: ExposureOptions): Prepared["exposed"] {
  const credentials = bytes.slice(bytes.lastIndexOf(" ") + 1);
  return bytes.includes(value) ? [] : exposedValue(exposure, credentials, { part: "formatted" });
}

/** A value that is its own placeholder would be sent by whoever knows the placeholder, and never be found in an answer. */
function swapped(secret: Secret, placeholder: string, exposure: ExposureOptions): Prepared {
  const bytes = toByteString(secret.reveal());
  const exposed = exposedValue({ ...exposure, replacement: placeholder }, bytes);
  const ready = { bytes, fitsHeader: !hasControl(bytes), exposed };
  return bytes === placeholder ? { ...ready, unusable: "is its own placeholder" } : ready;
}

function buildReplace(
  common: Common,
  config: ReplaceConfig,
  path: ConfigPath,
  context: BuildContext,
): ReplaceEntry | undefined {
  const { proxy_value: placeholder = "" } = config;
  const headers = buildHeaders(config, path, context);
  if (placeholder === "") {
    const key = path.at(-1) === "replace" ? "replace.proxy_value" : "proxy_value";
    context.error(path, `${key} is required`);
    return undefined;
  }
  const bytes = toByteString(placeholder);
  const escaped = escapeJson(bytes);
  return {
    ...common,
    kind: "replace",
    placeholder: bytes,
    // PHP and others escape the slash.
    jsonSpellings: [...new Set([escaped, escaped.replaceAll("/", "\\/")])],
    headers,
    query: config.match_query === true,
    path: config.match_path === true,
    body: config.match_body === true,
    require: config.require === true,
    onMisuse: config.on_misuse,
    maxOccurrences: config.max_occurrences,
    prepare: oncePerSecret((secret) => swapped(secret, bytes, common.exposure)),
  };
}

/** Headers a replace entry searches; `undefined` for none. */
function buildHeaders(
  config: ReplaceConfig,
  path: ConfigPath,
  context: BuildContext,
): HeaderMatcher | undefined {
  const { match_headers: names = [] } = config;
  if (names.length === 0) {
    const elsewhere = config.match_query === true || config.match_path === true || config.match_body === true;
    return elsewhere ? undefined : searchedHeaders;
  }
  for (const [index, name] of names.entries()) {
    if (isForbiddenForCredentials(lowerCaseName(name))) {
      checkHeader(name, [...path, "match_headers", index], context);
    }
  }
  return compileHeaderMatcher(names, {
    everything: searchedHeaders,
    excluded: isForbiddenForCredentials,
    error: (index, message) =>
      context.error([...path, "match_headers", index], `invalid match_headers ${message}`),
  });
}
