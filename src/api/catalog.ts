// Declarations as of now: read again when they are asked for and a while has passed.
import { DeclarationError, type Declared, type DeclaredOptions, loadDeclared } from "./declared.ts";

/** Declarations that are kept up to date. */
export interface Catalog {
  /** The newest that could be read. */
  current(): Declared;
  /** Why newer ones are not in force; `undefined` where they are. */
  readonly problem: string | undefined;
}

/** A mounted ConfigMap changes within about a minute; directories are not searched for each request. */
const keepMs = 5_000;

/**
 * Reads the declarations.
 * @param onProblem told when they cannot be read any more, once for each reason
 * @throws {DeclarationError} where they cannot be read the first time
 */
export function openCatalog(
  options: DeclaredOptions,
  onProblem: (problem: string) => void,
  now: () => number = () => performance.now(),
): Catalog {
  let declared = loadDeclared(options);
  let readAt = now();
  let problem: string | undefined;
  return {
    current() {
      if (now() - readAt < keepMs) return declared;
      readAt = now();
      try {
        declared = loadDeclared(options);
        problem = undefined;
      } catch (error) {
        if (!(error instanceof DeclarationError)) throw error;
        if (error.message !== problem) onProblem(error.message);
        problem = error.message;
      }
      return declared;
    },
    get problem() {
      return problem;
    },
  };
}
