import { type FSWatcher, statSync, watch } from "node:fs";
import { dirname } from "node:path";

export interface WatchOptions {
  /** The configuration file. */
  readonly file: string;
  /** Folders whose contents belong to the configuration, as it says now. */
  folders(): readonly string[];
  /** Something may have changed. Not called again before it is done. */
  onChange(): Promise<unknown>;
  /** A folder cannot be watched; it is looked at every few seconds instead. */
  readonly onTrouble: (folder: string, code: string) => void;
}

/** Quiet that must follow a change, so that a file which is still being written is not read. */
const quietMs = 300;
/** How often the file is looked at besides: file systems in a network tell of nothing. */
const lookEveryMs = 5000;

/**
 * Watches a configuration. The folder is watched and not the file: editors put another file in its place, and
 * Kubernetes swaps a link beside it (`..data`) that the file's own link leads through.
 * @returns stops it
 */
export function watchConfiguration(options: WatchOptions): () => void {
  const { file, onTrouble } = options;
  const watchers = new Map<string, FSWatcher>();
  const reported = new Set<string>();
  let seen = stamp(file);
  let quiet: NodeJS.Timeout | undefined;
  let stopped = false;

  const changed = () => {
    clearTimeout(quiet);
    if (!stopped) quiet = setTimeout(() => void act(), quietMs).unref();
  };
  const act = async () => {
    await options.onChange();
    if (!stopped) arm();
  };
  /** Watches what is to be watched now; all of it anew, since a folder may have been replaced by another. */
  const arm = () => {
    const before = [...watchers.values()];
    watchers.clear();
    watchFolder(dirname(file), false);
    for (const folder of options.folders()) watchFolder(folder, true);
    for (const watcher of before) watcher.close();
  };
  const watchFolder = (folder: string, recursive: boolean) => {
    try {
      const watcher = watch(folder, { persistent: false, recursive }, changed);
      watcher.on("error", (error: NodeJS.ErrnoException) => {
        watchers.delete(folder);
        trouble(folder, error);
      });
      watchers.set(folder, watcher);
    } catch (error) {
      trouble(folder, error as NodeJS.ErrnoException);
    }
  };
  const trouble = (folder: string, error: NodeJS.ErrnoException) => {
    if (reported.has(folder)) return;
    reported.add(folder);
    onTrouble(folder, error.code ?? "unknown");
  };

  const looking = setInterval(() => {
    const now = stamp(file);
    const isUnwatched = [dirname(file), ...options.folders()].some((folder) => !watchers.has(folder));
    if (now !== seen || isUnwatched) changed();
    seen = now;
  }, lookEveryMs).unref();
  arm();
  return () => {
    stopped = true;
    clearTimeout(quiet);
    clearInterval(looking);
    for (const watcher of watchers.values()) watcher.close();
  };
}

/** Differs when another file or other content is there, links followed. */
function stamp(file: string): string {
  try {
    const { dev, ino, size, mtimeNs } = statSync(file, { bigint: true });
    return `${dev}:${ino}:${size}:${mtimeNs}`;
  } catch {
    return ""; // gone for a moment; reading it says why
  }
}
