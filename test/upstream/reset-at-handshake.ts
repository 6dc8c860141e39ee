// A program, since what it does may end its process: resets connections at the very end of their handshakes.
// Says "survived" and how many there were.
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { createSecureContext, createServer as createTlsServer, type SecureVersion } from "node:tls";
import { parseAuthority } from "../../src/http/authority.ts";
import { resetSocket } from "../../src/http/reset-socket.ts";
import { createTlsClient } from "../../src/upstream/tls-client.ts";
import { ca, leaf, listen } from "./kit.ts";

const attempts = 100;
const client = createTlsClient(createSecureContext({ ca: ca.certPem }));
let made = 0;

async function attempt(port: number, atEnd: (socket: Socket) => void): Promise<void> {
  const plain = connect(port, "127.0.0.1");
  await once(plain, "connect");
  const authority = parseAuthority(`127.0.0.1:${port}`, undefined);
  const handshake = { authority, alpn: ["http/1.1"], signal: AbortSignal.timeout(5000) };
  await client.handshake(plain, handshake).then((socket) => {
    made++;
    atEnd(socket.on("error", () => {}));
    socket.destroy();
  });
}

for (const version of ["TLSv1.3", "TLSv1.2"] satisfies SecureVersion[]) {
  const resets: (() => void)[] = [];
  const tls = createTlsServer(
    { cert: leaf.certPem, key: leaf.keyPem, minVersion: version, maxVersion: version },
    (socket) => {
      socket.on("error", () => {});
      socket.resume();
    },
  );
  tls.on("tlsClientError", () => {});
  const port = await listen(tls);
  for (let n = 0; n < attempts; n++) await attempt(port, resetSocket);
  // The same from the other side: whatever the handshake's last bytes come with, the reset is right behind them.
  const relay = createServer((near) => {
    const far = connect(port, "127.0.0.1");
    for (const socket of [near, far]) socket.on("error", () => {});
    near.pipe(far).pipe(near);
    resets.push(() => near.resetAndDestroy());
  });
  const relayed = await listen(relay);
  for (let n = 0; n < attempts; n++) await attempt(relayed, () => resets.at(-1)?.());
  relay.close();
  tls.close();
}
console.log(`survived ${made}`);
process.exit(0);
