import { constants } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { resolve } from "node:path";
import { z } from "zod";
import { type FileAccess, isOpenToOthers, modeText } from "../process/file-access.ts";
import { maxValueBytes } from "./cache.ts";
import { cacheKeys, text, sourceKind } from "./kind.ts";
import { SourceError } from "./types.ts";

/** The contents of a file. With a `ttl` a file that was replaced is picked up. */
export const fileSource = sourceKind({
  name: "file",
  keys: {
    path: text.describe("path of the file; relative to the directory the proxy was started in"),
    trim: z.boolean().optional().describe("remove one line break at the end; true if absent"),
    ...cacheKeys,
  },
  build({ path, trim = true }, { onWarning }) {
    let warned = false;
    return {
      name: path,
      identity: JSON.stringify([resolve(path), trim]),
      async fetch() {
        const { bytes, access } = await readSmallFile(path);
        if (!warned && isOpenToOthers(access)) {
          warned = true;
          onWarning(
            path,
            `other users of this machine can reach secret file "${path}" (mode ${modeText(access.mode)}); chmod it to 0600`,
          );
        }
        const content = textOf(bytes);
        if (content === undefined) throw new SourceError(`secret file "${path}" is not UTF-8 text`);
        // Editors and `kubectl create secret --from-file` leave a line break at the end; no credential has one.
        const value = trim ? content.replace(/\r?\n$/, "") : content;
        if (value === "") {
          throw new SourceError(
            `secret file "${path}" is empty${content === "" ? "" : " but for a line break"}`,
          );
        }
        return value;
      },
    };
  },
});

async function readSmallFile(path: string): Promise<{ bytes: Buffer; access: FileAccess }> {
  let file: FileHandle | undefined;
  try {
    // O_NONBLOCK: opening a named pipe that nobody writes to would hold a thread of the pool for ever.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const status = await file.stat();
    if (status.isDirectory()) throw new SourceError(`reading secret file "${path}": it is a directory`);
    if (!status.isFile()) {
      throw new SourceError(
        `reading secret file "${path}": it is not a regular file (a pipe, socket or device)`,
      );
    }
    if (status.size > maxValueBytes) {
      throw new SourceError(`reading secret file "${path}": it is larger than ${maxValueBytes} bytes`);
    }
    // A file that grew after it was measured yields one byte too many, which the cache refuses.
    const buffer = Buffer.alloc(maxValueBytes + 1);
    let length = 0;
    while (length < buffer.length) {
      const { bytesRead } = await file.read(buffer, length, buffer.length - length);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    return { bytes: buffer.subarray(0, length), access: status };
  } catch (error) {
    throw error instanceof SourceError
      ? error
      : new SourceError(`reading secret file "${path}": ${whyUnreadable(error)}`);
  } finally {
    await file?.close();
  }
}

function whyUnreadable(error: unknown): string {
  const code = error instanceof Error ? Reflect.get(error, "code") : undefined;
  switch (code) {
    case "ENOENT":
      return "it does not exist";
    case "EACCES":
    case "EPERM":
      return `permission denied (${code}); the proxy's user must be able to read it`;
    case "ENOTDIR":
      return "a part of the path is not a directory";
    case "ELOOP":
      return "too many symbolic links";
    default:
      return typeof code === "string" ? code : "unexpected error";
  }
}

function textOf(bytes: Buffer): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
