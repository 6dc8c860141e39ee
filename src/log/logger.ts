import pino from "pino";
import { standardError } from "./lines.ts";
import { clock, type Paint, paintFor, printable } from "./terminal.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";
export type LogFields = Record<string, unknown>;

/** The operational log: what the proxy says about itself. What passed through it goes to the audit. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

export interface LoggerOptions {
  /** Lines below it are not written. */
  readonly level: LogLevel;
  readonly format: "json" | "text";
  /** Where lines go; standard error, shared with the audit, when absent. */
  readonly stream?: { write(line: string): unknown };
  /** Colours of the text form; by default those that standard error can show. */
  readonly paint?: Paint;
}

/** What `log.format` comes to: `auto` is readable on a terminal and JSON everywhere else. */
export function resolveFormat(
  format: "auto" | "json" | "text",
  terminal: boolean | undefined,
): "json" | "text" {
  if (format !== "auto") return format;
  return terminal === true ? "text" : "json";
}

/**
 * A logger that writes one line per call. JSON lines have `level`, `time` (RFC 3339) and `msg`, then the fields.
 * An `Error` among the fields becomes its message; a `Secret` prints as `[redacted]` by itself (I14).
 */
export function createLogger(options: LoggerOptions): Logger {
  const stream = options.stream ?? standardError();
  return options.format === "json" ? jsonLogger(options.level, stream) : textLogger(options, stream);
}

function jsonLogger(level: LogLevel, stream: { write(line: string): unknown }): Logger {
  const log = pino(
    {
      level,
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label.toUpperCase() }) },
    },
    { write: (line: string) => void stream.write(printable(line.slice(0, -1)) + "\n") },
  );
  return {
    debug: (msg, fields) => log.debug(merge(msg, fields)),
    info: (msg, fields) => log.info(merge(msg, fields)),
    warn: (msg, fields) => log.warn(merge(msg, fields)),
    error: (msg, fields) => log.error(merge(msg, fields)),
  };
}

function merge(msg: string, fields: LogFields | undefined): LogFields {
  const merged: LogFields = { msg };
  for (const name in fields) merged[name] = errorText(fields[name]);
  return merged;
}

const order: readonly LogLevel[] = ["debug", "info", "warn", "error"];
const colours = { debug: "gray", info: "cyan", warn: "yellow", error: "red" } as const;

function textLogger(options: LoggerOptions, stream: { write(line: string): unknown }): Logger {
  const paint = options.paint ?? paintFor(2);
  const least = order.indexOf(options.level);
  const at = (level: LogLevel) => {
    if (order.indexOf(level) < least) return () => {};
    const label = paint(colours[level], level.padEnd(5));
    return (message: string, fields: LogFields = {}): void => {
      let line = `${paint("gray", clock(Date.now()))} ${label} ${printable(message)}`;
      for (const [name, value] of Object.entries(fields)) {
        if (value !== undefined) line += ` ${paint("gray", `${name}=`)}${printable(fieldText(value))}`;
      }
      stream.write(`${line}\n`);
    };
  };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

function fieldText(value: unknown): string {
  const plainValue = errorText(value);
  if (typeof plainValue === "string") {
    return plainValue === "" || /[\s"=]/.test(plainValue) ? JSON.stringify(plainValue) : plainValue;
  }
  try {
    return JSON.stringify(plainValue) ?? String(plainValue);
  } catch {
    return "[unserializable]";
  }
}

function errorText(value: unknown): unknown {
  return value instanceof Error ? value.message : value;
}
