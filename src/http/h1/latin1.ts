/** Node's own conversions between bytes and one-byte characters, which its type declarations leave out. */
interface Latin1 {
  latin1Slice(start: number, end: number): string;
  latin1Write(text: string, offset: number): number;
}

/** The bytes from `start` to `end` as text, one character each: `toString("latin1")` without its detours. */
export function latin1Slice(bytes: Buffer, start: number, end: number): string {
  return (bytes as Buffer & Latin1).latin1Slice(start, end);
}

/** Writes text of one-byte characters at an offset. */
export function latin1Write(bytes: Buffer, text: string, offset: number): void {
  (bytes as Buffer & Latin1).latin1Write(text, offset);
}
