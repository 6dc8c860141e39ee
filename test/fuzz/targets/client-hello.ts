import assert from "node:assert/strict";
import { Duplex } from "node:stream";
import tls from "node:tls";
import { ClientHelloReader, readClientHello, type ClientHelloResult } from "../../../src/tls/client-hello.ts";
import { makeCa, makeLeaf } from "../../helpers/pki.ts";
import {
  alpn,
  essentials,
  helloMessage,
  keyShare,
  records,
  serverName,
  supportedVersions,
  type Extension,
} from "../../helpers/client-hello.ts";
import type { Random } from "../random.ts";

export const name = "client-hello";

/**
 * However the bytes are cut, the reader says the same. And it never disagrees with OpenSSL, which reads the same
 * bytes after it: what OpenSSL answers, under the name that OpenSSL takes, is what was decided on (I1). The
 * reader may refuse what OpenSSL takes, not the other way round where a name is at stake.
 */
export async function run(random: Random, iteration: number): Promise<void> {
  const input = random.keep(anyHello(random));
  const result = readClientHello(input);
  const reader = new ClientHelloReader();
  let last: ClientHelloResult = { kind: "incomplete" };
  for (let at = 0; at < input.length; ) {
    const end = at + random.between(1, 400);
    last = reader.push(input.subarray(at, end));
    at = end;
  }
  assert.deepEqual(last, result);
  if (iteration % 4 !== 0 || result.kind !== "hello") return;
  const seen = await openssl(input);
  if (seen.answered) assert.equal(seen.serverName, result.serverName);
}

function anyHello(random: Random): Buffer {
  const names = ["api.example.com", "evil.example", "a", "API.example.com.", "a\0b", ""];
  const extra: Extension[] = [];
  if (!random.once(6)) extra.push(serverName(random.pick(names)));
  if (random.once(12)) extra.push(serverName(random.pick(names), random.pick(names)));
  if (random.once(3)) extra.push(alpn("h2", "http/1.1"));
  if (random.once(6)) extra.push([random.below(0x10000), random.bytes(random.below(40))]);
  if (random.once(8)) extra.push(keyShare(random.below(2000)));
  const base = random.once(6) ? [supportedVersions(0x0303)] : essentials;
  const extensions = random.once(2) ? [...extra, ...base] : [...base, ...extra];
  const message = helloMessage({ extensions });
  mutate(random, message);
  const bytes = records(message, random.once(3) ? random.between(1, 600) : undefined);
  if (random.once(3)) mutate(random, bytes);
  return random.once(10) ? bytes.subarray(0, random.below(bytes.length)) : bytes;
}

function mutate(random: Random, bytes: Buffer): void {
  for (let left = random.pick([0, 0, 0, 1, 1, 2, 5]); left > 0; left--) {
    const at = random.below(bytes.length);
    bytes[at] = random.once(2) ? random.below(256) : (bytes[at] ?? 0) + random.pick([1, 255]);
  }
}

const ca = makeCa();
const leaf = makeLeaf(ca, "fuzz.example");
const secureContext = tls.createSecureContext({
  cert: leaf.certPem,
  key: leaf.keyPem,
  minVersion: "TLSv1.2",
});

/** Whether OpenSSL answers these bytes with a ServerHello, and the name it read. */
function openssl(input: Buffer): Promise<{ answered: boolean; serverName: string | undefined }> {
  return new Promise((resolve) => {
    let serverName: string | undefined;
    const done = (answered: boolean) => {
      resolve({ answered, serverName });
      setImmediate(() => socket.destroy());
    };
    const wire = new Duplex({
      read: () => {},
      write: (chunk: Buffer, _encoding, callback) => {
        callback();
        done(chunk[0] === 22);
      },
    });
    const socket = new tls.TLSSocket(wire, {
      isServer: true,
      secureContext,
      SNICallback: (name, callback) => {
        serverName = name;
        callback(null, secureContext);
      },
    });
    socket.on("error", () => done(false)).on("close", () => done(false));
    wire.push(input);
    // OpenSSL answers within a turn or two, or waits for more.
    const wait = (turns: number) => (turns === 0 ? done(false) : setImmediate(wait, turns - 1));
    wait(10);
  });
}
