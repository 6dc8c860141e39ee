// Requests that the executable signed by a template, verified by OpenSSL and by a JWT library from what the upstream got.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { jwtVerify } from "jose";
import type { Received } from "../harness/upstream.ts";
import { valueOf } from "../harness/message.ts";
import { allowlist, openWorld } from "../harness/world.ts";

const pairs = {
  ed25519: generateKeyPairSync("ed25519"),
  ecdsa_p256_sha256: generateKeyPairSync("ec", { namedCurve: "P-256" }),
  rsa_sha256: generateKeyPairSync("rsa", { modulusLength: 2048 }),
} as const;
type Asymmetric = keyof typeof pairs;
const hmacs = ["sha256", "sha512", "sha1"] as const;

const message = "{{.Timestamp}}{{.Method}}{{.RawPathWithQuery}}{{.Body}}";
const claims =
  '{{- base64url `{"uri":` (json (print .Method " " .Host .RawPath)) `,"exp":` (add .Timestamp "60") `}` -}}';
const world = await openWorld({
  env: Object.fromEntries(
    Object.entries(pairs).map(([name, { privateKey }]) => [
      `KEY_OF_${name}`,
      privateKey.export({ type: "pkcs8", format: "pem" }),
    ]),
  ),
  config: () => ({
    transforms: [
      allowlist(["api.e2e.test:*"]),
      ...hmacs.map((algorithm) => signing(algorithm, "E2E_KEY")),
      ...Object.keys(pairs).map((algorithm) => signing(algorithm, `KEY_OF_${algorithm}`)),
      {
        name: "hmac_sign",
        config: {
          signature: {
            algorithm: "ed25519",
            output_encoding: "base64url",
            message: `{{ base64url \`{"alg":"EdDSA"}\` -}}.${claims}`,
          },
          credentials: { secret: { type: "env", var: "KEY_OF_ed25519" } },
          headers: [{ name: "Authorization", value: "Bearer {{.Message}}.{{.Signature}}" }],
          rules: [{ host: "api.e2e.test:*", paths: ["/jwt"] }],
        },
      },
    ],
  }),
});

/** Signs requests for the path that has the algorithm's name. */
function signing(algorithm: string, variable: string): object {
  const format = algorithm.startsWith("ecdsa") ? { ecdsa_format: "der" } : {};
  return {
    name: "hmac_sign",
    config: {
      signature: { algorithm, output_encoding: "hex", ...format, message },
      credentials: { secret: { type: "env", var: variable } },
      headers: [
        { name: "X-Timestamp", value: "{{.Timestamp}}" },
        { name: "X-Signature", value: "{{.Signature}}" },
      ],
      rules: [{ host: "api.e2e.test:*", paths: [`/${algorithm}`] }],
    },
  };
}

/** Sends a request by the proxy; gives it as received, with the message a venue would verify, read off the wire. */
async function sent(path: string): Promise<{ request: Received; signed: string; signature: string }> {
  const client = await world.connect();
  const fields = ["X-Signature: 00", "X-Timestamp: 0"];
  const answer = await client.request("POST", `${path}?a=%20b&z`, { fields, body: '{"quantity":"1"}' });
  assert.equal(answer.status, 200, answer.body.toString());
  const request = await world.secure.request(path);
  const timestamp = valueOf(request.fields, "x-timestamp") ?? "";
  assert.ok(path === "/jwt" || Math.abs(Number(timestamp) - Date.now() / 1000) < 60, "signed now");
  const signed = `${timestamp}${request.method}${request.target}${request.body.toString()}`;
  return { request, signed, signature: valueOf(request.fields, "x-signature") ?? "" };
}

function openssl(args: readonly string[], input: string): string {
  const { stdout, stderr } = spawnSync("openssl", args, { input, encoding: "utf8" });
  return stdout + stderr;
}

const skip = openssl(["version"], "").startsWith("OpenSSL ") ? false : "this machine has no openssl";

for (const hash of hmacs) {
  test(`HMAC with ${hash}, as openssl computes it`, { skip }, async () => {
    const { signed, signature } = await sent(`/${hash}`);
    const said = openssl(["dgst", `-${hash}`, "-mac", "HMAC", "-macopt", `key:${world.credential}`], signed);
    assert.match(said, /= [0-9a-f]+\s*$/);
    assert.equal(signature, said.trim().split("= ")[1]);
  });
}

for (const algorithm of Object.keys(pairs) as Asymmetric[]) {
  test(`${algorithm}, as openssl verifies it`, { skip }, async () => {
    const { signed, signature } = await sent(`/${algorithm}`);
    const file = (name: string, content: string | Buffer): string => {
      const path = join(world.folder, `${algorithm}.${name}`);
      writeFileSync(path, content);
      return path;
    };
    const key = file("pem", pairs[algorithm].publicKey.export({ type: "spki", format: "pem" }));
    const proof = file("signature", Buffer.from(signature, "hex"));
    const verify = (text: string): string =>
      algorithm === "ed25519"
        ? openssl(
            [
              "pkeyutl",
              "-verify",
              "-pubin",
              "-inkey",
              key,
              "-rawin",
              "-sigfile",
              proof,
              "-in",
              file("in", text),
            ],
            "",
          )
        : openssl(["dgst", "-sha256", "-verify", key, "-signature", proof], text);
    assert.match(verify(signed), /Verified OK|Verified Successfully/);
    assert.match(verify(`${signed} `), /Verification failure|Verification Failure/i);
  });
}

test("a JWT made by a template, as jose verifies it", async () => {
  const { request } = await sent("/jwt");
  const token = valueOf(request.fields, "authorization")?.replace("Bearer ", "") ?? "";
  const { payload } = await jwtVerify(token, pairs.ed25519.publicKey);
  assert.equal(payload["uri"], "POST api.e2e.test/jwt");
});
