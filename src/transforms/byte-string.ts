/**
 * Text as it travels: one character for each byte (`latin1` in Node's words). Header values, paths and searched
 * bodies are handled so, because a credential beyond ASCII goes out as its UTF-8 bytes.
 */
export function toByteString(text: string): string {
  for (let index = 0; index < text.length; index++) {
    if (text.charCodeAt(index) > 0x7f) return Buffer.from(text, "utf8").toString("latin1");
  }
  return text;
}

/** True when a byte may not stand in a header value: CR, LF, NUL and the other controls (attack 33). */
export function hasControl(bytes: string): boolean {
  for (let index = 0; index < bytes.length; index++) {
    const code = bytes.charCodeAt(index);
    if (code < 0x20 || code === 0x7f) return true;
  }
  return false;
}
