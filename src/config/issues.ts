/** Keys and indexes from the root of the configuration to one of its values. */
export type Path = readonly (string | number)[];

/** Something to say about a configuration. */
export interface Issue {
  readonly severity: "error" | "warning";
  /** The file as it was named, or the environment variable that holds the value. */
  readonly file: string;
  /** From 1; 0 where there is no line, as in an environment variable. */
  readonly line: number;
  /** From 1, in UTF-16 units. */
  readonly column: number;
  readonly path: (string | number)[];
  /** One line. Never holds a credential (I14). */
  readonly message: string;
}

/** Where a value of the configuration stands. */
export interface Location {
  readonly line: number;
  readonly column: number;
  /** The characters of an unquoted scalar, which tell `0123` from `83`. */
  readonly text?: string | undefined;
  /** What those characters mean by YAML's core schema. */
  readonly value?: unknown;
  /** The environment variable that holds the value instead of the file. */
  readonly variable?: string | undefined;
  /** Another file that it comes from, such as a tool's declaration. */
  readonly file?: string | undefined;
}

/** Finds a value, or its key; where nothing stands at the path, the nearest thing around it. */
export type Locate = (path: Path, part?: "key" | "value") => Location;

/** Makes an issue about the value at `path`. */
export function issueAt(
  severity: Issue["severity"],
  place: { readonly file: string; readonly locate: Locate },
  path: Path,
  message: string,
  part: "key" | "value" = "value",
): Issue {
  const { line, column, variable, file } = place.locate(path, part);
  return { severity, file: variable ?? file ?? place.file, line, column, path: [...path], message };
}

/** `file:line:column`, or what else has the value. */
export function placeText({ file, line, column }: Issue): string {
  return line > 0 ? `${file}:${line}:${column}` : file;
}

/** `file:line:column: message`, with `warning: ` before the message of a warning. */
export function formatIssue(issue: Issue): string {
  return `${placeText(issue)}: ${issue.severity === "warning" ? "warning: " : ""}${issue.message}`;
}

/**
 * In the order a person reads the files, one after the other; issues of one place keep theirs. What is said of a place twice is said
 * once: a mapping with an anchor is checked wherever an alias repeats it.
 */
export function sortIssues(issues: readonly Issue[]): Issue[] {
  const unique = new Map(issues.map((issue) => [formatIssue(issue), issue]));
  // What has no line comes first: variables, and files that could not be read.
  const files = [...new Set(issues.map(({ file, line }) => (line === 0 ? "" : file)))];
  const rank = ({ file, line }: Issue) => (line === 0 ? -1 : files.indexOf(file));
  return [...unique.values()].sort((a, b) => rank(a) - rank(b) || a.line - b.line || a.column - b.column);
}

/** Whether any of them forbids using the configuration. */
export function hasErrors(issues: readonly Issue[]): boolean {
  return issues.some((issue) => issue.severity === "error");
}

/** A path as people write it: `dns.records[0].name`. */
export function pathText(path: Path): string {
  return path.reduce<string>(
    (text, step) => (typeof step === "number" ? `${text}[${step}]` : text === "" ? step : `${text}.${step}`),
    "",
  );
}

/** Whether one of the paths leads to the other or further down from it. */
export function related(one: Path, other: Path): boolean {
  const shorter = Math.min(one.length, other.length);
  return one.slice(0, shorter).every((step, index) => step === other[index]);
}
