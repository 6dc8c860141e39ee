// Where a CA is kept: two files, the certificate for everyone and the key for the proxy alone.
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, isAbsolute, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createCa, type CaPem } from "./ca-create.ts";
import { CaError, loadCa, type CaFiles } from "./ca.ts";

class FileExists extends CaError {}

/** Lifetime of a CA made without one being named. */
export const defaultValidityDays = 3650;

const certMode = 0o644;
const keyMode = 0o600;

/** `ca.crt` and `ca.key` of a directory. */
export function caFilesIn(dir: string): CaFiles {
  return { certPath: join(dir, "ca.crt"), keyPath: join(dir, "ca.key") };
}

/**
 * Writes `ca.crt` (0644) and `ca.key` (0600) into `dir`, which is made (0755) when it is missing. Leaves both
 * files or neither. Throws CaError when one of them exists, unless `force`, or cannot be written.
 */
export async function writeCa(dir: string, pem: CaPem, options: { force?: boolean } = {}): Promise<CaFiles> {
  await makeDirectory(dir, 0o755);
  const files = caFilesIn(dir);
  if (options.force !== true) {
    await writeBoth(files, pem);
    return files;
  }
  // Whole new files take the place of the old ones: a proxy that starts meanwhile never reads half of one.
  const suffix = `.${randomBytes(6).toString("hex")}`;
  const fresh = { certPath: files.certPath + suffix, keyPath: files.keyPath + suffix };
  await writeBoth(fresh, pem);
  try {
    await rename(fresh.keyPath, files.keyPath);
    await rename(fresh.certPath, files.certPath);
  } catch (error) {
    await Promise.all([rm(fresh.keyPath, { force: true }), rm(fresh.certPath, { force: true })]);
    throw writeError(files.certPath, error);
  }
  return files;
}

async function writeBoth(files: CaFiles, pem: CaPem): Promise<void> {
  await writeNew(files.keyPath, pem.keyPem, keyMode);
  try {
    await writeNew(files.certPath, pem.certPem, certMode);
  } catch (error) {
    await rm(files.keyPath, { force: true });
    throw error;
  }
}

/** Exclusive, so that neither an existing file nor the target of somebody's symlink is written. */
async function writeNew(path: string, text: string, mode: number): Promise<void> {
  try {
    await writeFile(path, text, { flag: "wx", mode });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") await rm(path, { force: true });
    throw writeError(path, error);
  }
}

function writeError(path: string, error: unknown): CaError {
  const { code } = error as NodeJS.ErrnoException;
  if (code === "EEXIST") return new FileExists(`${path} exists already: use --force to replace it`);
  return new CaError(`${path} cannot be written (${code}): choose a directory this user may write to`);
}

async function makeDirectory(dir: string, mode: number): Promise<void> {
  try {
    await mkdir(dir, { recursive: true, mode });
  } catch (error) {
    throw new CaError(`directory ${dir} cannot be made (${(error as NodeJS.ErrnoException).code})`);
  }
}

/**
 * Where the embedded configuration keeps its CA: `sallyport/` under $XDG_STATE_HOME, or under ~/.local/state
 * (the XDG base directory specification, which has relative values ignored).
 */
export function defaultCaFiles(env: NodeJS.ProcessEnv): CaFiles {
  const { XDG_STATE_HOME: stateHome = "", HOME: home = "" } = env;
  const base = isAbsolute(stateHome) ? stateHome : join(home === "" ? homedir() : home, ".local", "state");
  return caFilesIn(join(base, "sallyport"));
}

/** The default CA's files, made on first use in a directory of mode 0700. Throws CaError. */
export async function ensureDefaultCa(env: NodeJS.ProcessEnv): Promise<CaFiles> {
  const files = defaultCaFiles(env);
  if (!existsSync(files.keyPath) && !existsSync(files.certPath)) {
    const dir = dirname(files.certPath);
    await makeDirectory(dir, 0o700);
    const pem = await createCa({ name: "Sallyport CA", validityDays: defaultValidityDays });
    try {
      return await writeCa(dir, pem);
    } catch (error) {
      if (!(error instanceof FileExists)) throw error; // else another process was first
    }
  }
  await untilUsable(files);
  return files;
}

/** Another process may be between creating the files and having written them: waits half a second. */
async function untilUsable(files: CaFiles): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      await loadCa(files);
      return;
    } catch (error) {
      if (attempt === 10) throw error;
      await sleep(50);
    }
  }
}
