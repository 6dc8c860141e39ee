import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { fakeClock } from "../../sources/fake-clock.ts";
import { build, type Entry, entryOf, send, startIssuer, values } from "./fixture.ts";

const hour = 3_600_000;

/**
 * An issuer that takes each refresh token once. Using one twice revokes all that came of it, as RFC 9700 section 4.14.2
 * recommends, unless `forgiving`.
 */
async function startRotatingIssuer(t: TestContext, { first = "configured-1", forgiving = false } = {}) {
  let valid: string | undefined = first;
  let count = 0;
  const used: string[] = [];
  const issuer = await startIssuer(t, async ({ body }) => {
    const token = new URLSearchParams(body).get("refresh_token") ?? "";
    used.push(token);
    await new Promise((resolve) => setTimeout(resolve, 5));
    if (token !== valid) {
      if (!forgiving) valid = undefined;
      return { status: 400, body: { error: "invalid_grant" } };
    }
    count++;
    valid = `rotated-${count}`;
    return { body: { access_token: `access-${count}`, expires_in: 3600, refresh_token: valid } };
  });
  return {
    ...issuer,
    used,
    setValid(token: string) {
      valid = token;
    },
  };
}

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "sallyport-rotation-"));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

/** A transform with one entry; what it answers hour after hour. */
function start(
  t: TestContext,
  endpoint: string,
  more: Entry = {},
  refresh_token: string | (() => string) = "configured-1",
) {
  const clock = fakeClock();
  const built = build(t, [entryOf("refresh_token", endpoint, more)], { ...values, refresh_token }, { clock });
  return {
    built,
    async nextHour() {
      clock.advance(hour);
      return (await send(built)).authorization;
    },
  };
}

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

test("a refresh token that the issuer gives replaces the last one at once", async (t) => {
  const issuer = await startRotatingIssuer(t);
  const { nextHour } = start(t, issuer.endpoint);
  assert.equal(await nextHour(), "Bearer access-1");
  assert.equal(await nextHour(), "Bearer access-2");
  assert.equal(await nextHour(), "Bearer access-3");
  assert.deepEqual(issuer.used, ["configured-1", "rotated-1", "rotated-2"]);
});

test("it outlives a reload without a file", async (t) => {
  const issuer = await startRotatingIssuer(t);
  assert.equal(await start(t, issuer.endpoint).nextHour(), "Bearer access-1");
  assert.equal(await start(t, issuer.endpoint).nextHour(), "Bearer access-2");
});

test("two entries with one refresh token take turns, so that none is used twice", async (t) => {
  const issuer = await startRotatingIssuer(t);
  const host = (name: string) => ({ rules: [{ host: name }] });
  const tokens = [
    entryOf("refresh_token", issuer.endpoint, host("a.example.com")),
    entryOf("refresh_token", issuer.endpoint, host("b.example.com")),
  ];
  const built = build(t, tokens, { ...values, refresh_token: "configured-1" });
  const sent = await Promise.all(
    ["a", "b"].map((name) => send(built, { url: `https://${name}.example.com/` })),
  );
  assert.deepEqual(
    sent.map(({ authorization }) => authorization),
    ["Bearer access-1", "Bearer access-2"],
  );
});

test("an issuer that does not rotate, or gives the same token back, changes nothing", async (t) => {
  for (const refresh_token of [undefined, "", "configured-1"]) {
    const path = join(folder(t), "token");
    const issuer = await startIssuer(t, () => ({
      body: { access_token: "a", expires_in: 3600, refresh_token },
    }));
    const { nextHour } = start(t, issuer.endpoint, { rotation_file: path });
    await nextHour();
    await nextHour();
    assert.deepEqual(
      issuer.requests.map(({ body }) => new URLSearchParams(body).get("refresh_token")),
      ["configured-1", "configured-1"],
    );
    assert.throws(() => statSync(path));
  }
});

test("invalid_grant with a rotated token: the configured one is tried, once", async (t) => {
  const issuer = await startRotatingIssuer(t, { forgiving: true });
  const { nextHour } = start(t, issuer.endpoint);
  await nextHour();
  issuer.setValid("configured-1"); // somebody put the issuer's state back
  assert.equal(await nextHour(), "Bearer access-2");
  assert.deepEqual(issuer.used, ["configured-1", "rotated-1", "configured-1"]);
  issuer.setValid("another");
  assert.equal(await nextHour(), undefined);
  assert.deepEqual(issuer.used.slice(3), ["rotated-2", "configured-1"]);
});

test("invalid_grant with the configured token: not tried again", async (t) => {
  const issuer = await startRotatingIssuer(t, { first: "another" });
  assert.equal(await start(t, issuer.endpoint).nextHour(), undefined);
  assert.deepEqual(issuer.used, ["configured-1"]);
});

test("another failure with a rotated token: the configured one is not tried", async (t) => {
  const issuer = await startIssuer(t, (_, index) =>
    index === 0
      ? { body: { access_token: "a", expires_in: 3600, refresh_token: "rotated-1" } }
      : { status: 500, body: "" },
  );
  const { nextHour } = start(t, issuer.endpoint);
  await nextHour();
  await nextHour();
  assert.equal(issuer.requests.length, 2);
});

test("a rotated token that comes with an unusable access token is kept all the same", async (t) => {
  const issuer = await startIssuer(t, (_, index) => ({
    body: {
      access_token: `a-${index}`,
      expires_in: index === 0 ? 1 : 3600,
      refresh_token: `rotated-${index}`,
    },
  }));
  const { nextHour } = start(t, issuer.endpoint);
  assert.equal(await nextHour(), undefined);
  assert.equal(await nextHour(), "Bearer a-1");
  assert.match(issuer.requests[1]?.body ?? "", /refresh_token=rotated-0$/);
});

describe("rotation_file", () => {
  /** As after a restart: nothing in memory. The process remembers by endpoint, so the restarted proxy uses another. */
  const restart = (endpoint: string) => `${endpoint}?restarted=1`;

  test("keeps the token across a restart, for the proxy's user alone, and leaves nothing else behind", async (t) => {
    const path = join(folder(t), "token");
    const issuer = await startRotatingIssuer(t);
    const { nextHour } = start(t, issuer.endpoint, { rotation_file: path });
    await nextHour();
    await nextHour();
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.deepEqual(JSON.parse(readFileSync(path, "utf8")), {
      configured_sha256: sha256("configured-1"),
      refresh_token: "rotated-2",
    });
    assert.deepEqual(readdirSync(join(path, "..")), ["token"]);
    const restarted = start(t, restart(issuer.endpoint), { rotation_file: path });
    assert.equal(await restarted.nextHour(), "Bearer access-3");
    assert.deepEqual(issuer.used, ["configured-1", "rotated-1", "rotated-2"]);
  });

  test("is ignored when the configured token is another one, and then replaced", async (t) => {
    const path = join(folder(t), "token");
    const content = { configured_sha256: sha256("configured-0"), refresh_token: "rotated-of-0" };
    writeFileSync(path, JSON.stringify(content));
    const issuer = await startRotatingIssuer(t);
    await start(t, issuer.endpoint, { rotation_file: path }).nextHour();
    assert.deepEqual(issuer.used, ["configured-1"]);
    assert.equal(JSON.parse(readFileSync(path, "utf8")).configured_sha256, sha256("configured-1"));
  });

  test("follows a configured token that changes while the proxy runs", async (t) => {
    const path = join(folder(t), "token");
    let configured = "configured-1";
    const issuer = await startRotatingIssuer(t, { forgiving: true });
    const { nextHour } = start(t, issuer.endpoint, { rotation_file: path }, () => configured);
    await nextHour();
    configured = "configured-2";
    issuer.setValid("configured-2");
    await nextHour();
    assert.deepEqual(issuer.used, ["configured-1", "configured-2"]);
  });

  test("is read anew for each mint: another process on this machine may have rotated", async (t) => {
    const path = join(folder(t), "token");
    const issuer = await startRotatingIssuer(t);
    const one = start(t, issuer.endpoint, { rotation_file: path });
    const other = start(t, restart(issuer.endpoint), { rotation_file: path });
    assert.equal(await one.nextHour(), "Bearer access-1");
    assert.equal(await other.nextHour(), "Bearer access-2");
    assert.equal(await one.nextHour(), "Bearer access-3");
  });

  const broken: [title: string, prepare: (path: string) => void, problem: RegExp][] = [
    ["is not JSON", (path) => writeFileSync(path, "hunter2 not json"), /it is not JSON; remove it/],
    ["is too large", (path) => writeFileSync(path, "x".repeat(200_000)), /larger than 131072 bytes/],
  ];
  for (const [title, prepare, problem] of broken) {
    test(`that ${title} is told of, and the configured token is used`, async (t) => {
      const path = join(folder(t), "token");
      prepare(path);
      const issuer = await startRotatingIssuer(t);
      const { built, nextHour } = start(t, issuer.endpoint, { rotation_file: path });
      assert.equal(await nextHour(), "Bearer access-1");
      const [line] = built.logs;
      assert.equal(line?.level, "error");
      assert.equal(line.message, "oauth_token rotation file failed");
      assert.match(String(line.fields["error"]), problem);
      assert.ok(!JSON.stringify(built.logs).includes("hunter2"));
      assert.equal(await nextHour(), "Bearer access-2");
    });
  }

  test("I14: that cannot be written is told of without the token, which serves on from memory", async (t) => {
    const path = join(folder(t), "missing", "token");
    const issuer = await startRotatingIssuer(t);
    const { built, nextHour } = start(t, issuer.endpoint, { rotation_file: path });
    assert.equal(await nextHour(), "Bearer access-1");
    assert.equal(await nextHour(), "Bearer access-2");
    const told = JSON.stringify(built.logs);
    assert.match(told, /writing it failed \(ENOENT\); the token is lost when the proxy ends/);
    assert.doesNotMatch(told, /rotated|configured-1/);
  });

  test("a directory in its place is told of", async (t) => {
    const path = folder(t);
    const issuer = await startRotatingIssuer(t);
    const { built, nextHour } = start(t, issuer.endpoint, { rotation_file: path });
    assert.equal(await nextHour(), "Bearer access-1");
    assert.match(JSON.stringify(built.logs), /it is not a regular file/);
  });
});
