import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { canonicalizePath } from "../../../src/http/target.ts";
import { sentRequest, verifySigV4 } from "../../helpers/sigv4.ts";
import { awsAuthWith, keys, s3, signedBy, signs } from "./support.ts";

const paths: readonly [path: string, why: string][] = [
  ["/a%20b", "a space"],
  ["/%E2%82%AC/%C3%A9", "characters beyond ASCII"],
  ["/a%2Fb", "an escaped slash"],
  ["/a//b/", "empty segments"],
  ["/(a)!'*~", "reserved characters"],
  ["/a%2Bb=c@d:e,f$g&h;i", "more reserved characters"],
  ["/%7Euser", "an escaped tilde"],
];
for (const [path, why] of paths) {
  for (const [service, url] of [
    ["s3", s3],
    ["execute-api", "https://x.execute-api.eu-west-1.amazonaws.com"],
  ] as const) {
    test(`A-20: signs a ${service} path with ${why} and sends it byte for byte`, async () => {
      const exchange = signedBy(`eu-west-1/${service}`, { url: `${url}${path}?b=%20x&a=1&a=0&flag` });
      await signs(awsAuthWith(), exchange);
      const sent = await sentRequest(exchange);
      assert.equal(sent.target, `${path}?b=%20x&a=1&a=0&flag`);
      // aws4 looks at the first of repeated S3 parameters only, so it is asked about one.
      const single =
        service === "s3" ? signedBy("eu-west-1/s3", { url: `${url}${path}?b=%20x&a=1&flag` }) : exchange;
      if (single !== exchange) await signs(awsAuthWith(), single);
      assert.deepEqual(verifySigV4(await sentRequest(single), keys).problems, []);
    });
  }
}

/** Ambiguous paths (I3) are refused before anything is signed. */
function isForwarded(part: string): boolean {
  try {
    return canonicalizePath(`/${encodeURIComponent(part)}`) !== "";
  } catch {
    return false;
  }
}

test("agrees with another implementation about any path, query and header", async () => {
  const text = fc.string({ unit: "grapheme-composite", minLength: 1, maxLength: 8 }).filter(isForwarded);
  const encoded = text.map((part) => encodeURIComponent(part));
  const value = fc.stringMatching(/^[!-~][ -~]{0,20}$/);
  const requests = fc.record({
    service: fc.constantFrom("s3", "execute-api"),
    path: fc.array(encoded, { maxLength: 4 }).map((parts) => `/${parts.join("/")}`),
    query: fc.uniqueArray(fc.tuple(encoded, encoded), { maxLength: 4, selector: ([name]) => name }),
    headers: fc.uniqueArray(fc.tuple(fc.constantFrom("x-amz-meta-a", "X-Amz-B", "Content-Type"), value), {
      selector: ([name]) => name,
    }),
    body: fc.string({ maxLength: 10 }),
  });
  const built = awsAuthWith({ match_scope_to_host: false });
  await fc.assert(
    fc.asyncProperty(requests, async ({ service, path, query, headers, body }) => {
      const url = `https://example.com${path}?${query.map((pair) => pair.join("=")).join("&")}`;
      const exchange = signedBy(`us-east-1/${service}`, { method: "POST", url, headers, body });
      await signs(built, exchange);
      assert.deepEqual(verifySigV4(await sentRequest(exchange), keys).problems, []);
    }),
    { numRuns: 300 },
  );
});

test("sends a bare plus in the query as the space that servers decode", async () => {
  const exchange = signedBy("us-east-1/s3", { url: "https://s3.us-east-1.amazonaws.com/b?prefix=a+b" });
  await signs(awsAuthWith(), exchange);
  const sent = await sentRequest(exchange);
  assert.equal(sent.target, "/b?prefix=a%20b");
  assert.deepEqual(verifySigV4(sent, keys).problems, []);
});

test("joins repeated headers and folds spaces as the standard says, and signs nothing a hop may change", async () => {
  const exchange = signedBy("eu-west-1/s3", {
    url: `${s3}/k`,
    headers: [
      ["x-amz-meta-a", "  one   two\tthree "],
      ["x-amz-meta-b", "1"],
      ["X-Amz-Meta-B", "2"],
      ["If-None-Match", '"x"'],
      ["Content-Type", "text/plain;  charset=utf-8"],
      ["Accept-Encoding", "gzip"],
      ["User-Agent", "aws-sdk"],
      ["X-Amzn-Trace-Id", "Root=1"],
      ["TE", "trailers"],
      ["Via", "1.1 x"],
    ],
  });
  await signs(awsAuthWith(), exchange);
  const { problems, signedHeaders } = verifySigV4(await sentRequest(exchange), keys);
  assert.deepEqual(problems, []);
  assert.deepEqual(signedHeaders, [
    "content-type",
    "host",
    "if-none-match",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-meta-a",
    "x-amz-meta-b",
  ]);
});
