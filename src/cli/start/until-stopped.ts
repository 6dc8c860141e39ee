import type { Reloader } from "../../admin/reloader.ts";
import type { Logger } from "../../log/logger.ts";
import type { Served } from "../../proxy/served.ts";
import type { Admin, ProcessState } from "./admin.ts";

/** The parts of a process that serves. */
export interface Serving {
  readonly proxy: Served;
  readonly reloader: Reloader;
  readonly admin: Admin;
  readonly state: ProcessState;
  readonly logger: Logger;
  /** How long exchanges under way may take after a signal to stop; it changes with the configuration. */
  readonly shutdownTimeoutMs: () => number;
  /** Stops watching files. */
  readonly unwatch: () => void;
}

/** Least time in milliseconds that the last audit records have to reach a collector, whatever the drain took. */
const leastFlushMs = 1000;

/** Serves until a signal ends it; gives the exit code. A second signal ends the process at once. */
export function untilStopped(serving: Serving): Promise<number> {
  const { proxy, reloader, logger, state } = serving;
  return new Promise((resolve) => {
    const finish = async (signal: string) => {
      if (state.stopping) {
        logger.warn("stopped at once by a second signal");
        proxy.flushSync();
        process.exit(1);
      }
      state.stopping = true;
      logger.info("received signal, shutting down", { signal });
      await shutDown(serving);
      logger.info("sallyport stopped");
      resolve(0);
    };
    const crash = (error: unknown) => {
      // Name and place, not the text: a message may quote the data it choked on (I14).
      const { name, stack } = error instanceof Error ? error : new Error("unknown");
      const at = stack?.split("\n").find((line) => line.trimStart().startsWith("at ")) ?? "";
      logger.error("fatal error", { error: `${name} ${at.trim()}` });
      proxy.flushSync();
      // Nothing is served in a state that nobody knows.
      process.exit(1);
    };
    process.on("uncaughtException", crash);
    process.on("unhandledRejection", crash);
    process.on("SIGTERM", () => void finish("terminated"));
    process.on("SIGINT", () => void finish("interrupt"));
    process.on("SIGHUP", () => {
      proxy.reopenAudit();
      if (!state.stopping) void reloader.reload("SIGHUP");
    });
    // A handler for USR1 also keeps node from opening its inspector, which would show every credential (I14).
    process.on("SIGUSR1", () => proxy.reopenAudit());
    process.on("SIGUSR2", () => proxy.reopenAudit());
  });
}

/** The operator's ports answer until the end: that it drains is worth knowing. */
async function shutDown({ proxy, admin, state, shutdownTimeoutMs, unwatch }: Serving): Promise<void> {
  unwatch();
  const timeoutMs = shutdownTimeoutMs();
  const since = performance.now();
  await proxy.stop(timeoutMs);
  await state.exporting?.close(Math.max(leastFlushMs, timeoutMs - (performance.now() - since)));
  admin.close();
}
