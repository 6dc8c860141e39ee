// The CA of the embedded configuration: made on first use, kept in the user's state directory.
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, isAbsolute, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createCa } from "./ca-create.ts";
import { CaFileExists, caFilesIn, makeDirectory, writeCa } from "./ca-files.ts";
import { loadCa, type CaFiles, type CertificateAuthority } from "./ca.ts";

/** Lifetime of a CA made without one being named. */
export const defaultValidityDays = 3650;

/**
 * `ca.crt` and `ca.key` in `sallyport/` under $XDG_STATE_HOME, or under ~/.local/state (the XDG base directory
 * specification, which has relative values ignored).
 */
export function defaultCaFiles(env: NodeJS.ProcessEnv): CaFiles {
  const { XDG_STATE_HOME: stateHome = "", HOME: home = "" } = env;
  const base = isAbsolute(stateHome) ? stateHome : join(home === "" ? homedir() : home, ".local", "state");
  return caFilesIn(join(base, "sallyport"));
}

/** The default CA, made on first use in a directory of mode 0700. Throws CaError. */
export async function ensureDefaultCa(env: NodeJS.ProcessEnv): Promise<CertificateAuthority> {
  const files = defaultCaFiles(env);
  if (existsSync(files.keyPath) || existsSync(files.certPath)) return loadOncePresent(files);
  const dir = dirname(files.certPath);
  await makeDirectory(dir, 0o700);
  const pem = await createCa({ name: "Sallyport CA", validityDays: defaultValidityDays });
  try {
    return await loadCa(await writeCa(dir, pem));
  } catch (error) {
    if (error instanceof CaFileExists) return loadOncePresent(files); // another process was first
    throw error;
  }
}

/** Another process may be between creating the files and having written them: waits half a second. */
async function loadOncePresent(files: CaFiles): Promise<CertificateAuthority> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await loadCa(files);
    } catch (error) {
      if (attempt === 10) throw error;
      await sleep(50);
    }
  }
}
