// Attacks 1 to 13 and 15: which host a request is for, and where it really goes.
import { startUpstream } from "../../e2e/harness/upstream.ts";
import { deniedLiterals, lookAlikes, refusedHosts } from "../../e2e/harness/hostile.ts";
import { valueOf } from "../../e2e/harness/message.ts";
import { makeLeaf } from "../../helpers/pki.ts";
import { type Arena, authorization, nothingArrives, refusal } from "../arena.ts";
import { type Attack, type Attempt, by, each, hold } from "../attack.ts";
import { allWays, byteWays, isH2, open, plainWays, replyOf, tlsWays, type Way } from "../workload.ts";

const mismatch = ["authority_mismatch", "421"] as const;
const other = (arena: Arena): string => `other.e2e.test:${arena.world.secure.port}`;

/** Spellings of authorities of one attack, in every way that can carry them. */
function spellingsOf(number: number): Attempt[] {
  return refusedHosts
    .filter(([attack]) => attack === `attack ${number}`)
    .flatMap(([, authority]) =>
      by(waysFor(authority), `the authority ${JSON.stringify(authority)}`, "refused", (arena, way) =>
        nothingArrives(arena, async () => refusal(await arena.ask(way, { authority }))),
      ),
    );
}

/** SOCKS has no text of a port, and its names have no brackets. */
function waysFor(authority: string): readonly Way[] {
  const isBytes = /:(?:443)$/.test(authority) && !authority.includes("[");
  // In a URL the port may be left out.
  if (!authority.includes(":")) return ["CONNECT"];
  return ["CONNECT", "absolute form", ...(isBytes ? (["SOCKS5"] as const) : [])];
}

async function dialled(arena: Arena, way: Way, host: string, ...reasons: string[]): Promise<string> {
  const { port } = arena.target(way).upstream;
  const reply = await arena.ask(way, { authority: `${host}:${port}`, path: "/dialled" });
  const said = refusal(reply, "upstream_address_denied", ...reasons);
  hold(!/127\.0\.0\.66|169\.254/.test(reply.body.toString()), "the answer tells an internal address");
  return said;
}

/** A credential's placeholder, sent where the credential is not for; whatever arrives must not have it. */
async function misdirected(
  arena: Arena,
  way: Way,
  authority: string,
  fields: [string, string][],
): Promise<string> {
  const reply = await arena.ask(way, { authority, path: "/misdirected", fields: [authorization, ...fields] });
  return refusal(reply, "placeholder_misused", "authority_mismatch");
}

const fronts: Attempt[] = [
  ...by(allWays, "another host in Host or :authority", "refused", (arena, way) =>
    nothingArrives(arena, async () => {
      const { authority } = arena.target(way);
      const elsewhere = way === "absolute form" ? "other.e2e.test" : other(arena);
      const asked = isH2(way)
        ? { authority: elsewhere, tunnel: authority, tls: { servername: "api.e2e.test" } }
        : { fields: [["Host", elsewhere], authorization] as const };
      return refusal(await arena.ask(way, asked), ...mismatch);
    }),
  ),
  ...by(allWays, "the right host with another port", "refused", (arena, way) =>
    nothingArrives(arena, async () => {
      const { authority } = arena.target(way);
      const elsewhere = authority.replace(/:\d+$/, ":1");
      const asked = isH2(way)
        ? { authority: elsewhere, tunnel: authority }
        : { fields: [["Host", elsewhere], authorization] as const };
      // What is redirected has no other port than the one Host names: it is a host of its own, with no listener.
      const reasons = way.startsWith("redirected") ? ["upstream_connect_failed", "placeholder_misused"] : [];
      return refusal(await arena.ask(way, asked), ...mismatch, ...reasons);
    }),
  ),
  ...by(
    ["CONNECT", "SOCKS5", "CONNECT, HTTP/2", "SOCKS5, HTTP/2"],
    "another name in the ClientHello than in the tunnel",
    "refused",
    (arena, way) =>
      nothingArrives(arena, async () =>
        refusal(await arena.ask(way, { tls: { servername: "other.e2e.test" } }), ...mismatch),
      ),
  ),
  ...by(byteWays, "an absolute target for another host", "refused", (arena, way) =>
    nothingArrives(arena, async () => {
      const { authority } = arena.target(way);
      const opened = await open(arena, way, { authority });
      if ("reply" in opened) return refusal(opened.reply);
      const scheme = (plainWays as readonly Way[]).includes(way) ? "http" : "https";
      opened.client.send(`GET ${scheme}://other.e2e.test/ HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
      const reply = replyOf(arena, await opened.client.answer());
      opened.client.close();
      return refusal(reply, ...mismatch);
    }),
  ),
  ...by(["CONNECT"], "a Host of CONNECT that is not its target", "refused", async (arena) => {
    const client = await arena.world.raw();
    client.send("CONNECT api.e2e.test:443 HTTP/1.1\r\nHost: other.e2e.test:443\r\n\r\n");
    return refusal(replyOf(arena, await client.answer()), ...mismatch);
  }),
];

const rebindings = by(
  allWays,
  "a name with another address at each look-up",
  "refused",
  async (arena, way) => {
    let lookUps = 0;
    arena.world.dns.set("rebound.e2e.test", () => (lookUps++ === 0 ? ["127.0.0.66"] : ["127.0.0.1"]));
    const said = await dialled(arena, way, "rebound.e2e.test");
    hold(lookUps <= 1, `it was looked up ${lookUps} times`);
    return said;
  },
);

export const names: readonly Attack[] = [
  {
    number: 1,
    title: "An allowed name in the TLS handshake or the tunnel, another in Host",
    defence: "tunnel, server name, target and Host are one authority, port included, or the answer is 421",
    attempts: fronts,
  },
  {
    number: 2,
    title: "An allowed name, sent to an address of the attacker's",
    defence: "the address that a workload dialled is ignored; the name is resolved here",
    attempts: by(
      ["CONNECT", "SOCKS5", "CONNECT, HTTP/2"],
      "a tunnel to the attacker's address, the ClientHello with an allowed name",
      "neutralised",
      async (arena, way) => {
        const { secure, secureAuthority } = arena.world;
        const tunnel = `127.0.0.3:${secure.port}`;
        const path = `/pinned/${encodeURIComponent(way)}`;
        const asked = { authority: secureAuthority, tunnel, path, tls: { servername: "api.e2e.test" } };
        const { status } = await arena.ask(way, asked);
        hold(status === 200 && secure.count(path) === 1, "it did not arrive at the name's own address");
        return "resolved here, sent to the name's own address";
      },
    ),
  },
  {
    number: 3,
    title: "A header that claims another host chooses the credential",
    defence: "rules match the verified authority and no header",
    attempts: by(tlsWays, "X-Forwarded-Host, X-Original-Host and Forwarded", "refused", (arena, way) =>
      misdirected(arena, way, other(arena), [
        ["X-Forwarded-Host", "api.e2e.test"],
        ["X-Original-Host", "api.e2e.test"],
        ["Forwarded", "host=api.e2e.test"],
      ]),
    ),
  },
  {
    number: 4,
    title: "A name that resolves to something else once it was checked",
    defence: "resolved once; the checked address is the dialled one",
    attempts: rebindings,
  },
  {
    number: 5,
    title: "An allowed name that resolves to a metadata service, loopback or another forbidden address",
    defence: "every address is checked before it is dialled; metadata needs a setting of its own",
    attempts: [
      ...each(
        [
          ["denied-address.e2e.test", "127.0.0.66"],
          ["meta.e2e.test", "169.254.169.254"],
        ] as const,
        allWays,
        ([name, address]) => `${name}, which is allowed, at ${address}`,
        "refused",
        (arena, way, [name, address]) => {
          arena.world.dns.set(name, [address]);
          return dialled(arena, way, name);
        },
      ),
      ...literals(5),
      ...by(["absolute form", "CONNECT"], "the proxy as its own upstream", "refused", async (arena, way) => {
        const { port } = arena.proxy.addresses.tunnel as { port: number };
        const reply = await arena.ask(way, { authority: `127.0.0.1:${port}` });
        return refusal(reply, "proxy_loop");
      }),
    ],
  },
  {
    number: 6,
    title: "Look-alikes: `evil-example.com`, `example.com.evil.net`",
    defence: "patterns match label by label, and no wildcard crosses a dot",
    attempts: each(
      lookAlikes,
      [...allWays],
      (host) => host,
      "refused",
      (arena, way, host) =>
        nothingArrives(arena, async () => {
          const queries = arena.world.dns.queries.length;
          const said = refusal(await arena.ask(way, { authority: `${host}:443` }), "host_not_allowed");
          hold(arena.world.dns.queries.length === queries, "its name was resolved before policy");
          return said;
        }),
    ),
  },
  {
    number: 7,
    title: "A trailing dot makes another name of the same host",
    defence: "one dot is dropped in the one parser; more are refused",
    attempts: [
      ...spellingsOf(7),
      ...by(byteWays, "metadata.google.internal. with a dot", "refused", async (arena, way) =>
        refusal(await arena.ask(way, { authority: "metadata.google.internal.:80" })),
      ),
    ],
  },
  {
    number: 8,
    title: "NUL or control bytes in a host",
    defence: "hosts match a grammar of letters, digits, hyphens and underscores, or are refused",
    attempts: spellingsOf(8),
  },
  {
    number: 9,
    title: "Brackets around a name",
    defence: "brackets stand around IPv6 addresses only",
    attempts: spellingsOf(9),
  },
  {
    number: 10,
    title: "Homographs, Unicode dots, capitals",
    defence:
      "on the wire ASCII only, compared in lower case; in the configuration IDNA, and labels of mixed scripts are refused",
    attempts: spellingsOf(10),
  },
  {
    number: 11,
    title: "`2130706433`, `0177.1`, `127.1`",
    defence: "what only looks like an address is refused",
    attempts: spellingsOf(11),
  },
  {
    number: 12,
    title: "Mapped, NAT64, 6to4 and zoned addresses",
    defence: "unwrapped to bytes and checked in every form; zones are refused",
    attempts: [...spellingsOf(12), ...literals(12)],
  },
  {
    number: 13,
    title: "`https://allowed@evil`",
    defence: "user information before a host is refused",
    attempts: [
      ...spellingsOf(13),
      ...by(["absolute form"], "user information in an absolute target", "refused", async (arena, way) =>
        refusal(
          await arena.ask(way, { tunnel: "api.e2e.test@evil.test", authority: "evil.test" }),
          "invalid_host",
        ),
      ),
    ],
  },
  {
    number: 15,
    title: "The credential for one port of a host, sent to another",
    defence: "the port is part of the rule",
    attempts: [
      ...by(tlsWays, "the placeholder for another port of the same host", "refused", async (arena, way) => {
        const leaf = makeLeaf(arena.world.upstreamCa, "api.e2e.test");
        const elsewhere = await startUpstream({ tls: { cert: leaf.certPem, key: leaf.keyPem } });
        try {
          const said = await misdirected(arena, way, `api.e2e.test:${elsewhere.port}`, []);
          const got = elsewhere.received.map(({ fields }) => valueOf(fields, "authorization") ?? "");
          hold(
            !got.some((value) => value.includes(arena.credentials.key)),
            "the credential went to another port",
          );
          return said;
        } finally {
          await elsewhere.close();
        }
      }),
      ...by(plainWays, "the same host without TLS", "refused", async (arena, way) => {
        const reply = await arena.ask(way, {
          authority: arena.world.secureAuthority,
          fields: [authorization],
        });
        return refusal(reply, "plaintext_upstream");
      }),
    ],
  },
];

function literals(number: number): Attempt[] {
  return deniedLiterals
    .filter(([attack]) => attack === `attack ${number}`)
    .flatMap(([, authority]) =>
      by(plainWays, `the literal ${authority}`, "refused", async (arena, way) =>
        refusal(await arena.ask(way, { authority }), "upstream_address_denied", "host_not_allowed"),
      ),
    );
}
