import { TemplateError, TemplateSyntaxError } from "./error.ts";
import {
  adopt,
  type Builtin,
  builtins,
  requireKey,
  requirePrintable,
  type TemplateFunction,
} from "./functions.ts";
import type { FieldShape } from "./index.ts";
import type { Branch, Expression, Node } from "./parser.ts";
import {
  anyType,
  boolType,
  describeType,
  type Evaluate,
  type Frame,
  isTrue,
  numberType,
  stringType,
  toText,
  type Typed,
  type Value,
  type ValueType,
} from "./values.ts";

/** What was printed so far. */
export interface Output {
  text: string;
}

/** A piece of a template, ready to print itself. */
export type Step = (frame: Frame, output: Output) => void;

interface Variable {
  readonly name: string;
  readonly type: ValueType;
  readonly slot: number;
}

/** Turns the tree of a template into functions, checking names, arities and types on the way. */
export class Compiler {
  /** Places that variables need in a frame. */
  slots = 0;
  readonly #fields: ReadonlyMap<string, ValueType>;
  readonly #functions: ReadonlyMap<string, Builtin>;
  readonly #maxOutput: number;
  /** Innermost last. */
  #scope: Variable[] = [];
  #dot: ValueType = { kind: "data" };

  constructor(
    fields: Readonly<Record<string, FieldShape>>,
    functions: Readonly<Record<string, TemplateFunction>>,
    maxOutput: number,
  ) {
    this.#fields = new Map(Object.entries(fields).map(([name, shape]) => [name, fieldType(shape)]));
    const added = Object.entries(functions).map(([name, added]): [string, Builtin] => [
      name,
      adopt(name, added),
    ]);
    this.#functions = new Map([...builtins, ...added]);
    this.#maxOutput = maxOutput;
  }

  /** The steps of a block; variables declared in it end with it. */
  block(nodes: readonly Node[]): Step[] {
    const outer = this.#scope;
    this.#scope = [...outer];
    const steps = nodes.map((node) => this.#node(node));
    this.#scope = outer;
    return steps;
  }

  #node(node: Node): Step {
    switch (node.kind) {
      case "text":
        return (_, output) => this.#emit(output, node.text);
      case "output": {
        const value = this.#expression(node.value);
        requirePrintable(value);
        return (frame, output) => this.#emit(output, toText(value.run(frame)));
      }
      case "declare": {
        const value = this.#expression(node.value);
        const slot = this.#declare(node.name, value.type);
        return (frame) => {
          frame.variables[slot] = value.run(frame);
        };
      }
      case "assign": {
        const value = this.#expression(node.value);
        const variable = this.#variable(node.name, node.at);
        if (variable.type.kind !== value.type.kind || value.type.kind === "map") {
          const kinds = `${describeType(variable.type)} cannot become ${describeType(value.type)}`;
          throw new TemplateSyntaxError(`${node.name} is ${kinds}`, node.at);
        }
        return (frame) => {
          frame.variables[variable.slot] = value.run(frame);
        };
      }
      case "if":
      case "with":
        return this.#branch(node);
    }
  }

  #branch(node: Branch): Step {
    const outerScope = this.#scope;
    const outerDot = this.#dot;
    this.#scope = [...outerScope];
    const condition = this.#expression(node.condition);
    const slot = node.variable === undefined ? undefined : this.#declare(node.variable, condition.type);
    const isWith = node.kind === "with";
    if (isWith) this.#dot = condition.type;
    const body = this.block(node.body);
    this.#dot = outerDot;
    const otherwise = this.block(node.otherwise);
    this.#scope = outerScope;
    return (frame, output) => {
      const value = condition.run(frame);
      if (slot !== undefined) frame.variables[slot] = value;
      const taken = isTrue(value);
      const dot = frame.dot;
      if (isWith && taken) frame.dot = value;
      for (const step of taken ? body : otherwise) step(frame, output);
      frame.dot = dot;
    };
  }

  #expression(node: Expression): Typed {
    switch (node.kind) {
      case "literal": {
        const { value, at } = node;
        return { type: literalType(value), run: () => value, literal: value, at };
      }
      case "dot":
        return this.#fieldsOf({ type: this.#dot, run: (frame) => frame.dot, at: node.at }, node.names);
      case "variable": {
        if (node.name === "$") {
          const root: Typed = { type: { kind: "data" }, run: (frame) => frame.data, at: node.at };
          return this.#fieldsOf(root, node.names);
        }
        const { type, slot } = this.#variable(node.name, node.at);
        return this.#fieldsOf(
          { type, run: (frame) => frame.variables[slot] as Value, at: node.at },
          node.names,
        );
      }
      case "access":
        return this.#fieldsOf(this.#expression(node.of), node.names);
      case "call":
        return this.#call(node);
    }
  }

  /** `value.a.b`, each name checked against what is known of the value: no walk into a prototype. */
  #fieldsOf(value: Typed, names: readonly string[]): Typed {
    let current = value;
    for (const name of names) current = this.#field(current, name);
    return current;
  }

  #field(of: Typed, name: string): Typed {
    const { at } = of;
    if (of.type.kind === "map") {
      requireKey(of.type, name, at);
      const run: Evaluate = (frame) => {
        const value = (of.run(frame) as ReadonlyMap<string, string>).get(name);
        if (value === undefined) throw new TemplateError(`there is no value for ${name}`);
        return value;
      };
      return { type: stringType, run, at };
    }
    if (of.type.kind !== "data")
      throw new TemplateSyntaxError(`${describeType(of.type)} has no field .${name}`, at);
    const type = this.#fields.get(name);
    if (type === undefined) {
      const known = [...this.#fields.keys()].map((field) => `.${field}`).join(", ");
      throw new TemplateSyntaxError(`unknown field .${name}; there are: ${known}`, at);
    }
    return { type, run: (frame) => (of.run(frame) as Frame["data"])[name] as Value, at };
  }

  #call(node: Expression & { kind: "call" }): Typed {
    const called = this.#functions.get(node.name);
    if (called === undefined) {
      const known = [...this.#functions.keys()].join(", ");
      throw new TemplateSyntaxError(`unknown function "${node.name}"; there are: ${known}`, node.at);
    }
    const [min, max] = called.arity;
    if (node.args.length < min || node.args.length > max) {
      const wanted =
        min === max ? `${min}` : max === Number.POSITIVE_INFINITY ? `at least ${min}` : `${min} to ${max}`;
      throw new TemplateSyntaxError(
        `${node.name} takes ${wanted} argument${min === 1 && max === 1 ? "" : "s"}, not ${node.args.length}`,
        node.at,
      );
    }
    const { type, run } = called.build(
      node.args.map((arg) => this.#expression(arg)),
      node.at,
    );
    const bounded: Evaluate = (frame) => {
      const value = run(frame);
      if (typeof value === "string" && value.length > this.#maxOutput) throw this.#tooLong();
      return value;
    };
    return { type, run: bounded, at: node.at };
  }

  #declare(name: string, type: ValueType): number {
    const slot = this.slots++;
    this.#scope.push({ name, type, slot });
    return slot;
  }

  #variable(name: string, at: number): Variable {
    const variable = this.#scope.findLast((candidate) => candidate.name === name);
    if (variable === undefined) throw new TemplateSyntaxError(`undefined variable ${name}`, at);
    return variable;
  }

  #emit(output: Output, text: string): void {
    if (output.text.length + text.length > this.#maxOutput) throw this.#tooLong();
    output.text += text;
  }

  #tooLong(): TemplateError {
    return new TemplateError(`output is longer than ${this.#maxOutput} bytes`);
  }
}

function fieldType(shape: FieldShape): ValueType {
  return shape === "string" ? stringType : { kind: "map", keys: new Set(shape) };
}

function literalType(value: string | number | boolean): ValueType {
  if (typeof value === "string") return stringType;
  if (typeof value === "number") return numberType;
  return typeof value === "boolean" ? boolType : anyType;
}
