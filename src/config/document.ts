import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  Scalar,
  type YAMLMap,
} from "yaml";
import { type Issue, issueAt, type Locate, type Location, type Path } from "./issues.ts";

/** A YAML text as plain data, with a way back to the lines it came from. */
export interface YamlDocument {
  /** Mappings have no prototype, so that no key of a file can reach one. `undefined` when the text is broken. */
  readonly data: unknown;
  readonly issues: readonly Issue[];
  readonly locate: Locate;
}

/** Values one file may hold after aliases were followed: a bomb of aliases ends here. */
const maxValues = 100_000;
const maxDepth = 100;

/**
 * Reads one YAML document (1.2 core schema, anchors and merge keys as Go's yaml.v3 has them).
 * @param file names the text in issues
 */
export function readDocument(text: string, file: string): YamlDocument {
  const lines = new LineCounter();
  // `uniqueKeys` and `prettyErrors` off: our own messages name the key, and never quote lines of the file (I14).
  const document = parseDocument(text, {
    lineCounter: lines,
    uniqueKeys: false,
    prettyErrors: false,
    merge: true,
    logLevel: "error",
  });
  const locate: Locate = (path, part) => locateIn(document, lines, path, part ?? "value");
  const issues = syntaxIssues(document, lines, file);
  if (issues.length > 0) return { data: undefined, issues, locate };
  if (document.contents === null) {
    const message =
      "the file is empty; an iron-proxy or Sallyport configuration begins with a key such as proxy:";
    return { data: undefined, issues: [issueAt("error", { file, locate }, [], message)], locate };
  }
  const report = (node: Node, path: Path, message: string): void => {
    const { line, col } = lines.linePos(node.range?.[0] ?? 0);
    issues.push({ severity: "error", file, line, column: col, path: [...path], message });
  };
  const data = new Reader(document, lines, report).read(document.contents, [], []);
  return { data, issues, locate };
}

/** Errors and warnings of the parser whose own text would quote the file. */
const replacedTexts: Readonly<Record<string, string>> = {
  BAD_DIRECTIVE: "unknown directive: a configuration needs no line that begins with %",
  BAD_DQ_ESCAPE: "unknown escape in a double-quoted text; write \\\\ for a backslash, or use single quotes",
  BAD_SCALAR_START: "a plain text cannot begin with this character; put the text in quotes",
  // The parser recurses; a text that is nested too deeply ends as this.
  RESOURCE_EXHAUSTION: `nested more than ${maxDepth} levels deep`,
  MULTIPLE_DOCS: "several documents in one file; keep one and remove the lines that are only ---",
  TAG_RESOLVE_FAILED: "unknown tag; a configuration needs no tags (words that begin with !)",
  UNEXPECTED_TOKEN: "not valid YAML here; look for a missing quote, colon or bracket in or above this line",
};

/** Only the first error: what a parser finds after it lost its way misleads. */
function syntaxIssues(document: Document, lines: LineCounter, file: string): Issue[] {
  const found = [...document.errors, ...document.warnings].toSorted((a, b) => a.pos[0] - b.pos[0])[0];
  if (found === undefined) return [];
  const { line, col } = lines.linePos(found.pos[0]);
  const message = replacedTexts[found.code] ?? found.message;
  return [{ severity: "error", file, line, column: col, path: [], message: `not valid YAML: ${message}` }];
}

/** Turns nodes into data. Aliases become copies, so that mending one place leaves the others alone. */
class Reader {
  readonly #document: Document;
  readonly #lines: LineCounter;
  readonly #report: (node: Node, path: Path, message: string) => void;
  #values = 0;

  constructor(
    document: Document,
    lines: LineCounter,
    report: (node: Node, path: Path, message: string) => void,
  ) {
    this.#document = document;
    this.#lines = lines;
    this.#report = report;
  }

  /** @param open the aliased nodes around this one, to find one that holds itself */
  read(node: unknown, path: Path, open: readonly Node[]): unknown {
    if (isAlias(node)) return this.#alias(node, path, open);
    if (++this.#values === maxValues) this.#report(node as Node, path, tooLarge);
    if (this.#values >= maxValues) return null;
    if (path.length > maxDepth) {
      this.#report(node as Node, path, `nested more than ${maxDepth} levels deep`);
      return null;
    }
    if (isMap(node)) return this.#map(node, path, open);
    if (isSeq(node)) return node.items.map((item, index) => this.read(item, [...path, index], open));
    return isScalar(node) ? scalarData(node) : null;
  }

  #alias(alias: Alias, path: Path, open: readonly Node[]): unknown {
    const target = alias.resolve(this.#document);
    if (target === undefined) {
      this.#report(alias, path, "this alias names no anchor above it");
      return null;
    }
    if (open.includes(target)) {
      this.#report(alias, path, "this alias stands inside the value it repeats");
      return null;
    }
    return this.read(target, path, [...open, target]);
  }

  #map(map: YAMLMap, path: Path, open: readonly Node[]): Record<string, unknown> {
    const data: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
    const seen = new Map<string, Node>();
    for (const pair of map.items) {
      const key = keyText(pair);
      if (key === undefined) {
        this.#report((pair.key as Node | null) ?? map, path, "a key must be a plain word");
        continue;
      }
      if (isMerge(pair)) {
        this.#merge(pair, data, path, open);
        continue;
      }
      const first = seen.get(key);
      if (first !== undefined) {
        const { line } = this.#lines.linePos(first.range?.[0] ?? 0);
        const message = `duplicate key ${JSON.stringify(key)}; it stands in line ${line} already`;
        this.#report(pair.key as Node, [...path, key], message);
        continue;
      }
      seen.set(key, pair.key as Node);
      data[key] = this.read(pair.value, [...path, key], open);
    }
    return data;
  }

  /** `<<: *defaults`: keys written out win over merged ones, wherever they stand. */
  #merge(pair: Pair, data: Record<string, unknown>, path: Path, open: readonly Node[]): void {
    const merged = this.read(pair.value, path, open);
    for (const from of Array.isArray(merged) ? merged : [merged]) {
      if (typeof from !== "object" || from === null) {
        this.#report(pair.key as Node, path, "only a mapping can be merged with <<");
        continue;
      }
      for (const [key, value] of Object.entries(from)) if (!(key in data)) data[key] = value;
    }
  }
}

const tooLarge = `the file stands for more than ${maxValues} values (an alias that repeats aliases?)`;

/**
 * A number or boolean that would not print as it was written (`0123`, `1e3`, `True`) is handed on as its
 * text; {@link Location.value} tells what else it could be.
 */
function scalarData(scalar: Scalar): unknown {
  const { value, source } = scalar;
  const convertible = typeof value === "number" || typeof value === "boolean";
  return convertible && source !== undefined && String(value) !== source ? source : value;
}

function keyText(pair: Pair): string | undefined {
  const { key } = pair;
  if (!isScalar(key)) return undefined;
  return typeof key.value === "string" ? key.value : (key.source ?? String(key.value));
}

function isMerge(pair: Pair): boolean {
  return isScalar(pair.key) && pair.key.type === Scalar.PLAIN && pair.key.source === "<<";
}

function locateIn(document: Document, lines: LineCounter, path: Path, part: "key" | "value"): Location {
  let node: unknown = document.contents;
  let key: unknown;
  let missing = false;
  for (const step of path) {
    const found = child(document, node, step, 0);
    if (found === undefined) {
      missing = true;
      break;
    }
    ({ node, key } = found);
  }
  const value = isAlias(node) ? node.resolve(document) : node;
  const inline =
    isScalar(value) && value.range !== undefined && value.range !== null && value.range[1] > value.range[0];
  // A block's own position is its first key; the line that names the block says more.
  const shown = key !== undefined && (part === "key" || missing || !inline) ? key : node;
  const { line, col } = lines.linePos((shown as Node | null)?.range?.[0] ?? 0);
  const plain = !missing && isScalar(value) && value.type === Scalar.PLAIN;
  return plain
    ? { line, column: col, text: value.source, value: value.value }
    : { line: line || 1, column: col || 1 };
}

/** One step down, through aliases and merges; `key` is what to point at for the value's name. */
function child(
  document: Document,
  parent: unknown,
  step: string | number,
  depth: number,
): { node: unknown; key: unknown } | undefined {
  if (depth > maxDepth) return undefined;
  const node = isAlias(parent) ? parent.resolve(document) : parent;
  if (isSeq(node)) {
    const item = typeof step === "number" ? node.items[step] : undefined;
    return item === undefined ? undefined : { node: item, key: undefined };
  }
  if (!isMap(node)) return undefined;
  const own = node.items.find((pair) => !isMerge(pair) && keyText(pair) === step);
  if (own !== undefined) return { node: own.value, key: own.key };
  for (const pair of node.items.filter(isMerge)) {
    const merged = isAlias(pair.value) ? pair.value.resolve(document) : pair.value;
    for (const from of isSeq(merged) ? merged.items : [merged]) {
      const found = child(document, from, step, depth + 1);
      if (found !== undefined) return found;
    }
  }
  return undefined;
}
