import { parse, TomlError } from "smol-toml";
import { type LocateToml, locateToml } from "./toml-places.ts";

export interface TomlDocument {
  readonly data: Readonly<Record<string, unknown>>;
  readonly locate: LocateToml;
}

/** A text that is no TOML; place and words, without a line of the text (I14). */
export interface TomlFault {
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

const maxDepth = 100;

/** Reads a TOML 1.0 text. */
export function readToml(text: string): TomlDocument | TomlFault {
  try {
    const data = parse(text, { maxDepth });
    return { data, locate: locateToml(text) };
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    // What follows the first line is the place in the text, drawn.
    const [first = ""] = error.message.split("\n");
    const message = first.replace(/^Invalid TOML document: /, "");
    return { line: error.line, column: error.column, message };
  }
}
