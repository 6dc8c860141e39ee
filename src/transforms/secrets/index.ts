import type { Authority } from "../../http/authority.ts";
import { requestFacts } from "../../pipeline/rules.ts";
import type {
  BuildContext,
  Exchange,
  ExposedSecret,
  PlaceholderUse,
  Transform,
  TransformKind,
  Verdict,
} from "../../pipeline/types.ts";
import { attachCredentials } from "./attach.ts";
import { buildEntry } from "./build.ts";
import type { Entry, ReplaceEntry } from "./entry.ts";
import { explainEntries } from "./explain.ts";
import { secretsSchema } from "./schema.ts";
import { warnAboutEntries } from "./warnings.ts";

/**
 * `secrets`: sets a credential (inject) or swaps a placeholder for it (replace). It has no part in opening a tunnel
 * (I2), and gives a plain value when every credential is cached, so that a request waits for nothing.
 */
export const secrets: TransformKind<typeof secretsSchema> = {
  name: "secrets",
  credential: true,
  schema: secretsSchema,
  build(config, context) {
    const configured = config.secrets ?? [];
    const entries = compileEntries(configured, context);
    warnAboutEntries(configured, context);
    return secretsTransform(entries);
  },
};

function compileEntries(configured: Parameters<typeof warnAboutEntries>[0], context: BuildContext): Entry[] {
  return configured
    .map((entry, index) => buildEntry(entry, index, context))
    .filter((entry) => entry !== undefined);
}

function secretsTransform(entries: readonly Entry[]): Transform {
  const entriesFor = byAuthority(entries);
  return {
    name: "secrets",
    credentialRules: entries.map((entry) => entry.rules),
    secrets: entries.map((entry) => entry.handle),
    exposes: entries.filter(({ exposure }) => exposure.mode !== "off").map(exposedSource),
    placeholders: entries.filter((entry) => entry.kind === "replace").map(placeholderUse),
    onRequest(exchange) {
      const candidates = entriesFor(exchange.authority);
      if (candidates.length === 0) return undefined;
      const facts = requestFacts(exchange);
      const matching = candidates.filter((entry) => entry.rules.match(facts));
      return matching.length === 0 ? undefined : apply(exchange, matching);
    },
    explain: (exchange) => explainEntries(exchange, entries),
  };
}

function placeholderUse(entry: ReplaceEntry): PlaceholderUse {
  const { handle, placeholder, rules, headers, query, path, body, onMisuse, maxOccurrences } = entry;
  return {
    secret: handle.name,
    placeholder,
    rules,
    inHeader: (key) => headers?.match(key) !== undefined,
    inQuery: query,
    inPath: path,
    inBody: body,
    onMisuse,
    maxOccurrences,
  };
}

function exposedSource(entry: Entry): ExposedSecret {
  if (entry.kind === "inject") return { handle: entry.handle };
  return { handle: entry.handle, placeholder: Buffer.from(entry.placeholder, "latin1").toString("utf8") };
}

/** Entries for a host and port, in order. Bounded, because the workload chooses the authorities (I12). */
const maxRemembered = 1024;

function byAuthority(entries: readonly Entry[]): (authority: Authority) => readonly Entry[] {
  const remembered = new Map<string, readonly Entry[]>();
  return (authority) => {
    const known = remembered.get(authority.text);
    if (known !== undefined) return known;
    // Whoever asks: what is remembered for one caller must not decide for another.
    const admitted = entries.filter((entry) => entry.rules.admits(authority, undefined));
    if (remembered.size >= maxRemembered) remembered.clear();
    remembered.set(authority.text, admitted);
    return admitted;
  };
}

/** @throws {BodyTooLargeError | BodyAbortedError} where a body has to be searched */
function apply(exchange: Exchange, entries: readonly Entry[]): Verdict | Promise<Verdict> {
  const body = bodyToSearch(exchange, entries);
  if (body instanceof Promise) return body.then((bytes) => attachCredentials(exchange, entries, bytes));
  return attachCredentials(exchange, entries, body);
}

/** The whole body, only where an entry searches it; a longer one than the limit is refused, never cut. */
function bodyToSearch(exchange: Exchange, entries: readonly Entry[]): Buffer | undefined | Promise<Buffer> {
  const { body, headers } = exchange.request;
  if (body.length === 0 || !entries.some((entry) => entry.kind === "replace" && entry.body)) return undefined;
  const coding = headers.get("content-encoding");
  if (coding !== undefined && coding.toLowerCase() !== "identity" && coding !== "") {
    exchange.annotate("body_skipped", "content_encoding");
    return undefined;
  }
  return body.buffer(exchange.maxRequestBody);
}
