/** What of a file's status says who can reach it. */
export interface FileAccess {
  readonly mode: number;
  readonly uid: number;
}

/**
 * Whether others than this process's own user can reach a file. A group is no other where another user owns the file: it
 * is what we reach it by, as with the Secrets that Kubernetes mounts.
 */
export function isOpenToOthers({ mode, uid }: FileAccess): boolean {
  if (process.platform === "win32") return false;
  const others = uid === process.geteuid?.() ? 0o077 : 0o007;
  return (mode & others) !== 0;
}

/** Permission bits as chmod takes them: `0600`. */
export function modeText(mode: number): string {
  return (mode & 0o777).toString(8).padStart(4, "0");
}
