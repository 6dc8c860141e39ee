import type { Logger } from "../log/logger.ts";
import type { ExposedSecret, Transform } from "../pipeline/types.ts";
import { minScrubbedBytes } from "../scrub/forms.ts";
import { Secret } from "../sources/types.ts";

/** Says which credentials cannot be found in answers, now that their sources were asked. */
export function warnOfExposures(transforms: readonly Transform[], logger: Logger): void {
  for (const { handle } of readable(transforms, (value) => Buffer.byteLength(value) < minScrubbedBytes)) {
    const message = `a credential has fewer than ${minScrubbedBytes} bytes: answers are not searched for it`;
    logger.warn(message, { secret: handle.name });
  }
  for (const name of ownPlaceholders(transforms)) {
    logger.error("a credential is its own placeholder; requests that need it are refused", { secret: name });
  }
}

/** Names of credentials that are their own placeholders: a workload that holds one holds the other. */
export function ownPlaceholders(transforms: readonly Transform[]): string[] {
  const own = readable(transforms, (value, placeholder) => value === placeholder);
  return [...new Set(own.map(({ handle }) => handle.name))];
}

/** Those whose value is here, and is as asked. */
function readable(
  transforms: readonly Transform[],
  is: (value: string, placeholder: string | undefined) => boolean,
): ExposedSecret[] {
  return transforms
    .flatMap(({ exposes = [] }) => exposes)
    .filter(({ handle, placeholder }) => {
      const value = valueOf(handle);
      return value !== undefined && is(value, placeholder);
    });
}

function valueOf(handle: ExposedSecret["handle"]): string | undefined {
  try {
    const secret = handle.get();
    if (secret instanceof Secret) return secret.reveal();
    secret.catch(() => {});
  } catch {
    // The cache has said why.
  }
  return undefined;
}
