// Request targets, against the WHATWG parser that most servers and clients use: what the strict parser accepts,
// the lenient one must read in the same way, with nothing collapsed, decoded or moved (I1, I3).
import assert from "node:assert/strict";
import { parseAuthority } from "../../../src/http/authority.ts";
import { canonicalizePath, parseTarget, TargetError } from "../../../src/http/target.ts";
import type { Target } from "../../../src/http/target.ts";
import type { Random } from "../random.ts";

export const name = "target";

const pathPieces = [
  ..."a b A 0 . ; : @ & = + $ , ! * ' ( ) ~ _ - / % \\ .. /./ /../ // ? # \0 \u00e9".split(" "),
  ..."%2e %2E %2f %2F %5c %25 %32 %65 %00 %0a %41 %7e %252e %c0%ae %c3%a9 %3b %3f".split(" "),
  " ",
];
const hostPieces = [
  ..."a b Z 0 9 . - _ : [ ] @ % / \\ :: ffff 127.0.0.1 0x7f 0177 example .com xn-- :443 :80 [::1] %41".split(
    " ",
  ),
  "\u00ad",
  " ",
];

export function run(random: Random): void {
  const path = piecesOf(random, pathPieces, 12);
  const absolute = random.once(3);
  const target = absolute
    ? `${random.pick(["http", "HTTPS"])}://${piecesOf(random, hostPieces, 6)}/${path}`
    : `/${path}`;
  random.keep(Buffer.from(target, "latin1"));
  const parsed = accepted(target);
  if (!parsed) return;
  assert.equal(parsed.form, absolute ? "absolute" : "origin");
  const rest = parsed.query === undefined ? parsed.path : `${parsed.path}?${parsed.query}`;
  assert.ok(target.endsWith(rest), "path and query are the bytes that were sent");
  assert.equal(canonicalizePath(parsed.canonicalPath), parsed.canonicalPath);
  agreesOnPath(parsed);
  if (absolute) agreesOnAuthority(parsed, target);
}

function piecesOf(random: Random, pieces: readonly string[], most: number): string {
  return Array.from({ length: random.below(most) }, () => random.pick(pieces)).join("");
}

function accepted(target: string): Target | undefined {
  try {
    return parseTarget("GET", target);
  } catch (error) {
    assert.ok(error instanceof TargetError, String(error));
    return undefined;
  }
}

function agreesOnPath({ path, canonicalPath }: Target): void {
  assert.equal(new URL(`http://host${path}`).pathname, path);
  // A server that decodes again before it normalises must arrive at the same number of segments.
  for (let decoded = canonicalPath, next = ""; ; decoded = next) {
    const url = new URL("http://host");
    url.pathname = decoded;
    assert.equal(url.pathname.split("/").length, decoded.split("/").length, `${decoded} is normalised`);
    next = decoded.replace(/%([0-9a-f]{2})/gi, (_, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    );
    if (next === decoded) return;
  }
}

function agreesOnAuthority({ scheme, authority }: Target, target: string): void {
  assert.ok(authority && scheme);
  assert.deepEqual(parseAuthority(authority.text, undefined), authority);
  // Labels with xn-- that decode to nothing valid are names like any other to a resolver, but not to URL.
  const url = URL.canParse(target) ? new URL(target) : undefined;
  if (!url) return assert.match(authority.host.name, /xn--/);
  assert.equal(url.protocol, `${scheme}:`);
  assert.equal(url.username + url.password, "");
  assert.equal(Number(url.port || (scheme === "https" ? 443 : 80)), authority.port);
  if (url.hostname.startsWith("[::ffff:")) return assert.equal(authority.host.kind, "ipv4");
  assert.equal(url.hostname.replace(/^\[|\]$|\.$/g, ""), authority.host.name);
}
