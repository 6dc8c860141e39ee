// Attacks 33, 41 to 44 and 46 to 49: getting a credential put where it can be read, or signed for something else.
import { randomBytes } from "node:crypto";
import { type Field, valuesOf } from "../../e2e/harness/message.ts";
import { placeholder } from "../../e2e/harness/world.ts";
import { type Arena, authorization, nothingArrives, refusal, sharpPlaceholder } from "../arena.ts";
import { type Attack, by, each, hold } from "../attack.ts";
import { allWays, type Asked, tlsWays, type Way } from "../workload.ts";

/** Places that an API stores, forwards or shows, none of which an entry names. */
const stored: readonly (readonly [what: string, asked: Partial<Asked>])[] = [
  ["Cookie", { fields: [["Cookie", `session=${placeholder}`]] }],
  ["Referer", { fields: [["Referer", `https://x.test/${placeholder}`]] }],
  ["User-Agent", { fields: [["User-Agent", placeholder]] }],
  ["X-Forwarded-For", { fields: [["X-Forwarded-For", placeholder]] }],
  ["a field that an entry does not name", { fields: [["X-Reflected", placeholder]] }],
  ["the query", { path: `/stored?note=${placeholder}` }],
  ["the path", { path: `/stored/${placeholder}` }],
];

/** Sends a placeholder where it is not for, and holds that no credential arrives there. */
async function misplaced(arena: Arena, way: Way, asked: Partial<Asked>): Promise<string> {
  const { upstream } = arena.target(way);
  const before = upstream.received.length;
  const reply = await arena.ask(way, { path: "/stored", ...asked });
  const got = upstream.received.slice(before).map(({ head, body }) => head + body.toString("latin1"));
  hold(!got.some((text) => text.includes(arena.credentials.key)), "the credential was put there");
  return refusal(reply, "placeholder_misused");
}

/** Logs in at the issuer of an entry; what it gives is not for the workload. */
async function logIn(arena: Arena, way: Way, grant: string): Promise<string> {
  const given = ["access", "refresh"].map((label) => `${label}-${randomBytes(15).toString("base64url")}`);
  for (const token of given) arena.hunt.hunt("a token of the issuer", token);
  const [access, refresh] = given;
  arena.world.secure.on("/token", async (request) => {
    await request.body();
    const body = JSON.stringify({ access_token: access, refresh_token: refresh, expires_in: 60 });
    request.write(
      `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nSet-Cookie: session=${access}\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
  });
  const reply = await arena.ask(way, {
    authority: `other.e2e.test:${arena.world.secure.port}`,
    path: "/token",
    method: "POST",
    fields: [["Content-Type", "application/x-www-form-urlencoded"]],
    body: `grant_type=${grant}&code=x&refresh_token=y`,
  });
  hold(reply.status === 200, `answered with ${reply.status} ${reply.reason ?? ""}`);
  return "what comes back is a placeholder";
}

const awsKey = "AKIAPLACEHOLDER";
const signed = (scope: string): Field[] => [
  ["X-Amz-Date", "20261122T100000Z"],
  ["X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"],
  [
    "Authorization",
    `AWS4-HMAC-SHA256 Credential=${awsKey}/20261122/${scope}/aws4_request, SignedHeaders=host;x-amz-date, Signature=${"0".repeat(64)}`,
  ],
];

const scopes: readonly (readonly [what: string, host: string, scope: string, ...reasons: string[]])[] = [
  ["another region", "s3.us-east-1.amazonaws.com", "us-east-1/s3", "region_not_allowed"],
  ["another service", "iam.amazonaws.com", "eu-west-1/iam", "service_not_allowed", "region_not_allowed"],
  ["a region that is not the host's", "s3.us-east-1.amazonaws.com", "eu-west-1/s3", "scope_host_mismatch"],
  ["a service that is not the host's", "sts.eu-west-1.amazonaws.com", "eu-west-1/s3", "scope_host_mismatch"],
];

const minting = ["GetSessionToken", "AssumeRole", "GetFederationToken", "AssumeRoleWithWebIdentity"];

/** Answers after which something of the request could be in an error. */
const failures: readonly (readonly [what: string, bytes: string | undefined])[] = [
  ["a reset", undefined],
  ["no HTTP at all", "this is not HTTP\r\n\r\n"],
  ["a head that breaks off", "HTTP/1.1 200 OK\r\nX-A: "],
  ["a head without end", `HTTP/1.1 200 OK\r\n${"X-A: b\r\n".repeat(2000)}`],
];

export const credentialAttacks: readonly Attack[] = [
  {
    number: 33,
    title: "Line breaks in a credential or a minted header",
    defence: "refused where the value is prepared, and again where the message is written",
    attempts: by(allWays, "a credential with CR LF and another field", "refused", (arena, way) =>
      nothingArrives(arena, async () =>
        refusal(await arena.ask(way, { fields: [["X-Broken", "ph-broken"]] }), "secret_invalid"),
      ),
    ),
  },
  {
    number: 41,
    title: "A placeholder where the upstream stores or forwards it",
    defence:
      "it is swapped only in the places that the entry names; all headers never means Cookie, Referer, User-Agent or X-Forwarded-*; elsewhere it is refused, except where a body mentions it",
    attempts: [
      ...each(
        stored,
        ["CONNECT", "absolute form", "redirected TLS, HTTP/2"],
        ([what]) => `the placeholder in ${what}`,
        "refused",
        (arena, way, [, asked]) => misplaced(arena, way, asked),
      ),
      ...by(
        ["CONNECT", "SOCKS5", "CONNECT, HTTP/2"],
        "the placeholder in a body",
        "neutralised",
        async (arena, way) => {
          const path = `/mail/${encodeURIComponent(way)}`;
          const body = `Dear me, ${placeholder} and ${sharpPlaceholder}`;
          const reply = await arena.ask(way, { path, method: "POST", body });
          hold(reply.status === 200, `answered with ${reply.status} ${reply.reason ?? ""}`);
          hold((await arena.world.secure.request(path)).body.toString() === body, "it was swapped");
          return "it stays the placeholder";
        },
      ),
    ],
  },
  {
    number: 42,
    title: "A second placeholder beside the legitimate one",
    defence: "`max_occurrences`: one in headers, path and query, four in bodies",
    attempts: [
      ...by(
        ["CONNECT", "SOCKS5", "redirected TLS", "absolute form", "CONNECT, HTTP/2"],
        "the placeholder in two headers that it is for",
        "refused",
        (arena, way) =>
          nothingArrives(arena, async () =>
            refusal(
              await arena.ask(way, { fields: [authorization, ["X-Api-Key", placeholder]] }),
              "placeholder_misused",
            ),
          ),
      ),
      ...by(["CONNECT", "CONNECT, HTTP/2"], "the placeholder twice in one header", "refused", (arena, way) =>
        nothingArrives(arena, async () =>
          refusal(
            await arena.ask(way, { fields: [["X-Api-Key", `${placeholder} ${placeholder}`]] }),
            "placeholder_misused",
          ),
        ),
      ),
    ],
  },
  {
    number: 43,
    title: "A placeholder in a header that the upstream reflects",
    defence: "each entry has its own list of headers; in any other the placeholder is refused",
    attempts: by(allWays, "a reflected header beside the legitimate one", "refused", (arena, way) =>
      misplaced(arena, way, { fields: [["X-Reflected", placeholder], authorization] }),
    ),
  },
  {
    number: 44,
    title: "Two Authorization fields, other casings, the workload's own token beside ours",
    defence: "every other spelling is removed before the credential is set",
    attempts: by(
      ["CONNECT", "SOCKS5", "redirected TLS"],
      "three fields of the workload's own",
      "neutralised",
      async (arena, way) => {
        const path = `/injected/double/${encodeURIComponent(way)}`;
        const authority = `other.e2e.test:${arena.world.secure.port}`;
        const fields: Field[] = [
          ["authorization", "Basic bWU6bWU="],
          ["AUTHORIZATION", "Bearer mine"],
          ["Authorization", "x"],
        ];
        await arena.ask(way, { authority, path, fields });
        const sent = valuesOf((await arena.world.secure.request(path)).fields, "authorization");
        const own = `Basic ${Buffer.from(`me:${arena.credentials.injected}`).toString("base64")}`;
        hold(sent.length === 1 && sent[0] === own, `${sent.length} fields arrived`);
        return "one field arrives, the injected one";
      },
    ),
  },
  {
    number: 46,
    title: "A refreshed token in an answer or a cookie",
    defence:
      "tokens that an issuer gives to a workload come back as placeholders, where an `oauth_token` entry owns the endpoint; others, such as cookies of a session, are the workload's own",
    attempts: each(
      ["authorization_code", "refresh_token"],
      [...tlsWays],
      (grant) => `a login of the workload's own, by ${grant}`,
      "neutralised",
      logIn,
    ),
  },
  {
    number: 47,
    title: "The proxy signs for another region, service or host",
    defence: "signing is bound to the services and regions of the rule, and to the host",
    attempts: each(
      scopes,
      [...tlsWays],
      ([what]) => what,
      "refused",
      (arena, way, [, host, scope, ...reasons]) =>
        nothingArrives(arena, async () =>
          refusal(await arena.ask(way, { authority: `${host}:443`, fields: signed(scope) }), ...reasons),
        ),
    ),
  },
  {
    number: 48,
    title: "Calls that hand out reusable credentials",
    defence: "refused by default",
    attempts: each(
      minting,
      ["CONNECT", "SOCKS5", "CONNECT, HTTP/2"],
      (action) => `sts:${action}`,
      "refused",
      (arena, way, action) =>
        nothingArrives(arena, async () => {
          const asked = {
            authority: "sts.eu-west-1.amazonaws.com:443",
            path: `/?Action=${action}&Version=2011-06-15`,
          };
          return refusal(
            await arena.ask(way, { ...asked, fields: signed("eu-west-1/sts") }),
            "action_not_allowed",
          );
        }),
    ),
  },
  {
    number: 49,
    title: "Secrets in logs, errors, answers and records",
    defence:
      "the type that holds one prints as `[redacted]`; every end-to-end test searches all that came out of the process",
    attempts: each(
      failures,
      ["CONNECT", "SOCKS5", "absolute form", "CONNECT, HTTP/2"],
      ([what]) => `an upstream that answers with ${what}`,
      "refused",
      async (arena, way, [, bytes]) => {
        arena.target(way).upstream.on("/fails", (request) => {
          if (bytes === undefined) return request.reset();
          request.write(bytes);
          request.end();
        });
        const asked = {
          path: "/fails",
          method: "POST",
          fields: [authorization, ["X-Sharp", sharpPlaceholder]] as const,
          body: "x",
        };
        return refusal(await arena.ask(way, asked), "502", "upstream_closed", "upstream_response_invalid");
      },
    ),
  },
];
