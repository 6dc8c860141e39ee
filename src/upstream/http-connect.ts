import type { Socket } from "node:net";
import type { Authority } from "../http/authority.ts";
import type { H1Limits } from "../http/h1/limits.ts";
import { ResponseParser } from "../http/h1/parser.ts";
import type { ForwardProxy } from "./forward-proxy.ts";
import { PrefaceReader } from "./preface.ts";

/** What an HTTP proxy answered to CONNECT instead of opening the tunnel; safe to show. */
export class ConnectRefusedError extends Error {
  override readonly name = "ConnectRefusedError";
}

/**
 * Opens a tunnel through an HTTP proxy (RFC 9110 section 9.3.6).
 * @throws {ConnectRefusedError} {@link H1Error} or what went wrong with the socket
 */
export async function openTunnel(
  socket: Socket,
  proxy: ForwardProxy,
  authority: Authority,
  limits: H1Limits,
  signal: AbortSignal,
): Promise<void> {
  const authorization = proxy.credentials ? `Proxy-Authorization: ${proxy.credentials.basic()}\r\n` : "";
  socket.write(
    `CONNECT ${authority.text} HTTP/1.1\r\nHost: ${authority.text}\r\n${authorization}\r\n`,
    "latin1",
  );
  const reader = new PrefaceReader(socket, signal);
  try {
    const status = await readStatus(reader, limits);
    if (status < 200 || status > 299) throw new ConnectRefusedError(refusal(status));
  } finally {
    reader.release();
  }
}

async function readStatus(reader: PrefaceReader, limits: H1Limits): Promise<number> {
  const heads: number[] = [];
  const parser = new ResponseParser(limits, {
    onHead: (head) => heads.push(head.status),
    onBody() {},
    onEnd() {},
  });
  parser.expect("CONNECT");
  for (;;) {
    const bytes = await reader.some();
    const consumed = parser.execute(bytes);
    // 1xx may come first; the answer is the head after them.
    const status = heads.find((status) => status >= 200 || status === 101);
    if (status === undefined) continue;
    reader.putBack(bytes.subarray(consumed));
    return status;
  }
}

function refusal(status: number): string {
  if (status === 407) return "it wants other credentials (407); set them in the URL of proxy.upstream_proxy";
  return `it answered ${status}`;
}
