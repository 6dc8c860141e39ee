// `sallyport ca secrets` against a fake API server: what the chart's job does before the rest is installed.
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { parseCa } from "../../src/tls/ca.ts";
import { type FakeCluster, fakeCluster } from "../fakes/kubernetes.ts";
import { run } from "../helpers/cli.ts";
import { makeCa } from "../helpers/pki.ts";

let cluster: FakeCluster;
beforeEach(async () => {
  cluster = await fakeCluster();
});
afterEach(() => cluster.close());

const cert = "centaur-firewall-ca";
const key = "centaur-firewall-ca-key";

function secrets(...more: string[]) {
  const names = [
    `--cert-secret=${cert}`,
    `--key-secret=${key}`,
    `--service-account=${cluster.serviceAccount}`,
  ];
  return run(["ca", "secrets", ...names, ...more], { env: cluster.env });
}

test("L2: makes a Secret with the certificate alone and one with the key, which fit", async () => {
  const { code, stdout, stderr } = await secrets("--name=Example CA", "--days=10");
  assert.deepEqual([code, stderr], [0, ""]);
  const shared = cluster.secrets.get(cert) ?? {};
  const held = cluster.secrets.get(key) ?? {};
  assert.deepEqual(Object.keys(shared), ["ca-cert.pem"]);
  assert.deepEqual(Object.keys(held).sort(), ["ca-cert.pem", "ca-key.pem"]);
  assert.equal(shared["ca-cert.pem"], held["ca-cert.pem"]);
  const { certificate } = parseCa(shared["ca-cert.pem"] ?? "", held["ca-key.pem"] ?? "");
  assert.equal(certificate.subject, "CN=Example CA");
  assert.equal(
    stdout,
    `Secret centaur-system/${key} made\nSecret centaur-system/${cert} made\nSHA-256 fingerprint ${certificate.fingerprint256}\n`,
  );
});

test("changes nothing the second time", async () => {
  await secrets();
  const before = structuredClone([...cluster.secrets]);
  cluster.requests.length = 0;
  const { code, stdout } = await secrets();
  assert.equal(code, 0);
  assert.match(stdout, /was there[^]*was there/);
  assert.deepEqual([...cluster.secrets], before);
  assert.deepEqual(cluster.requests.sort(), [`GET ${cert}`, `GET ${key}`]);
});

test("makes up for a run that was cut off after the first Secret", async () => {
  await secrets();
  const made = cluster.secrets.get(cert);
  cluster.secrets.delete(cert);
  assert.equal((await secrets()).code, 0);
  assert.deepEqual(cluster.secrets.get(cert), made);
});

test("takes the CA of another job that was faster", async () => {
  const other = makeCa();
  cluster.before(`POST ${key}`, () => {
    cluster.secrets.set(key, { "ca-cert.pem": other.certPem, "ca-key.pem": other.keyPem });
    cluster.secrets.set(cert, { "ca-cert.pem": other.certPem });
  });
  const { code, stdout } = await secrets();
  assert.equal(code, 0);
  assert.ok(stdout.includes(new X509Certificate(other.certPem).fingerprint256));
});

test("takes Secrets that hold the key without its certificate, under other keys", async () => {
  const { certPem, keyPem } = makeCa();
  cluster.secrets.set(cert, { "tls.crt": certPem });
  cluster.secrets.set(key, { "tls.key": keyPem });
  const { code, stdout } = await secrets("--cert-key=tls.crt", "--key-key=tls.key");
  assert.equal(code, 0);
  assert.match(stdout, /was there[^]*was there/);
});

const faults: readonly [name: string, prepare: () => void, message: RegExp][] = [
  [
    "a certificate without its key",
    () => cluster.secrets.set(cert, { "ca-cert.pem": makeCa().certPem }),
    /Secret centaur-firewall-ca is there without centaur-firewall-ca-key: restore the key, or delete/,
  ],
  [
    "a certificate of another CA",
    () => {
      const { certPem, keyPem } = makeCa();
      cluster.secrets.set(key, { "ca-cert.pem": certPem, "ca-key.pem": keyPem });
      cluster.secrets.set(cert, { "ca-cert.pem": makeCa().certPem });
    },
    /ca-key\.pem of Secret centaur-firewall-ca-key does not belong to ca-cert\.pem of Secret centaur-firewall-ca:/,
  ],
  [
    "a Secret without the key",
    () => cluster.secrets.set(key, { "ca-cert.pem": makeCa().certPem }),
    /Secret centaur-firewall-ca-key has no ca-key\.pem: put it there/,
  ],
  [
    "an account that may not read",
    () => cluster.refuse(`GET ${key}`, 403),
    /Secret centaur-firewall-ca-key: the Kubernetes API answered 403 to get: the pod's service account may not get/,
  ],
  [
    "an account that may not create",
    () => cluster.refuse(`POST ${key}`, 403),
    /answered 403 to create: the pod's service account may not create/,
  ],
  [
    "an API server in trouble",
    () => cluster.refuse(`POST ${key}`, 500),
    /answered 500 to create: refused POST centaur-firewall-ca-key/,
  ],
  [
    "a missing token",
    () => rmSync(join(cluster.serviceAccount, "token")),
    /token cannot be read \(ENOENT\): this pod has no service-account token/,
  ],
  [
    "no cluster",
    () => delete cluster.env["KUBERNETES_SERVICE_HOST"],
    /KUBERNETES_SERVICE_HOST is not set: this command runs in a pod/,
  ],
];

for (const [name, prepare, message] of faults) {
  test(`says what is wrong and changes nothing: ${name}`, async () => {
    prepare();
    const before = structuredClone([...cluster.secrets]);
    const { code, stdout, stderr } = await secrets();
    assert.equal(code, 1);
    assert.equal(stdout, "");
    assert.match(stderr, message);
    assert.deepEqual([...cluster.secrets], before);
    assert.doesNotMatch(stderr, /BEGIN|service-account-token$/m);
  });
}

test("says that the API server cannot be reached, and which value opens the way", async () => {
  await cluster.close();
  const closed = await fakeCluster();
  cluster = closed;
  const env = { ...closed.env, KUBERNETES_SERVICE_PORT: "1" };
  const { code, stderr } = await run(
    [
      "ca",
      "secrets",
      `--cert-secret=${cert}`,
      `--key-secret=${key}`,
      `--service-account=${closed.serviceAccount}`,
    ],
    { env },
  );
  assert.equal(code, 1);
  assert.match(stderr, /127\.0\.0\.1:1 cannot be reached \(ECONNREFUSED\): .*networkPolicy\.apiServerPort/);
});

test("does not talk to a server that another CA vouches for", async () => {
  const stranger = await fakeCluster();
  try {
    const { code, stderr } = await run(
      [
        "ca",
        "secrets",
        `--cert-secret=${cert}`,
        `--key-secret=${key}`,
        `--service-account=${cluster.serviceAccount}`,
      ],
      { env: stranger.env },
    );
    assert.equal(code, 1);
    assert.match(stderr, /cannot be reached \([A-Z_]+\)/);
    assert.deepEqual(stranger.requests, []);
  } finally {
    await stranger.close();
  }
});
