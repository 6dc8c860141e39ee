import { lowerCaseName } from "../../http/headers.ts";
import type { BuildContext, ConfigPath, ExposedSecret } from "../../pipeline/types.ts";
import type { Rules } from "../../pipeline/rules.ts";
import type { SecretHandle } from "../../sources/types.ts";
import type { z } from "zod";
import { toByteString } from "../byte-string.ts";
import type { ExposureOptions } from "../exposure.ts";
import { isForbiddenForCredentials, isHeaderName } from "../header-matcher.ts";
import { compileTemplate, type FieldShape, type Template } from "../template/index.ts";
import { makeCounter, randomNonce, timestampFormats } from "./clock.ts";
import { keyName, type SigningCredentials, signingCredentials } from "./credentials.ts";
import { requestFields, signatureFields } from "./fields.ts";
import { signingFunctions } from "./functions.ts";
import { type Algorithm, algorithms, type EcdsaFormat, type KeyEncoding } from "./keys.ts";
import { ecdsaFormats, type hmacSignSchema, keyEncodings, outputEncodings } from "./schema.ts";

type Config = z.output<typeof hmacSignSchema>;

/** A header or parameter to set. */
export interface Field {
  readonly name: string;
  readonly value: Template;
}

/** One signing scheme, compiled. */
export interface Scheme {
  readonly rules: Rules;
  readonly algorithm: Algorithm;
  readonly outputEncoding: (typeof outputEncodings)[number];
  readonly message: Template;
  readonly headers: readonly Field[];
  /** Parameters that are part of what is signed. */
  readonly signedQuery: readonly Field[];
  /** Parameters that hold the signature or the message. */
  readonly finalQuery: readonly Field[];
  /** Names of both, as byte strings: what the workload sent under them goes. */
  readonly queryNames: ReadonlySet<string>;
  /** What {@link Exchange.claim} takes (I5). */
  readonly places: readonly string[];
  readonly allowChunkedBody: boolean;
  readonly credentials: () => SigningCredentials | Promise<SigningCredentials>;
  /** What becomes of a signature in the query, in answers. */
  readonly exposure: ExposureOptions;
  /** The time as the scheme writes it. */
  readonly timestamp: () => string;
  readonly counter: () => string;
  readonly nonce: () => string;
}

/** What a test puts in place of the machine's own. */
export interface HmacSignOptions {
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  readonly nonce?: () => string;
}

/** Longest message in bytes: far above any body that is buffered, and an end to a template that repeats it. */
const maxMessage = 256 * 1024 * 1024;

export interface Compiled {
  readonly scheme: Scheme | undefined;
  readonly rules: Rules;
  readonly secrets: readonly SecretHandle[];
  readonly exposes: readonly ExposedSecret[];
}

/** Checks and compiles the configuration; every mistake goes to the context. */
export function compile(
  config: Config,
  context: BuildContext,
  { now = Date.now, nonce = randomNonce }: HmacSignOptions,
): Compiled {
  const fail = (path: ConfigPath, message: string): void => context.error(path, `hmac_sign: ${message}`);
  const { timestamp = {}, signature = {}, credentials = {} } = config;
  const format = choose(
    "timestamp.format",
    timestamp.format ?? "unix_seconds",
    timestampFormats.keys(),
    fail,
  );
  const algorithmName = choose(
    "signature.algorithm",
    signature.algorithm ?? "sha256",
    algorithms.keys(),
    fail,
  );
  const keyEncoding = choose("signature.key_encoding", signature.key_encoding ?? "raw", keyEncodings, fail);
  const outputEncoding = choose(
    "signature.output_encoding",
    signature.output_encoding ?? "base64",
    outputEncodings,
    fail,
  );
  const ecdsaFormat = choose("signature.ecdsa_format", signature.ecdsa_format ?? "raw", ecdsaFormats, fail);
  const algorithm = algorithms.get(algorithmName ?? "");
  if (signature.ecdsa_format !== undefined && algorithm !== undefined && algorithm.family !== "ecdsa") {
    fail(["signature", "ecdsa_format"], `signature.ecdsa_format is for ECDSA, not for ${algorithmName}`);
  }
  const templates = templateCompiler(Object.keys(credentials), fail);
  const message = templates.message(signature.message);
  if ((config.headers ?? []).length + (config.query ?? []).length === 0) {
    fail(["headers"], 'at least one entry in "headers" is required (or in "query")');
  }
  const headers = compileHeaders(config, templates, context, fail);
  const query = compileQuery(config, templates, fail);
  const handles = handlesOf(credentials, context, fail);
  const rules = context.rules(["rules"], config.rules);
  if ((config.rules ?? []).length === 0) fail(["rules"], 'at least one entry in "rules" is required');
  const secrets = [...handles.values()];
  const sent = [...handles].filter(([name]) => name !== keyName && config.scrub !== "off");
  const exposes = sent.map(([, handle]) => ({ handle }));
  if (message === undefined || algorithm === undefined || !handles.has(keyName)) {
    return { scheme: undefined, rules, secrets, exposes };
  }
  const writeTime = timestampFormats.get(format ?? "") as (milliseconds: number) => string;
  const makeSigner = (key: string) =>
    algorithm.signer(key, keyEncoding as KeyEncoding, ecdsaFormat as EcdsaFormat);
  const scheme: Scheme = {
    rules,
    algorithm,
    outputEncoding: outputEncoding as Scheme["outputEncoding"],
    message,
    headers,
    ...query,
    places: [
      ...headers.map(({ name }) => lowerCaseName(name)),
      ...[...query.queryNames].map((name) => `query:${name}`),
    ],
    allowChunkedBody: config.allow_chunked_body === true,
    credentials: signingCredentials(handles, makeSigner, config.scrub),
    exposure: { mode: config.scrub, name: "hmac_sign" },
    timestamp: () => writeTime(now()),
    counter: makeCounter(now),
    nonce,
  };
  return { scheme, rules, secrets, exposes };
}

type Fail = (path: ConfigPath, message: string) => void;

function choose(key: string, value: string, known: Iterable<string>, fail: Fail): string | undefined {
  const words = [...known];
  if (words.includes(value)) return value;
  fail(key.split("."), `unknown ${key} ${JSON.stringify(value)} (want ${words.join("|")})`);
  return undefined;
}

/** Compiles the templates of one scheme; `undefined` where the context was told of a mistake. */
interface Templates {
  message(text: string | undefined): Template | undefined;
  header(text: string, path: ConfigPath): Template | undefined;
  /** Whether the template names the signature or the message, and so cannot be part of it. */
  parameter(text: string, path: ConfigPath): { template: Template; final: boolean } | undefined;
}

function templateCompiler(credentialNames: readonly string[], fail: Fail): Templates {
  // Not the key: a header that could hold it would hand it to whoever reads the request.
  const Credentials = credentialNames.filter((name) => name !== keyName);
  const early: Record<string, FieldShape> = { ...requestFields, Credentials };
  const late: Record<string, FieldShape> = { ...early, ...signatureFields };
  const parse = (text: string, fields: Record<string, FieldShape>, maxOutput?: number) =>
    compileTemplate(text, {
      fields,
      functions: signingFunctions,
      ...(maxOutput === undefined ? {} : { maxOutput }),
    });
  const told = (compiled: ReturnType<typeof parse>, path: ConfigPath): Template | undefined => {
    if (compiled.error !== undefined) {
      const { message, offset } = compiled.error;
      const isKey = message.startsWith(`unknown key "${keyName}"`);
      const why = isKey ? "secret is the signing key, which no template may name" : message;
      fail(path, `parsing ${nameOf(path)}: ${why} (at character ${offset + 1})`);
    }
    return compiled.template;
  };
  return {
    message(text = "") {
      const path = ["signature", "message"];
      if (text !== "") return told(parse(text, early, maxMessage), path);
      fail(path, "signature.message is required");
      return undefined;
    },
    header: (text, path) => told(parse(text, late), path),
    parameter(text, path) {
      const signed = parse(text, early);
      if (signed.template !== undefined) return { template: signed.template, final: false };
      const template = told(parse(text, late), path);
      return template && { template, final: true };
    },
  };
}

function nameOf(path: ConfigPath): string {
  return path.map((key, at) => (typeof key === "number" ? `[${key}]` : at > 0 ? `.${key}` : key)).join("");
}

function compileHeaders(config: Config, templates: Templates, context: BuildContext, fail: Fail): Field[] {
  const seen = new Set<string>();
  return (config.headers ?? []).flatMap(({ name = "", value = "" }, index) => {
    const path = ["headers", index];
    if (name === "") fail(path, `headers[${index}].name is required`);
    else if (!isHeaderName(name)) fail([...path, "name"], `${JSON.stringify(name)} is not a header name`);
    else if (isForbiddenForCredentials(lowerCaseName(name))) {
      fail([...path, "name"], `${name} belongs to the connection; it cannot be set`);
    } else if (seen.has(lowerCaseName(name))) {
      context.warn([...path, "name"], `hmac_sign: ${name} is set twice; the last one counts`);
    }
    seen.add(lowerCaseName(name));
    if (value === "") fail(path, `headers[${index}].value is required`);
    const template = value === "" ? undefined : templates.header(value, [...path, "value"]);
    return template === undefined ? [] : [{ name, value: template }];
  });
}

function compileQuery(
  config: Config,
  templates: Templates,
  fail: Fail,
): Pick<Scheme, "signedQuery" | "finalQuery" | "queryNames"> {
  const signedQuery: Field[] = [];
  const finalQuery: Field[] = [];
  const queryNames = new Set<string>();
  for (const [index, { name = "", value = "" }] of (config.query ?? []).entries()) {
    const path = ["query", index];
    const bytes = toByteString(name);
    if (name === "") fail(path, `query[${index}].name is required`);
    else if (queryNames.has(bytes)) fail([...path, "name"], `${JSON.stringify(name)} is set twice`);
    queryNames.add(bytes);
    if (value === "") fail(path, `query[${index}].value is required`);
    const compiled = value === "" ? undefined : templates.parameter(value, [...path, "value"]);
    if (compiled === undefined) continue;
    (compiled.final ? finalQuery : signedQuery).push({ name: bytes, value: compiled.template });
  }
  return { signedQuery, finalQuery, queryNames };
}

function handlesOf(
  credentials: NonNullable<Config["credentials"]>,
  context: BuildContext,
  fail: Fail,
): Map<string, SecretHandle> {
  if (credentials[keyName] === undefined) {
    const hint = Object.keys(credentials).length === 0 ? 'at least "secret"' : '"secret" (the HMAC key)';
    fail(["credentials"], `"credentials" must include ${hint}`);
  }
  return new Map(
    Object.entries(credentials).map(([name, source]) => [
      name,
      context.secret(["credentials", name], source),
    ]),
  );
}
