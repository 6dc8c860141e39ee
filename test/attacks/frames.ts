// What a WebSocket client makes of the bytes it gets: messages, joined.

export interface Messages {
  /** Payloads of messages and control frames, in order; compression is not undone. */
  readonly messages: readonly Buffer[];
  /** The close frame is there, and whole. */
  readonly isClosed: boolean;
}

/** Reads frames that are not masked (RFC 6455 section 5.2), as far as there are any. */
export function messagesIn(bytes: Buffer): Messages {
  const messages: Buffer[] = [];
  let parts: Buffer[] = [];
  let isClosed = false;
  for (let at = 0; at + 2 <= bytes.length; ) {
    const [first = 0, second = 0] = bytes.subarray(at, at + 2);
    let length = second & 0x7f;
    let start = at + 2;
    if (length === 126) {
      if (start + 2 > bytes.length) break;
      length = bytes.readUInt16BE(start);
      start += 2;
    } else if (length === 127) {
      if (start + 8 > bytes.length) break;
      length = Number(bytes.readBigUInt64BE(start));
      start += 8;
    }
    const payload = bytes.subarray(start, start + length);
    isClosed = (first & 0x0f) === 8 && payload.length === length;
    if ((first & 0x08) !== 0) messages.push(payload);
    else {
      parts.push(payload);
      if ((first & 0x80) !== 0) {
        messages.push(Buffer.concat(parts));
        parts = [];
      }
    }
    at = start + length;
  }
  return { messages, isClosed };
}
