import assert from "node:assert/strict";
import { AuthorityError, parseHost } from "../../../src/http/authority.ts";
import {
  readCredentials,
  readGreeting,
  readRequest,
  type Read,
  SocksError,
} from "../../../src/listeners/socks5-messages.ts";
import type { Random } from "../random.ts";

export const name = "socks5";

const readers: readonly ((bytes: Buffer) => Read<unknown> | undefined)[] = [
  readGreeting,
  readCredentials,
  readRequest,
];

/**
 * A whole conversation, mutated and cut: every message is read or refused the same way whatever has arrived behind it,
 * nothing is read before it is whole, and a host that gets through is one that policy can be asked about.
 */
export function run(random: Random): void {
  const input = random.keep(conversation(random));
  let rest = input;
  for (const read of readers) {
    const outcome = attempt(read, rest);
    for (let tries = 0; tries < 8; tries++) {
      const part = attempt(read, rest.subarray(0, random.below(rest.length + 1)));
      if (part !== undefined) assert.deepEqual(part, outcome);
    }
    if (outcome === undefined || typeof outcome === "string") return;
    assert.ok(outcome.length > 0 && outcome.length <= 513 && outcome.length <= rest.length);
    if (read === readRequest) checkHost((outcome.message as { host: string }).host);
    rest = rest.subarray(outcome.length);
  }
}

function attempt(read: (typeof readers)[number], bytes: Buffer): Read<unknown> | string | undefined {
  try {
    return read(bytes);
  } catch (error) {
    assert.ok(error instanceof SocksError);
    return error.message;
  }
}

function checkHost(text: string): void {
  try {
    assert.match(parseHost(text).name, /^[a-z0-9._:-]+$/);
  } catch (error) {
    assert.ok(error instanceof AuthorityError);
  }
}

function conversation(random: Random): Buffer {
  const user = random.bytes(random.pick([0, 1, 20, 255]));
  const password = random.bytes(random.pick([0, 1, 60, 255]));
  const host = Buffer.from(random.pick(["api.example.com", "", "127.0.0.1", "::1", "a\0b", "x".repeat(255)]));
  const type = random.pick([1, 3, 3, 3, 4, random.below(256)]);
  const address =
    type === 1
      ? random.bytes(4)
      : type === 4
        ? random.bytes(16)
        : Buffer.concat([Buffer.of(host.length), host]);
  const bytes = Buffer.concat([
    Buffer.of(5, 2, 0, 2),
    Buffer.of(1, user.length),
    user,
    Buffer.of(password.length),
    password,
    Buffer.of(5, random.pick([1, 1, 1, 2, 3]), 0, type),
    address,
    random.bytes(2),
  ]);
  for (let left = random.pick([0, 0, 1, 3]); left > 0; left--) {
    bytes[random.below(bytes.length)] = random.below(256);
  }
  return random.once(4) ? bytes.subarray(0, random.below(bytes.length)) : bytes;
}
