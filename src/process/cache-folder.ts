import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";

/**
 * The folder for what can be made again, in the user's own cache; `undefined` for a user whom the system does not know,
 * as in a container that runs with a number of its own. Never a shared /tmp, where another user could plant something.
 */
export function cacheFolder(env: NodeJS.ProcessEnv): string | undefined {
  const { XDG_CACHE_HOME: cacheHome = "" } = env;
  try {
    return join(isAbsolute(cacheHome) ? cacheHome : join(homedir(), ".cache"), "sallyport");
  } catch {
    return undefined;
  }
}
