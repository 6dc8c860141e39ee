// Would a request carry its credential? If not: the host, the place in the request, or the policy.
import type { TransformEntry } from "../../config/types.ts";
import { explanationOf } from "../explain/explanation.ts";
import { type Explanation, verdictText } from "../explain/report.ts";
import type { AskedRequest } from "../explain/request.ts";
import type { Check } from "./check.ts";
import type { Subject } from "./subject.ts";

/** @throws {CliError} exit code 2, for what is no request */
export async function checkRequest(asked: AskedRequest, subject: Subject): Promise<Check> {
  const name = `${asked.method} ${asked.url.replace(/[?#].*/s, "")}`;
  const check = { kind: "request", subject: name } as const;
  if (subject.transforms.length === 0) {
    return { ...check, status: "skip", message: "not tried: the configuration has errors" };
  }
  const explanation = { ...(await explanationOf(asked, subject.config, subject.transforms)), warnings: [] };
  const entries = entriesOf(subject.config.transforms, explanation);
  const asking = entries.map((entry) => ({ entry, found: placesOf(entry.placeholder, asked) }));
  const unserved = asking.filter(
    ({ entry, found }) =>
      found.length > 0 &&
      !asking.some((one) => one.entry.placeholder === entry.placeholder && one.entry.isServed),
  );
  const [problem] = unserved;
  if (problem !== undefined)
    return { ...check, status: "fail", ...unservedProblem(problem.entry, problem.found, name) };
  const { verdict, credentials } = explanation;
  if (verdict.kind !== "forward") {
    const hint = `sallyport explain says why, step by step${verdict.kind === "refuse" && verdict.reason === "host_not_allowed" ? "; the host is in no entry's hosts and in no allowlist" : ""}`;
    return { ...check, status: "fail", message: verdictText(explanation), cause: "policy", hint };
  }
  const stripped = strippedHeader(explanation);
  if (stripped !== undefined) {
    const message = `${stripped} gets the credential and is then removed by header_allowlist`;
    return {
      ...check,
      status: "fail",
      message,
      cause: "header_allowlist",
      hint: `add ${stripped} to its headers, or to tools.allow_headers`,
    };
  }
  if (credentials.length > 0) return { ...check, status: "ok", message: verdictText(explanation) };
  return { ...check, status: "fail", ...withoutCredential(entries) };
}

/** An entry of `secrets`, and what `explain` says of it. */
interface ExplainedEntry {
  readonly name: string;
  /** `undefined` for one that sets a header by itself. */
  readonly placeholder: string | undefined;
  readonly hosts: readonly string[];
  /** For people: `match_headers: Authorization`. */
  readonly places: string;
  readonly rulesMatch: boolean;
  readonly isServed: boolean;
  /** What `explain` says, without the entry's name. */
  readonly text: string;
}

function entriesOf(transforms: readonly TransformEntry[], { steps }: Explanation): readonly ExplainedEntry[] {
  const explained = steps.filter(({ name }) => name === "secrets");
  return transforms
    .filter(({ name }) => name === "secrets")
    .flatMap(({ config }, index) => {
      const lines = explained[index]?.lines ?? [];
      const { secrets } = mapping(config);
      return list(secrets).flatMap((entry, at) => explainedEntry(mapping(entry), lines[at]) ?? []);
    });
}

function explainedEntry(entry: Mapping, line: string | undefined): ExplainedEntry | undefined {
  const [, name, text] = /^secrets\[\d+\] (.*?): (rules .*)$/.exec(line ?? "") ?? [];
  if (name === undefined || text === undefined) return undefined;
  const replace = entry["replace"] === undefined ? entry : mapping(entry["replace"]);
  const placeholder = replace["proxy_value"];
  const headers = list(replace["match_headers"]).map(String);
  const places = [
    `match_headers: ${headers.length === 0 ? "none" : headers.join(", ")}`,
    ...["match_query", "match_path", "match_body"].filter((key) => replace[key] === true),
  ];
  return {
    name: entryName(name),
    placeholder: textOf(placeholder),
    hosts: list(entry["rules"]).flatMap(
      (rule) => textOf(mapping(rule)["host"]) ?? textOf(mapping(rule)["cidr"]) ?? [],
    ),
    places: places.join(", "),
    rulesMatch: text.startsWith("rules match"),
    isServed: /would (?:be replaced|set )/.test(text),
    text,
  };
}

/** What people call it: the item of a reference is the declaration's name as a rule. */
function entryName(source: string): string {
  return /^op:\/\/[^/]+\/([^/]+)\//.exec(source)?.[1] ?? source;
}

/** The first two causes of the page: the entry's hosts, and its `match_*`. */
function unservedProblem(
  entry: ExplainedEntry,
  found: readonly string[],
  request: string,
): Pick<Check, "message" | "cause" | "hint"> {
  const where = found.join(" and ");
  if (!entry.rulesMatch) {
    const rules = entry.text.replace(/^rules do not match: /, "");
    const message = `${entry.name} would not be attached: ${rules}; its hosts are ${entry.hosts.join(", ")}`;
    const host = /^\S+ \w+:\/\/([^/]+)/.exec(request)?.[1] ?? "the host";
    return {
      message,
      cause: "hosts",
      hint: `add ${JSON.stringify(host)} to the hosts of the entry ${entry.name}, if it is to go there`,
    };
  }
  const outcome = entry.text.replace(/^rules match; /, "");
  const message = `${entry.name} would not be attached: its placeholder is in ${where}, where the entry does not look (${entry.places})`;
  if (outcome.startsWith("placeholder not found")) {
    return {
      message,
      cause: "match",
      hint: `name the place in the entry's match_headers, match_query or match_path, or send it where they say`,
    };
  }
  return { message: `${entry.name} would not be attached: ${outcome}`, cause: "match", hint: undefined };
}

/** Nothing in the request asks for a credential, or asks as the declaration says. */
function withoutCredential(entries: readonly ExplainedEntry[]): Pick<Check, "message" | "cause" | "hint"> {
  const forHost = entries.filter(({ rulesMatch }) => rulesMatch);
  const [entry] = forHost;
  if (entry === undefined) {
    const message = "would go without a credential: no entry is for this host";
    return { message, cause: "hosts", hint: "add the host to the hosts of the entry that it is meant for" };
  }
  const wanted = forHost.map(
    ({ name, placeholder, places }) => `${name} wants ${JSON.stringify(placeholder)} (${places})`,
  );
  const message = "would go without a credential: the placeholder is not in the request";
  return {
    message,
    cause: "match",
    hint: `give the request's headers with -H; ${wanted.slice(0, 5).join("; ")}`,
  };
}

/** A header with a credential that a later filter takes out again. */
function strippedHeader({ steps, credentials }: Explanation): string | undefined {
  const removed = steps
    .filter(({ name }) => name === "header_allowlist")
    .flatMap(({ lines }) => lines.flatMap((line) => /would remove (.*)$/.exec(line)?.[1]?.split(", ") ?? []))
    .map((name) => name.toLowerCase());
  return credentials
    .flatMap(({ places }) => places.flatMap((place) => /^header (.*)$/.exec(place)?.[1] ?? []))
    .find((name) => removed.includes(name.toLowerCase()));
}

/** Where in the request a placeholder stands, looked for as loosely as somebody looks who wonders where it went. */
function placesOf(placeholder: string | undefined, { headers, url, data }: AskedRequest): readonly string[] {
  if (placeholder === undefined) return [];
  const holds = (text: string) => text.includes(placeholder) || decoded(text).includes(placeholder);
  const named = headers
    .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()] as const)
    .filter(([, value]) => holds(value) || holds(basicPayload(value)))
    .map(([name]) => `header ${name}`);
  const [path = "", query = ""] = url.split("?", 2);
  return [
    ...named,
    ...(holds(path) ? ["path"] : []),
    ...(holds(query) ? ["query"] : []),
    ...(data !== undefined && holds(data) ? ["body"] : []),
  ];
}

function basicPayload(value: string): string {
  const payload = /^basic +(\S+)$/i.exec(value)?.[1];
  return payload === undefined ? "" : Buffer.from(payload, "base64").toString("utf8");
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

type Mapping = Readonly<Record<string, unknown>>;

function mapping(data: unknown): Mapping {
  return typeof data === "object" && data !== null ? (data as Mapping) : {};
}

function list(data: unknown): readonly unknown[] {
  return Array.isArray(data) ? data : [];
}

function textOf(data: unknown): string | undefined {
  return typeof data === "string" && data !== "" ? data : undefined;
}
