import { createHash, timingSafeEqual } from "node:crypto";

/**
 * Checks the `Authorization` field of a request against one key (RFC 6750). Takes the same time for every wrong key:
 * what is compared are digests, so that not even the key's length shows.
 */
export function bearerCheck(key: string): (authorization: string | undefined) => boolean {
  const expected = digest(key);
  return (authorization = "") => {
    const token = /^bearer +(\S+) *$/i.exec(authorization)?.[1];
    return timingSafeEqual(digest(token ?? ""), expected) && token !== undefined;
  };
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text, "utf8").digest();
}
