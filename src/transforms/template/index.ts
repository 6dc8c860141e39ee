import { Compiler } from "./compile.ts";
import { TemplateSyntaxError } from "./error.ts";
import type { TemplateFunction } from "./functions.ts";
import { parse } from "./parser.ts";
import type { Frame, TemplateData } from "./values.ts";

export { TemplateError } from "./error.ts";
export { base64, type TemplateFunction } from "./functions.ts";
export { toByteString } from "../byte-string.ts";
export type { TemplateData } from "./values.ts";

/** A string, or the names of a map of strings. */
export type FieldShape = "string" | readonly string[];

export interface TemplateOptions {
  /** Every field the template may name, as `.Name`. */
  readonly fields: Readonly<Record<string, FieldShape>>;
  /** Functions besides the built-in ones. */
  readonly functions?: Readonly<Record<string, TemplateFunction>>;
  /** Longest output, and longest result of a function, in bytes; 64 kB unless given. */
  readonly maxOutput?: number;
}

/** A template that was checked; rendering takes time linear in the size of what it prints. */
export interface Template {
  /**
   * The text for some data. All strings, in and out, are byte strings (one character for each byte, `latin1` in
   * Node's words), because that is what Go's strings are and what a header or a signature is made of: use
   * {@link toByteString} for text that may go beyond ASCII.
   * @throws {TemplateError} when the output is too long, or a value has the wrong type; the text names no value
   */
  render(data: TemplateData): string;
}

export type CompiledTemplate =
  | { readonly template: Template; readonly error?: never }
  | { readonly template?: never; readonly error: { readonly message: string; readonly offset: number } };

const defaultMaxOutput = 64 * 1024;
const maxTemplate = 64 * 1024;

/**
 * Compiles the part of Go's text/template that formatters and signatures use: text, trim markers, comments, string,
 * number and boolean literals, fields, variables, parentheses, pipelines, `if`, `with` and the functions of
 * `functions.ts`. Unknown fields and functions, wrong numbers of arguments and everything outside this part are
 * errors here and never on a request.
 * @param text the template
 * @returns the template, or what is wrong and where (UTF-16 offset)
 */
export function compileTemplate(text: string, options: TemplateOptions): CompiledTemplate {
  const maxOutput = options.maxOutput ?? defaultMaxOutput;
  if (text.length > maxTemplate) {
    return { error: { message: `template is longer than ${maxTemplate} characters`, offset: maxTemplate } };
  }
  try {
    const compiler = new Compiler(options.fields, options.functions ?? {}, maxOutput);
    const steps = compiler.block(parse(text));
    const slots = compiler.slots;
    return {
      template: {
        render(data) {
          const frame: Frame = { data, dot: data, variables: Array.from({ length: slots }, () => "") };
          const output = { text: "" };
          for (const step of steps) step(frame, output);
          return output.text;
        },
      },
    };
  } catch (error) {
    if (error instanceof TemplateSyntaxError)
      return { error: { message: error.message, offset: error.offset } };
    throw error;
  }
}
