import { TemplateSyntaxError } from "./error.ts";
import { scan, type Segment, type Token } from "./lexer.ts";

/** An expression. A pipeline `a | f x` is the call `f x a`, as Go defines it. */
export type Expression =
  | { readonly kind: "literal"; readonly value: string | number | boolean; readonly at: number }
  /** The current value, `.`, and fields of it. */
  | { readonly kind: "dot"; readonly names: readonly string[]; readonly at: number }
  /** `$name` (the data itself for `$`) and fields of it. */
  | {
      readonly kind: "variable";
      readonly name: string;
      readonly names: readonly string[];
      readonly at: number;
    }
  | {
      readonly kind: "access";
      readonly of: Expression;
      readonly names: readonly string[];
      readonly at: number;
    }
  | {
      readonly kind: "call";
      readonly name: string;
      readonly args: readonly Expression[];
      readonly at: number;
    };

export type Node =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "output"; readonly value: Expression }
  | {
      readonly kind: "declare" | "assign";
      readonly name: string;
      readonly value: Expression;
      readonly at: number;
    }
  | Branch;

/** `if` and `with`: the condition may declare a variable that lives to the `end`. */
export interface Branch {
  readonly kind: "if" | "with";
  readonly variable: string | undefined;
  readonly condition: Expression;
  readonly body: readonly Node[];
  readonly otherwise: readonly Node[];
}

/** Nesting of parentheses and blocks: deep enough for people, shallow enough for the stack. */
const maxDepth = 50;
const unsupported = new Set(["range", "define", "template", "block", "break", "continue"]);
const reserved = new Set(["if", "else", "end", "with", "nil", ...unsupported]);

/**
 * The tree of a template.
 * @throws {TemplateSyntaxError}
 */
export function parse(text: string): Node[] {
  const cursor: Cursor = { segments: scan(text), next: 0 };
  const { nodes, stop } = parseBlock(cursor, 0);
  if (stop !== undefined) throw new TemplateSyntaxError(`unexpected {{${stop.word}}}`, stop.at);
  return nodes;
}

interface Cursor {
  readonly segments: readonly Segment[];
  next: number;
}

/** The `else` or `end` that a block stopped at, and what follows the word. */
interface Stop {
  readonly word: "else" | "end";
  readonly rest: Words;
  readonly at: number;
}

function parseBlock(cursor: Cursor, depth: number): { nodes: Node[]; stop: Stop | undefined } {
  const nodes: Node[] = [];
  for (;;) {
    const segment = cursor.segments[cursor.next++];
    if (segment === undefined) return { nodes, stop: undefined };
    if (segment.kind === "text") {
      nodes.push(segment);
      continue;
    }
    const words = new Words(segment.tokens, segment.at, segment.end);
    const word = words.keyword();
    if (word === "else" || word === "end") {
      words.take();
      return { nodes, stop: { word, rest: words, at: segment.at } };
    }
    if (word === "if" || word === "with") {
      words.take();
      nodes.push(parseBranch(word, words, cursor, depth + 1));
    } else {
      nodes.push(parseAction(words));
    }
  }
}

function parseBranch(kind: "if" | "with", words: Words, cursor: Cursor, depth: number): Branch {
  if (depth > maxDepth) throw new TemplateSyntaxError(`blocks nest deeper than ${maxDepth}`, words.start);
  const declared = words.declaration();
  if (declared?.mark === "=")
    throw new TemplateSyntaxError(`write := to declare ${declared.name}`, words.start);
  const condition = parsePipeline(words, 0);
  words.finish();
  const unclosed = new TemplateSyntaxError(`{{${kind}}} is not closed with {{end}}`, words.start);
  const { nodes, stop } = parseBlock(cursor, depth);
  if (stop === undefined) throw unclosed;
  const branch = { kind, variable: declared?.name, condition, body: nodes };
  if (stop.word === "end") {
    stop.rest.finish();
    return { ...branch, otherwise: [] };
  }
  const again = stop.rest.keyword();
  if (again === "if" || again === "with") {
    // `else if` is an `if` inside the `else` that shares its `end`.
    stop.rest.take();
    return { ...branch, otherwise: [parseBranch(again, stop.rest, cursor, depth + 1)] };
  }
  stop.rest.finish();
  const last = parseBlock(cursor, depth);
  if (last.stop === undefined) throw unclosed;
  if (last.stop.word === "else")
    throw new TemplateSyntaxError("a second {{else}} in one block", last.stop.at);
  last.stop.rest.finish();
  return { ...branch, otherwise: last.nodes };
}

function parseAction(words: Words): Node {
  const declared = words.declaration();
  const value = parsePipeline(words, 0);
  words.finish();
  if (declared === undefined) return { kind: "output", value };
  return {
    kind: declared.mark === ":=" ? "declare" : "assign",
    name: declared.name,
    value,
    at: words.start,
  };
}

function parsePipeline(words: Words, depth: number): Expression {
  if (depth > maxDepth)
    throw new TemplateSyntaxError(`parentheses nest deeper than ${maxDepth}`, words.start);
  let value = parseCommand(words, depth, undefined);
  for (let count = 0; words.skip("|"); count++) {
    if (count > maxDepth)
      throw new TemplateSyntaxError(`a pipeline has more than ${maxDepth} stages`, words.start);
    value = parseCommand(words, depth, value);
  }
  return value;
}

/** One stage of a pipeline: a single operand, or a function with its operands and what was piped into it. */
function parseCommand(words: Words, depth: number, piped: Expression | undefined): Expression {
  const first = words.peek();
  if (first === undefined) throw new TemplateSyntaxError("a value is missing", words.here);
  if (first.kind === "word" && literalWord(first.text) === undefined) {
    words.take();
    const args: Expression[] = [];
    while (!words.atStageEnd()) args.push(parseOperand(words, depth));
    if (piped !== undefined) args.push(piped);
    return call(first, args);
  }
  const value = parseOperand(words, depth);
  if (piped !== undefined) throw new TemplateSyntaxError("only a function can stand behind |", first.at);
  if (!words.atStageEnd()) throw new TemplateSyntaxError("only a function can take arguments", first.at);
  return value;
}

function parseOperand(words: Words, depth: number): Expression {
  const token = words.take();
  if (token === undefined) throw new TemplateSyntaxError("a value is missing", words.here);
  switch (token.kind) {
    case "field":
      return { kind: "dot", names: token.names, at: token.at };
    case "variable":
      return { kind: "variable", name: token.name, names: token.names, at: token.at };
    case "string":
    case "number":
      return { kind: "literal", value: token.value, at: token.at };
    case "word": {
      const literal = literalWord(token.text);
      return literal === undefined ? call(token, []) : { kind: "literal", value: literal, at: token.at };
    }
    case "mark":
      return parseParentheses(words, token, depth);
    case "access":
      throw new TemplateSyntaxError("unexpected field", token.at);
  }
}

function parseParentheses(words: Words, open: Token & { kind: "mark" }, depth: number): Expression {
  if (open.text !== "(") throw new TemplateSyntaxError(`unexpected ${JSON.stringify(open.text)}`, open.at);
  const inner = parsePipeline(words, depth + 1);
  if (!words.skip(")")) throw new TemplateSyntaxError("parenthesis is not closed", open.at);
  const next = words.peek();
  if (next?.kind !== "access") return inner;
  words.take();
  return { kind: "access", of: inner, names: next.names, at: next.at };
}

function call(word: Token & { kind: "word" }, args: Expression[]): Expression {
  if (unsupported.has(word.text)) throw new TemplateSyntaxError(`{{${word.text}}} is not supported`, word.at);
  if (reserved.has(word.text)) throw new TemplateSyntaxError(`unexpected ${word.text}`, word.at);
  return { kind: "call", name: word.text, args, at: word.at };
}

function literalWord(text: string): boolean | undefined {
  return text === "true" ? true : text === "false" ? false : undefined;
}

/** The words of one action, read from left to right. */
class Words {
  readonly start: number;
  readonly #tokens: readonly Token[];
  readonly #end: number;
  #next = 0;

  constructor(tokens: readonly Token[], start: number, end: number) {
    this.#tokens = tokens;
    this.start = start;
    this.#end = end;
  }

  peek(): Token | undefined {
    return this.#tokens[this.#next];
  }

  take(): Token | undefined {
    return this.#tokens[this.#next++];
  }

  /** Where the next word stands, or the closing braces. */
  get here(): number {
    return this.peek()?.at ?? this.#end - 2;
  }

  /** The next word, where it is a bare one. */
  keyword(): string | undefined {
    const token = this.peek();
    return token?.kind === "word" ? token.text : undefined;
  }

  skip(mark: string): boolean {
    const token = this.peek();
    if (token?.kind !== "mark" || token.text !== mark) return false;
    this.#next++;
    return true;
  }

  atStageEnd(): boolean {
    const token = this.peek();
    return token === undefined || (token.kind === "mark" && (token.text === "|" || token.text === ")"));
  }

  /** Takes `$x :=` or `$x =`, where the action begins so. */
  declaration(): { name: string; mark: ":=" | "=" } | undefined {
    const variable = this.peek();
    const mark = this.#tokens[this.#next + 1];
    if (variable?.kind !== "variable" || mark?.kind !== "mark") return undefined;
    if (mark.text !== ":=" && mark.text !== "=") return undefined;
    if (variable.name === "$" || variable.names.length > 0) {
      throw new TemplateSyntaxError("only a plain variable such as $x can be given a value", variable.at);
    }
    this.#next += 2;
    return { name: variable.name, mark: mark.text };
  }

  /** @throws {TemplateSyntaxError} when words are left */
  finish(): void {
    const token = this.peek();
    if (token === undefined) return;
    const text = token.kind === "mark" || token.kind === "word" ? JSON.stringify(token.text) : token.kind;
    throw new TemplateSyntaxError(`unexpected ${text}`, token.at);
  }
}
