import type { LogFields, Logger, LogLevel } from "../log/logger.ts";

export interface LinkLogger {
  readonly logger: Logger;
  /** While it is set, only errors are told: the first process says the rest itself, once for all. */
  quiet: boolean;
}

/** The log of a worker: the first process writes it, so that lines never run into each other. */
export function linkLogger(
  level: LogLevel,
  tell: (level: LogLevel, message: string, fields: LogFields) => void,
): LinkLogger {
  const link: { logger: Logger; quiet: boolean } = {
    quiet: true,
    logger: {
      debug: (message, fields) => (level === "debug" ? say("debug", message, fields) : undefined),
      info: (message, fields) => say("info", message, fields),
      warn: (message, fields) => say("warn", message, fields),
      error: (message, fields) => tell("error", message, plain(fields)),
    },
  };
  function say(at: LogLevel, message: string, fields: LogFields | undefined): void {
    if (!link.quiet) tell(at, message, plain(fields));
  }
  return link;
}

/** Fields that can be sent: an error is its message, and what prints itself safely does so here (I14). */
function plain(fields: LogFields = {}): LogFields {
  const texts = Object.entries(fields).map(([name, value]) => {
    if (value instanceof Error) return [name, value.message];
    return [name, typeof value === "object" && value !== null ? JSON.parse(JSON.stringify(value)) : value];
  });
  return Object.fromEntries(texts) as LogFields;
}
