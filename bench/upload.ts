// One large upload, made of blocks that are never all in memory.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { request } from "node:https";
import { setTimeout as wait } from "node:timers/promises";
import type { Keys } from "./keys.ts";
import type { Target } from "./load.ts";
import { type Running, startProcess } from "./machine.ts";

export interface Upload {
  readonly fields: Readonly<Record<string, string | number>>;
  /** Sent over and over. */
  readonly block: Buffer;
  readonly blocks: number;
  /** Sent once, behind them. */
  readonly last?: Buffer;
}

/** Starts the upstream that uploads go to. */
export async function startSink(keys: Keys): Promise<Running & { readonly port: number }> {
  const program = new URL("upload-sink.ts", import.meta.url).pathname;
  const listening = /listening on (\d+)/;
  const ready = (errors: string) => listening.test(errors);
  const running = await startProcess(process.execPath, [program, keys.cert, keys.key], { ready });
  return { ...running, port: Number(listening.exec(running.errors())?.[1]) };
}

/**
 * @returns seconds it took until the answer
 * @throws {Error} when the answer was not 200, or not every byte arrived at the sink
 */
export async function upload(target: Target, { fields, block, blocks, last }: Upload): Promise<number> {
  const size = block.length * blocks + (last?.length ?? 0);
  const began = performance.now();
  const outgoing = request({
    port: target.port,
    host: "127.0.0.1",
    servername: "localhost",
    ca: readFileSync(target.caCert),
    agent: false,
    method: "PUT",
    path: "/upload",
    headers: { Host: target.host, ...fields, "Content-Length": size },
  });
  const answered = new Promise<string>((resolve, reject) => {
    outgoing.once("error", reject);
    outgoing.once("response", (response) => {
      let text = `${response.statusCode} `;
      response.on("data", (data: Buffer) => (text += data.toString()));
      response.once("end", () => resolve(text));
    });
  });
  for (let sent = 0; sent < blocks; sent++) {
    if (!outgoing.write(block)) await Promise.race([once(outgoing, "drain"), answered]);
    if (outgoing.destroyed) break;
  }
  outgoing.end(last);
  const said = await Promise.race([answered, wait(300_000, "no answer", { ref: false })]);
  if (!said.startsWith("200 ")) throw new Error(`an upload of ${size} bytes was answered ${said}`);
  return (performance.now() - began) / 1000;
}

const chunkBytes = 64 * 1024;

/** A body that streams as it is. */
export function plainUpload(megabytes: number, fields: Upload["fields"]): Upload {
  return { fields, block: Buffer.alloc(chunkBytes, "u"), blocks: megabytes * 16 };
}

/** A body in chunks which are each signed, as SDKs send them where they do not trust TLS to keep them whole. */
export function chunkedUpload(megabytes: number, fields: Upload["fields"]): Upload {
  const head = (size: number): string => `${size.toString(16)};chunk-signature=${"0".repeat(64)}\r\n`;
  const block = Buffer.from(`${head(chunkBytes)}${"u".repeat(chunkBytes)}\r\n`);
  const last = Buffer.from(`${head(0)}\r\n`);
  const decoded = { "X-Amz-Decoded-Content-Length": megabytes * 1024 * 1024 };
  return { fields: { ...fields, ...decoded }, block, blocks: megabytes * 16, last };
}
