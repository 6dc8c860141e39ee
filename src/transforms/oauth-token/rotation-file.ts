import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { parseJson, textAt } from "../../sources/json.ts";

/** The file could not be read or written. The message is safe to log (I14). */
export class RotationFileError extends Error {
  override readonly name = "RotationFileError";
}

/** Keeps the last refresh token of an issuer that rotates them, across restarts. */
export interface RotationFile {
  /**
   * The token kept for a configured one; `undefined` when there is no file, or it belongs to another configured token.
   * @param fingerprint of the configured token
   * @throws {RotationFileError}
   */
  read(fingerprint: string): Promise<string | undefined>;
  /**
   * Replaces what is kept, so that a reader sees the old or the new content and never a part; mode 0600.
   * @param token `undefined` keeps none
   * @throws {RotationFileError}
   */
  write(fingerprint: string, token: string | undefined): Promise<void>;
}

/** Largest file that is read, in bytes (I12). */
const maxBytes = 131_072;

export function rotationFile(path: string): RotationFile {
  return {
    async read(fingerprint) {
      const content = parseJson((await contentOf(path)) ?? "{}");
      if (content === undefined) throw problem(path, "it is not JSON; remove it to start anew");
      if (textAt(content, "configured_sha256") !== fingerprint) return undefined;
      const token = textAt(content, "refresh_token");
      return token === "" ? undefined : token;
    },
    async write(fingerprint, token) {
      const content = { configured_sha256: fingerprint, refresh_token: token ?? "" };
      const draft = `${path}.${randomBytes(6).toString("hex")}.tmp`;
      try {
        await writeNew(draft, `${JSON.stringify(content)}\n`);
        await rename(draft, path);
      } catch (error) {
        await rm(draft, { force: true }).catch(() => {});
        throw problem(path, `writing it failed (${codeOf(error)}); the token is lost when the proxy ends`);
      }
    },
  };
}

async function contentOf(path: string): Promise<string | undefined> {
  try {
    // O_NONBLOCK: opening a named pipe that nobody writes to would hold a thread of the pool for ever.
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const status = await file.stat();
      if (!status.isFile()) throw problem(path, "it is not a regular file");
      if (status.size > maxBytes) throw problem(path, `it is larger than ${maxBytes} bytes`);
      return await file.readFile("utf8");
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof RotationFileError) throw error;
    if (codeOf(error) === "ENOENT") return undefined;
    throw problem(path, `reading it failed (${codeOf(error)})`);
  }
}

async function writeNew(path: string, content: string): Promise<void> {
  const file = await open(path, "wx", 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}

function problem(path: string, what: string): RotationFileError {
  return new RotationFileError(`rotation file "${path}": ${what}`);
}

function codeOf(error: unknown): string {
  const code = error instanceof Error ? Reflect.get(error, "code") : undefined;
  return typeof code === "string" && /^[A-Z][A-Z0-9_]{2,40}$/.test(code) ? code : "unexpected error";
}
