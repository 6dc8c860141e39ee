import assert from "node:assert/strict";
import { test } from "node:test";
import { Signer, type AwsKeys } from "../../../src/transforms/aws-auth/sigv4.ts";
import { makeAwsAuth } from "../../../src/transforms/aws-auth/index.ts";
import { mintTimeoutMs } from "../../../src/transforms/minting/minter.ts";
import { fakeClock, settled } from "../../sources/fake-clock.ts";
import { workloadIdentity } from "../../../src/transforms/aws-auth/workload-identity.ts";
import { buildTransform } from "../../helpers/build-transform.ts";
import { sentRequest, verifySigV4 } from "../../helpers/sigv4.ts";
import { anyHost, keys, now, refused, signedBy, signs } from "./support.ts";

const minute = 60_000;
const secretText = "s3cr3t-value-that-must-not-get-out";

/** A provider under control, the clock with it, and every line that was logged. */
function setUp(answer: (time: number) => AwsKeys | Promise<AwsKeys>) {
  const clock = fakeClock();
  const lines: [level: string, message: string, fields?: Record<string, unknown> | undefined][] = [];
  const state = { calls: 0 };
  const time = (): number => now + clock.now();
  const source = workloadIdentity({
    provide: async () => {
      state.calls++;
      return answer(time());
    },
    now: time,
    clock,
    log: (...line) => lines.push(line),
  });
  return { state, source, clock, lines };
}

function expiring(id: string, minutes: number, time = now): AwsKeys {
  const expiration = new Date(time + minutes * minute);
  return { accessKeyId: id, secretAccessKey: "secret", sessionToken: "token", expiration };
}

test("loads once for all who wait, and then answers at once", async () => {
  const { state, source } = setUp(() => expiring("AKIA1", 60));
  const first = source.get();
  assert.ok(first instanceof Promise);
  const [a, b] = await Promise.all([first, source.get()]);
  assert.equal(a, b);
  assert.ok(source.get() instanceof Signer);
  assert.equal(state.calls, 1);
});

test("renews ahead of expiry behind the request, and never uses what has expired", async () => {
  let id = 1;
  const { source, clock } = setUp((time) => expiring(`AKIA${id++}`, 60, time));
  await source.get();
  clock.advance(56 * minute);
  const served = source.get();
  assert.ok(served instanceof Signer && served.accessKeyId === "AKIA1", "a request waited for the renewal");
  await settled();
  assert.equal((source.get() as Signer).accessKeyId, "AKIA2");
  clock.advance(61 * minute);
  const late = source.get();
  assert.ok(late instanceof Promise, "expired keys were used");
  assert.equal((await late).accessKeyId, "AKIA3");
});

test("goes on with keys that still work while renewing them fails, until they expire", async () => {
  let fails = false;
  const { state, source, clock } = setUp(() => {
    if (fails) throw new Error(secretText);
    return expiring("AKIA1", 60);
  });
  await source.get();
  fails = true;
  clock.advance(56 * minute);
  for (let attempt = 1; attempt <= 3; attempt++) {
    assert.ok(source.get() instanceof Signer);
    await settled();
    assert.equal(state.calls, 1 + attempt);
    clock.advance(minute);
  }
  clock.advance(minute);
  await assert.rejects(async () => source.get());
});

test("I14: pauses longer after each failure in a row, and logs nothing of the cause", async () => {
  const { source, clock, lines } = setUp(() => Promise.reject(new Error(secretText)));
  for (const pause of [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]) {
    await assert.rejects(async () => source.get(), { name: "MintError" });
    assert.equal(lines.at(-1)?.[2]?.["retry_ms"], pause);
    clock.advance(pause - 1);
    assert.throws(() => source.get(), { name: "MintError" });
    clock.advance(1);
  }
  assert.doesNotMatch(JSON.stringify(lines), new RegExp(secretText));
});

const unusable: readonly [name: string, given: unknown][] = [
  ["have expired", expiring("AKIA1", -10)],
  ["expire at no time", { accessKeyId: "AKIA1", secretAccessKey: "x", expiration: new Date(Number.NaN) }],
  ["are empty", { accessKeyId: "", secretAccessKey: "x" }],
  ["are absent", {}],
  ["are none", undefined],
  ["have a line break", { accessKeyId: "AKIA1", secretAccessKey: `${secretText}\r\nX: y` }],
];
for (const [name, given] of unusable) {
  test(`answers 502 when the keys ${name}`, async () => {
    const kind = makeAwsAuth({ provider: () => () => Promise.resolve(given as AwsKeys), now: () => now });
    const built = buildTransform(kind, { ...anyHost, credentials_provider: { type: "workload_identity" } });
    assert.deepEqual(built.errors, []);
    const exchange = signedBy("us-east-1/dynamodb", { url: "https://dynamodb.us-east-1.amazonaws.com/" });
    const rejection = await refused(built, exchange);
    assert.deepEqual([rejection.status, rejection.reason], [502, "credential_unavailable"]);
    assert.equal(exchange.annotations["credential"], "workload_identity");
    assert.doesNotMatch(JSON.stringify([rejection, exchange.annotations]), new RegExp(secretText));
  });
}

test("uses keys for an hour of an issuer whose clock is ten minutes behind or ahead", async () => {
  for (const skew of [-10, 10]) {
    const { state, source, clock } = setUp(() => expiring("AKIA1", 60 + skew));
    await source.get();
    clock.advance(20 * minute);
    assert.ok(source.get() instanceof Signer);
    assert.equal(state.calls, 1);
  }
});

test("gives up a provider that never answers", async () => {
  const { source, clock } = setUp(() => new Promise(() => {}));
  const pending = source.get();
  clock.advance(mintTimeoutMs);
  await assert.rejects(async () => pending, /no answer within 10s/);
});

test("A-06: signs with the proxy's own identity, in the region it was given", async () => {
  const regions: (string | undefined)[] = [];
  const sessionToken = "session";
  const kind = makeAwsAuth({
    provider: (region) => {
      regions.push(region);
      return () => Promise.resolve({ ...keys, sessionToken });
    },
    now: () => now,
  });
  const config = { ...anyHost, credentials_provider: { type: "workload_identity", region: "eu-west-1" } };
  const built = buildTransform(kind, config);
  const exchange = signedBy("us-east-1/dynamodb", { url: "https://dynamodb.us-east-1.amazonaws.com/" });
  await signs(built, exchange);
  assert.deepEqual(verifySigV4(await sentRequest(exchange), { ...keys, sessionToken }).problems, []);
  assert.deepEqual(regions, ["eu-west-1"]);
  assert.deepEqual(built.transform.secrets, []);
});

test("loads the SDK's chain on first use", async () => {
  const saved = { ...process.env };
  Object.assign(process.env, {
    AWS_ACCESS_KEY_ID: keys.accessKeyId,
    AWS_SECRET_ACCESS_KEY: keys.secretAccessKey,
  });
  for (const name of ["AWS_PROFILE", "AWS_SESSION_TOKEN"]) delete process.env[name];
  try {
    const config = { ...anyHost, credentials_provider: { type: "workload_identity" } };
    const exchange = signedBy("us-east-1/dynamodb", { url: "https://dynamodb.us-east-1.amazonaws.com/" });
    await signs(buildTransform(makeAwsAuth(), config), exchange);
    assert.deepEqual(verifySigV4(await sentRequest(exchange), keys).problems, []);
  } finally {
    process.env = saved;
  }
});

test("I14: a signer prints nothing of its keys", async () => {
  const { inspect } = await import("node:util");
  const signer = new Signer({ ...keys, sessionToken: secretText });
  const printed = `${inspect(signer, { showHidden: true, depth: 9 })} ${JSON.stringify({ signer })}`;
  assert.doesNotMatch(printed, /wJalr|s3cr3t|AKIA/);
});
