// A program that may be executed but not read makes a process that nobody but root can look into, and that leaves no
// core dump. Node is a program like any other, so a copy of it with mode 0111 does.
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  constants,
  copyFileSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { createHash, randomBytes } from "node:crypto";
import { basename, dirname, join } from "node:path";

const executeOnly = 0o111;
/** Longest a copy that works takes to say so, in milliseconds. */
const trialMs = 20_000;

/**
 * Starts this process anew, under the same number and with the same arguments and environment, from a copy of node
 * that cannot be read. Does not return; returns at once where it runs from the copy already.
 * @param folder the user's cache; the copy is as large as node and made once for each of its versions
 * @throws an error of the file system; Error where the copy does not work
 */
export function restartUnreadable(folder: string): void {
  const copy = join(folder, copyName());
  if (process.execPath === copy || process.execve === undefined) return;
  if (!isUsable(copy)) makeCopy(copy);
  const [, ...args] = process.argv;
  // main.ts takes the variable away again; with it even the first file comes from the cache of compiled code.
  const env = { ...process.env, NODE_COMPILE_CACHE: folder };
  process.execve(copy, [process.argv0, ...process.execArgv, ...args], env);
}

/**
 * Named by the path and by the file that was copied: an update of node, even under the same version, is another one,
 * and takes the place of the one before.
 */
function copyName(): string {
  const { size, mtimeMs, ino } = statSync(process.execPath);
  return `node-${digest(process.execPath)}-${digest([size, mtimeMs, ino].join())}`;
}

function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

function isUsable(copy: string): boolean {
  const found = statSync(copy, { throwIfNoEntry: false });
  if (found === undefined) return false;
  const { mode, uid, size } = found;
  return (
    (mode & 0o7777) === executeOnly && uid === process.geteuid?.() && size === statSync(process.execPath).size
  );
}

function makeCopy(copy: string): void {
  const folder = dirname(copy);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const fresh = join(folder, `new-${randomBytes(8).toString("hex")}`);
  try {
    // Where the file system can, both share their blocks.
    copyFileSync(process.execPath, fresh, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    chmodSync(fresh, executeOnly);
    // Libraries may be looked for beside the program, and the folder may forbid to execute anything.
    const { status } = spawnSync(fresh, ["--eval", ""], { stdio: "ignore", timeout: trialMs, env: {} });
    if (status !== 0) throw new Error(`a copy of node in ${folder} does not start`);
    renameSync(fresh, copy);
  } catch (error) {
    rmSync(fresh, { force: true });
    throw error;
  }
  const samePath = basename(copy).slice(0, -digest("").length);
  for (const name of readdirSync(folder)) {
    // What runs from an older copy goes on.
    if (name.startsWith(samePath) && name !== basename(copy)) rmSync(join(folder, name), { force: true });
  }
}
