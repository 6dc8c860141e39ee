// Where a CA is kept: two files, the certificate for everyone and the key for the proxy alone.
import { randomBytes } from "node:crypto";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { CaPem } from "./ca-create.ts";
import { CaError, type CaFiles } from "./ca.ts";

/** One of the files is there already. */
export class CaFileExists extends CaError {}

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
  if (code === "EEXIST")
    return new CaFileExists(
      `${path} exists already and is left as it is: "sallyport ca init --force" replaces a CA`,
    );
  return new CaError(`${path} cannot be written (${code}): choose a directory this user may write to`);
}

/** Makes `dir` and the directories above it that are missing. Throws CaError. */
export async function makeDirectory(dir: string, mode: number): Promise<void> {
  try {
    await mkdir(dir, { recursive: true, mode });
  } catch (error) {
    throw new CaError(`directory ${dir} cannot be made (${(error as NodeJS.ErrnoException).code})`);
  }
}
