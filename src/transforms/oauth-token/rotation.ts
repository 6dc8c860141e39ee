import { createHash } from "node:crypto";
import { LRUCache } from "lru-cache";
import { MintError } from "../minting/mint-error.ts";
import { type RotationFile, RotationFileError } from "./rotation-file.ts";

/**
 * What became of one configured refresh token. An issuer that rotates takes each refresh token once, so all entries
 * that are configured with the same one share this, and so do the old and the new pipeline of a reload: two that each
 * used the same token would make the issuer think it was stolen (RFC 9700 section 4.14.2).
 */
interface Rotation {
  /** The token the issuer gave last; `undefined` while it has given none. */
  token: string | undefined;
  /** The file does not have it, because it could not be written. */
  unsaved: boolean;
  /** Ends when the last exchange so far has ended. */
  queue: Promise<unknown>;
}

/** Rotations kept at a time (I12); one more for each change of a configured refresh token. */
const maxRotations = 1000;
const rotations = new LRUCache<string, Rotation>({ max: maxRotations });

export interface RefreshOptions {
  /** Two entries with the same endpoint and configured token have one rotation. */
  readonly endpoint: string;
  /** The refresh token as its source gives it. */
  readonly configured: string;
  readonly file: RotationFile | undefined;
  readonly signal: AbortSignal;
  /** Told when the file cannot be read or written. */
  readonly onFileError: (error: RotationFileError) => void;
}

/** What an exchange gave, as far as rotation is concerned. */
export interface Refreshed {
  readonly refreshToken: string | undefined;
}

/**
 * Runs an exchange with the refresh token that is current, one at a time, and keeps the one that comes back. When the
 * issuer does not know a rotated token (any more), the configured one is tried once: somebody may have put the issuer's
 * state back, or another replica have used the rotated one.
 * @throws {MintError}
 */
export function refresh<Answer extends Refreshed>(
  options: RefreshOptions,
  exchange: (refreshToken: string) => Promise<Answer>,
): Promise<Answer> {
  const rotation = rotationOf(options);
  const turn = rotation.queue.then(() => takeTurn(rotation, options, exchange));
  rotation.queue = turn.catch(() => {});
  return turn;
}

async function takeTurn<Answer extends Refreshed>(
  rotation: Rotation,
  options: RefreshOptions,
  exchange: (refreshToken: string) => Promise<Answer>,
): Promise<Answer> {
  const { configured, signal } = options;
  await load(rotation, options);
  if (signal.aborted) throw new MintError("token_endpoint_error", "gave up waiting for another exchange");
  const current = rotation.token ?? configured;
  let answer: Answer;
  try {
    answer = await exchange(current);
  } catch (error) {
    const isStale = error instanceof MintError && error.reason === "invalid_grant";
    if (!isStale || current === configured) throw error;
    answer = await exchange(configured);
    await keep(rotation, undefined, options);
  }
  if (answer.refreshToken === undefined) return answer;
  const next = answer.refreshToken === configured ? undefined : answer.refreshToken;
  if (next !== rotation.token) await keep(rotation, next, options);
  return answer;
}

/** Reads the file each time: another process on this machine may have rotated meanwhile. */
async function load(rotation: Rotation, { configured, file, onFileError }: RefreshOptions): Promise<void> {
  if (file === undefined || rotation.unsaved) return;
  try {
    rotation.token = (await file.read(fingerprint(configured))) ?? rotation.token;
  } catch (error) {
    if (!(error instanceof RotationFileError)) throw error;
    onFileError(error);
  }
}

async function keep(
  rotation: Rotation,
  token: string | undefined,
  { configured, file, onFileError }: RefreshOptions,
): Promise<void> {
  rotation.token = token;
  if (file === undefined) return;
  try {
    await file.write(fingerprint(configured), token);
    rotation.unsaved = false;
  } catch (error) {
    if (!(error instanceof RotationFileError)) throw error;
    rotation.unsaved = true;
    onFileError(error);
  }
}

function rotationOf({ endpoint, configured }: RefreshOptions): Rotation {
  const key = `${fingerprint(configured)} ${endpoint}`;
  let rotation = rotations.get(key);
  if (rotation === undefined) {
    rotation = { token: undefined, unsaved: false, queue: Promise.resolve() };
    rotations.set(key, rotation);
  }
  return rotation;
}

function fingerprint(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}
