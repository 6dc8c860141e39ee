// What a process that holds credentials does before it reads one, so that nobody finds them in it (docs/hardening.md).
import { cacheFolder } from "./cache-folder.ts";
import { emptyCoreDumps } from "./core-dump.ts";
import { revealingOption } from "./diagnostics.ts";
import { eraseInitialEnvironment } from "./initial-environment.ts";
import { restartUnreadable } from "./unreadable-node.ts";
import { isVisible, memoryIsGuarded } from "./visibility.ts";

/** Who the process is to be hidden from. */
export interface Hardening {
  /** It starts a command of its own user, which could look into its memory where the system does not forbid that. */
  readonly startsCommand: boolean;
}

/**
 * Closes this process to others, as far as the system lets it; may restart it, under the same number, and not return.
 * @returns what could not be closed, a sentence each; nothing where the system has no way to (docs/hardening.md)
 * @throws Error where node was started with something that shows what is in memory
 */
export function hardenProcess({ startsCommand }: Hardening): string[] {
  const { env, execArgv } = process;
  const option = revealingOption({ execArgv, env, inspectorUrl: inspectorUrl() });
  if (option !== undefined) throw new Error(option);
  if (process.report !== undefined) process.report.excludeEnv = true;
  if (process.platform !== "linux" || !isVisible()) return [];
  const problems: string[] = [];
  const attempt = (step: () => void, consequence: string): void => {
    try {
      step();
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      problems.push(`${consequence} (${code ?? message})`);
    }
  };
  // Nothing hides a process of root's from root.
  if (startsCommand && process.geteuid?.() !== 0 && !memoryIsGuarded()) {
    attempt(() => {
      const folder = cacheFolder(env);
      if (folder === undefined) throw new Error("there is no folder for a copy of node");
      restartUnreadable(folder);
    }, "the command can read the memory of this proxy, and the credentials in it");
  }
  attempt(eraseInitialEnvironment, "others of this user can read the environment it was started with");
  attempt(emptyCoreDumps, "a core dump would hold credentials");
  return problems;
}

/** Node may have been built without an inspector. */
function inspectorUrl(): string | undefined {
  return process.getBuiltinModule("node:inspector")?.url();
}
