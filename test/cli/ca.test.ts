import assert from "node:assert/strict";
import { createPrivateKey, X509Certificate } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { runCli } from "../../src/cli/index.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "sallyport-cli-ca-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

async function sallyport(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  const result = { code: 0, out: "", err: "" };
  await runCli(argv, {
    env: { XDG_STATE_HOME: join(dir, "state") },
    stdout: (text) => (result.out += text),
    stderr: (text) => (result.err += text),
    stdin: async () => "",
    exit: (code) => (result.code = code),
  });
  return result;
}

describe("ca init", () => {
  test("writes a CA and prints its fingerprint", async () => {
    const { code, out } = await sallyport("ca", "init", "--dir", dir, "--name", "My CA", "--days", "10");
    const certificate = new X509Certificate(readFileSync(join(dir, "ca.crt")));
    assert.equal(code, 0);
    assert.equal(
      out,
      `wrote ${dir}/ca.crt\nwrote ${dir}/ca.key\nSHA-256 fingerprint ${certificate.fingerprint256}\n`,
    );
    assert.equal(certificate.subject, "CN=My CA");
    const days = (certificate.validToDate.getTime() - Date.now()) / 86_400_000;
    assert.ok(days > 9.99 && days <= 10);
  });

  test("writes to where the proxy looks by default, in a directory of its owner", async () => {
    assert.equal((await sallyport("ca", "init")).code, 0);
    assert.deepEqual(readdirSync(join(dir, "state", "sallyport")).sort(), ["ca.crt", "ca.key"]);
    assert.equal(statSync(join(dir, "state", "sallyport")).mode & 0o777, 0o700);
  });

  test("replaces a CA only with --force", async () => {
    await sallyport("ca", "init", "--dir", dir);
    const before = readFileSync(join(dir, "ca.key"), "utf8");
    const again = await sallyport("ca", "init", "--dir", dir);
    assert.equal(again.code, 1);
    assert.match(again.err, /^error: .*ca\.key exists already .*--force/);
    assert.equal(readFileSync(join(dir, "ca.key"), "utf8"), before);
    assert.equal((await sallyport("ca", "init", "--dir", dir, "--force")).code, 0);
    assert.notEqual(readFileSync(join(dir, "ca.key"), "utf8"), before);
  });

  for (const [alg, type] of [
    ["p256", "ec"],
    ["rsa4096", "rsa"],
    ["ed25519", "ed25519"],
  ] as const) {
    test(`makes a key of kind ${alg}`, async () => {
      await sallyport("ca", "init", "--dir", dir, "--alg", alg);
      assert.equal(createPrivateKey(readFileSync(join(dir, "ca.key"))).asymmetricKeyType, type);
    });
  }

  const wrong: [title: string, argv: string[], code: number, message: RegExp][] = [
    ["days that are no number", ["--days", "soon"], 2, /Give a number of days/],
    ["no days", ["--days", "0"], 1, /lifetime must be more than 0/],
    ["an unknown algorithm", ["--alg", "dsa"], 2, /Allowed choices are p256, rsa4096, ed25519/],
    ["an empty name", ["--name", ""], 1, /name must have 1 to 64 characters/],
    ["an unknown option", ["--outdir", "."], 2, /unknown option/],
  ];
  for (const [title, argv, expected, message] of wrong) {
    test(`refuses ${title} and writes nothing`, async () => {
      const { code, err } = await sallyport("ca", "init", "--dir", join(dir, "new"), ...argv);
      assert.equal(code, expected);
      assert.match(err, message);
      assert.deepEqual(readdirSync(dir), []);
    });
  }
});

describe("ca show", () => {
  test("prints what the CA is, as text and as JSON", async () => {
    await sallyport("ca", "init", "--dir", dir);
    const certificate = new X509Certificate(readFileSync(join(dir, "ca.crt")));
    const text = await sallyport("ca", "show", "--cert", join(dir, "ca.crt"));
    assert.equal(text.code, 0);
    for (const part of [
      certificate.fingerprint256,
      "CN=Sallyport CA",
      "mode 0600, fits the certificate",
      "yes",
    ]) {
      assert.ok(text.out.includes(part), part);
    }
    const { out } = await sallyport("ca", "show", "--cert", join(dir, "ca.crt"), "--json");
    assert.deepEqual(JSON.parse(out), {
      certificate: join(dir, "ca.crt"),
      subject: "CN=Sallyport CA",
      fingerprint_sha256: certificate.fingerprint256,
      not_before: certificate.validFromDate.toISOString(),
      not_after: certificate.validToDate.toISOString(),
      key: { path: join(dir, "ca.key"), mode: "0600", fits: true },
      usable: true,
      remarks: [],
    });
  });

  test("I14: never prints the key", async () => {
    await sallyport("ca", "init", "--dir", dir);
    const secret = readFileSync(join(dir, "ca.key"), "utf8").split("\n")[1] ?? "";
    assert.ok(secret.length > 40);
    for (const more of [[], ["--json"], ["--key", join(dir, "ca.crt")]]) {
      const { out, err } = await sallyport("ca", "show", "--cert", join(dir, "ca.crt"), ...more);
      assert.ok(!(out + err).includes(secret));
    }
  });

  test("attack 53: says that everyone may read the key", async () => {
    await sallyport("ca", "init", "--dir", dir);
    chmodSync(join(dir, "ca.key"), 0o604);
    const { code, out } = await sallyport("ca", "show", "--cert", join(dir, "ca.crt"));
    assert.equal(code, 0);
    assert.match(out, /mode 0604/);
    assert.match(out, /other users of this machine can reach/);
  });

  test("exits 1 and says why when the key is of another certificate, no key or missing", async () => {
    await sallyport("ca", "init", "--dir", dir);
    const other = join(dir, "other");
    await sallyport("ca", "init", "--dir", other);
    const show = () => sallyport("ca", "show", "--cert", join(dir, "ca.crt"));
    copyFileSync(join(other, "ca.key"), join(dir, "ca.key"));
    let result = await show();
    assert.equal(result.code, 1);
    assert.match(
      result.out,
      /does not fit the certificate\)\nusable {7}no\n {13}CA key .* does not belong to/,
    );
    writeFileSync(join(dir, "ca.key"), "nothing");
    result = await show();
    assert.equal(result.code, 1);
    assert.match(result.out, /not readable\)\nusable {7}no\n {13}CA key .* holds no PEM block/);
    rmSync(join(dir, "ca.key"));
    result = await show();
    assert.equal(result.code, 1);
    assert.match(result.out, /ca\.key \(missing\)\nusable {7}no\n/);
  });

  test("says what to do when there is no CA", async () => {
    const { code, err } = await sallyport("ca", "show");
    assert.equal(code, 1);
    assert.match(
      err,
      /^error: CA certificate .*state\/sallyport\/ca\.crt cannot be read \(ENOENT\): make a CA with/,
    );
  });
});

describe("generate-ca, as scripts written for iron-proxy call it", () => {
  test("takes flags with one dash or two and prints what it wrote", async () => {
    const out = join(dir, "new", "certs");
    const argv = ["-outdir", out, "-name=X CA", "-expiry-hours", "24", "--alg", "ed25519"];
    const result = await sallyport("generate-ca", ...argv);
    assert.deepEqual(result, { code: 0, out: `wrote ${out}/ca.crt\nwrote ${out}/ca.key\n`, err: "" });
    const certificate = new X509Certificate(readFileSync(join(out, "ca.crt")));
    assert.equal(certificate.subject, "CN=X CA");
    assert.equal(certificate.publicKey.asymmetricKeyType, "ed25519");
    const hours = (certificate.validToDate.getTime() - Date.now()) / 3_600_000;
    assert.ok(hours > 23.9 && hours <= 24);
    assert.equal(statSync(join(out, "ca.key")).mode & 0o777, 0o600);
  });

  const wrong: [argv: string[], code: number, message: RegExp][] = [
    [["-alg", "rsa"], 1, /^error: unsupported algorithm "rsa" \(use p256, rsa4096, ed25519\)$/m],
    [["-expiry-hours", "soon"], 2, /^error: invalid value "soon" for flag -expiry-hours/],
    [["-expiry-hours", "-1"], 1, /^error: the CA's lifetime must be more than 0/],
    [["-days", "1"], 2, /unknown option '--days'/],
  ];
  for (const [argv, expected, message] of wrong) {
    test(`refuses ${argv.join(" ")}`, async () => {
      const { code, err } = await sallyport("generate-ca", "-outdir", join(dir, "new"), ...argv);
      assert.match(err, message);
      assert.equal(code, expected);
      assert.deepEqual(readdirSync(dir), []);
    });
  }

  test("overwrites nothing", async () => {
    writeFileSync(join(dir, "ca.key"), "mine");
    const { code, err } = await sallyport("generate-ca", "-outdir", dir);
    assert.equal(code, 1);
    assert.match(err, /^error: .*ca\.key exists already/);
    assert.deepEqual(readdirSync(dir), ["ca.key"]);
  });
});
