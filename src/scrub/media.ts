import type { Headers } from "../http/headers.ts";

/**
 * Media types that are text: what replaces a value there may have another length. Everything else has offsets, counts or lengths
 * inside (archives, images, protocol buffers), and what replaces a value in it is cut or filled up to the value's length.
 */
const text =
  /^(?:text\/|multipart\/|message\/|application\/(?:(?:[\w.-]+\+)?(?:json|xml|yaml|x-www-form-urlencoded)|json-seq|(?:x-)?ndjson|x-?ndjson|jsonl|json5|graphql|javascript|ecmascript|x-javascript|toml|x-sh|x-yaml|sql|problem)(?:$|[ ;+-]))/i;

/** Whether a body must keep its length, by its media type; one without a type is taken for text. */
export function keepsLength(headers: Headers): boolean {
  const type = headers.get("content-type") ?? "";
  if (type !== lastType) {
    lastType = type;
    lastKeeps = isCounted(type.trim());
  }
  return lastKeeps;
}

/** A host answers in one type nearly always. */
let lastType = "";
let lastKeeps = false;

function isCounted(type: string): boolean {
  if (type === "") return false;
  // The length of each message stands before it, also where the messages are JSON.
  if (/^application\/(?:connect\+|grpc)/i.test(type)) return true;
  return !text.test(type);
}
