import { isatty } from "node:tty";
import { styleText } from "node:util";

type Format = Parameters<typeof styleText>[0];

/** Wraps a text in colours, or gives it back as it is. */
export type Paint = (format: Format, text: string) => string;

/**
 * Colours for a descriptor: on for a terminal, unless `NO_COLOR` is set (no-color.org) or the terminal is dumb;
 * `FORCE_COLOR` switches them on elsewhere.
 */
export function paintFor(fd: number, env: NodeJS.ProcessEnv = process.env): Paint {
  return coloursWanted(isatty(fd), env) ? paint : plain;
}

function coloursWanted(terminal: boolean, env: NodeJS.ProcessEnv): boolean {
  if (env["NO_COLOR"]) return false;
  if (env["FORCE_COLOR"]) return env["FORCE_COLOR"] !== "0";
  return terminal && env["TERM"] !== "dumb";
}

/** Always in colour. */
export const paint: Paint = (format, text) => styleText(format, text, { validateStream: false });

/** Never in colour. */
export const plain: Paint = (_format, text) => text;

// C0, C1 and DEL move the cursor and colour the screen, bidirectional controls reorder what is read:
// a workload must not be able to write on an operator's terminal through a path.
const unprintable = /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/;
const everyUnprintable = new RegExp(unprintable, "g");

/**
 * The text with every character that a terminal would obey written as `\uXXXX`. JSON text without line breaks
 * keeps its value.
 */
export function printable(text: string): string {
  return unprintable.test(text) ? text.replace(everyUnprintable, escape) : text;
}

function escape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/** `15:04:05.123` in local time. */
export function clock(time: number): string {
  const date = new Date(time);
  const two = (value: number): string => String(value).padStart(2, "0");
  const seconds = `${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, "0")}`;
  return `${two(date.getHours())}:${two(date.getMinutes())}:${seconds}`;
}
