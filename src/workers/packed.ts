import { Secret, SourceError, type SourceFault } from "../sources/types.ts";
import { asMintError, MintError } from "../transforms/minting/mint-error.ts";

/** Fields of a value, with those that are credentials apart: a {@link Secret} does not survive being copied. */
export interface Packed {
  readonly plain: Readonly<Record<string, unknown>>;
  readonly secret: Readonly<Record<string, string>>;
}

/** Why there is no value; texts are safe to show (I14). */
export interface Failure {
  readonly by: "source" | "mint";
  readonly message: string;
  readonly reason: string;
  readonly retryAfterMs: number | undefined;
  readonly fault: SourceFault | undefined;
}

/** Takes an object of secrets and plain values apart. */
export function pack(value: object): Packed {
  const fields = Object.entries(value);
  const secrets = fields.flatMap(([name, field]) =>
    field instanceof Secret ? [[name, field.reveal()]] : [],
  );
  return {
    plain: Object.fromEntries(fields.filter(([, field]) => !(field instanceof Secret))),
    secret: Object.fromEntries(secrets),
  };
}

/** The object that was packed. */
export function unpack(packed: Packed): Record<string, unknown> {
  const secrets = Object.entries(packed.secret).map(([name, value]) => [name, new Secret(value)] as const);
  return { ...packed.plain, ...Object.fromEntries(secrets) };
}

export function packFailure(error: unknown): Failure {
  if (error instanceof SourceError) {
    const { message, retryAfterMs, fault } = error;
    return { by: "source", message, reason: "", retryAfterMs, fault };
  }
  const { message, reason, retryAfterMs } = asMintError(error);
  return { by: "mint", message, reason, retryAfterMs, fault: undefined };
}

export function unpackFailure({
  by,
  message,
  reason,
  retryAfterMs,
  fault,
}: Failure): SourceError | MintError {
  return by === "source"
    ? new SourceError(message, { retryAfterMs, fault })
    : new MintError(reason, message, { retryAfterMs });
}
