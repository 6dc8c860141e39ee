import { z } from "zod";
import type { Exchange } from "../pipeline/types.ts";
import type { Exposed } from "../scrub/forms.ts";
import type { Secret } from "../sources/types.ts";
import { toByteString } from "./byte-string.ts";

/** `scrub` of an entry. */
export const scrubSchema = z
  .enum(["on", "off", "pass_unknown_encoding"])
  .optional()
  .describe(
    "Whether answers are searched for the credential (`on` if absent). `pass_unknown_encoding` lets those through that are in a " +
      "content coding which cannot be decoded, where `on` refuses them.",
  );

export type ScrubMode = z.output<typeof scrubSchema>;

/** What becomes of a credential in an answer, as one entry has it. */
export interface ExposureOptions {
  readonly mode: ScrubMode;
  /** As the audit names it. */
  readonly name: string;
  /** What the workload finds in its place; `[redacted:NAME]` if absent. A byte string. */
  readonly replacement?: string;
  readonly keepsRange?: boolean;
}

/** Describes a value that goes out, a byte string. Nothing for an entry with `scrub: off`. */
export function exposedValue(
  { mode, name, replacement, keepsRange }: ExposureOptions,
  value: string,
  more: Pick<Exposed, "part" | "once"> = {},
): readonly Exposed[] {
  if (mode === "off") return [];
  return [
    {
      value,
      name,
      replacement: replacement ?? redacted(name),
      ...(mode === "pass_unknown_encoding" ? { passUnknown: true } : {}),
      ...(keepsRange === true ? { keepsRange } : {}),
      ...more,
    },
  ];
}

/** The same for a secret. */
export function exposedSecret(options: ExposureOptions): (secret: Secret) => readonly Exposed[] {
  return madeOnce((secret) => exposedValue(options, toByteString(secret.reveal())));
}

/**
 * Describes what goes out of something, such as a secret, once for each: sources give one object until the value changes. A new
 * description for every request would be a new value to everyone who remembers values.
 */
export function madeOnce<T extends object>(
  make: (of: T) => readonly Exposed[],
): (of: T) => readonly Exposed[] {
  let last: T | undefined;
  let exposed: readonly Exposed[] = [];
  return (of) => {
    if (of !== last) {
      exposed = make(of);
      last = of;
    }
    return exposed;
  };
}

/** Tells an exchange what goes out with it. */
export function expose(exchange: Exchange, exposed: readonly Exposed[]): void {
  for (const one of exposed) exchange.expose(one);
}

function redacted(name: string): string {
  return toByteString(`[redacted:${name}]`);
}
