// attack 46: a workload that logs in itself. What its issuer gives it are placeholders, which work as tokens do.
import assert from "node:assert/strict";
import { test } from "node:test";
import { valueOf } from "../harness/message.ts";
import type { Script } from "../harness/upstream.ts";
import { allowlist, openWorld } from "../harness/world.ts";

const world = await openWorld({
  env: { CLIENT: "client", SECRET: "canary-secret-0123456789abcdef" },
  config: ({ securePort }) => {
    const entry = (path: string, more: object = {}) => ({
      grant: "client_credentials",
      token_endpoint: `https://other.e2e.test:${securePort}${path}`,
      client_id: { type: "env", var: "CLIENT" },
      client_secret: { type: "env", var: "SECRET" },
      rules: [{ host: "api.e2e.test:*", paths: [`${path}/api`] }],
      ...more,
    });
    const tokens = [entry("/json"), entry("/form"), entry("/open", { scrub: "off" }), entry("/odd")];
    return { transforms: [allowlist(["*.e2e.test:*"]), { name: "oauth_token", config: { tokens } }] };
  },
});
const { secure, canary } = world;

const jwt = (claims: object) =>
  [{ alg: "RS256" }, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
const idToken = `${jwt({ sub: "alice", exp: 4_000_000_000 })}.${canary.secret("id")}`;
/** What the issuer gave, in order. */
const given: { access: string; refresh: string }[] = [];

const issue: Script = async (request) => {
  const { body, fields } = await request.body();
  const access = canary.secret("access");
  const refresh = canary.secret("refresh");
  given.push({ access, refresh });
  const isForm = request.target === "/form";
  const text = isForm
    ? new URLSearchParams({ access_token: access, scope: "repo" }).toString()
    : JSON.stringify({
        access_token: access,
        refresh_token: refresh,
        id_token: idToken,
        expires_in: 60,
        user: { access_token: access },
        asked: body.toString().length,
      });
  const type = isForm ? "application/x-www-form-urlencoded" : "application/json";
  assert.equal(valueOf(fields, "accept-encoding"), "identity");
  request.write(
    `HTTP/1.1 200 OK\r\nContent-Type: ${type}\r\nSet-Cookie: session=${access}\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
  );
};
secure.on("/json", issue);
secure.on("/form", issue);

async function send(host: string, method: string, path: string, fields: string[], body?: string) {
  const client = await world.redirected(`${host}:${secure.port}`);
  const got = await client.request(method, path, { fields, ...(body === undefined ? {} : { body }) });
  client.close();
  return got;
}

const form = ["Content-Type: application/x-www-form-urlencoded"];
const login = "grant_type=authorization_code&code=abc";
type Tokens = {
  access_token: string;
  refresh_token: string;
  id_token: string;
  user: { access_token: string };
};

async function logIn(fields = form, body = login): Promise<Tokens> {
  const got = await send("other.e2e.test", "POST", "/json", fields, body);
  assert.equal(got.status, 200, got.body.toString());
  const tokens = JSON.parse(got.body.toString()) as Tokens;
  const { access, refresh } = given.at(-1) as { access: string; refresh: string };
  for (const value of [access, refresh, idToken]) assert.ok(!got.body.includes(value));
  assert.equal(valueOf(got.fields, "set-cookie"), `session=${tokens.access_token}`);
  assert.equal(tokens.user.access_token, tokens.access_token);
  return tokens;
}

async function sentToApi(path: string, token: string): Promise<string | undefined> {
  const before = secure.count(path);
  const got = await send("api.e2e.test", "GET", path, [`Authorization: Bearer ${token}`]);
  assert.equal(got.status, 200);
  return valueOf((await secure.request(path, before + 1)).fields, "authorization");
}

test("attack 46: tokens of a login come back as placeholders, and are swapped for the entry's hosts alone", async () => {
  const tokens = await logIn();
  const { access } = given.at(-1) as { access: string };
  assert.equal(await sentToApi("/json/api", tokens.access_token), `Bearer ${access}`);
  assert.equal(await sentToApi("/elsewhere", tokens.access_token), `Bearer ${tokens.access_token}`);
});

test("a JWT keeps its claims, which clients read, and loses what makes it good", async () => {
  const { id_token: placeholder } = await logIn();
  const [header, claims, signature] = placeholder.split(".");
  assert.deepEqual([header, claims], idToken.split(".").slice(0, 2));
  assert.match(signature ?? "", /^sallyport-[\w-]{32}$/);
});

for (const [what, fields, bodyOf] of [
  ["a form", form, (token: string) => `grant_type=refresh_token&refresh_token=${token}`],
  [
    "JSON",
    ["Content-Type: application/json"],
    (token: string) => JSON.stringify({ grant_type: "refresh_token", refresh_token: token }),
  ],
] as const) {
  test(`a workload refreshes on its own with ${what}: the issuer gets the real token, the workload new placeholders`, async () => {
    const first = await logIn();
    const { refresh } = given.at(-1) as { refresh: string };
    const before = secure.count("/json");
    const second = await logIn([...fields], bodyOf(first.refresh_token));
    const received = await secure.request("/json", before + 1);
    assert.equal(received.body.toString(), bodyOf(refresh));
    assert.notEqual(second.access_token, first.access_token);
    const { access } = given.at(-1) as { access: string };
    assert.equal(await sentToApi("/json/api", second.access_token), `Bearer ${access}`);
  });
}

test("a reload keeps what was captured: placeholders from before it work after it", async () => {
  const tokens = await logIn();
  const { access, refresh } = given.at(-1) as { access: string; refresh: string };
  const { proxy } = world;
  const before = proxy.log.length;
  proxy.signal("SIGHUP");
  await proxy.line("pipeline reloaded", before);
  assert.equal(await sentToApi("/json/api", tokens.access_token), `Bearer ${access}`);
  const count = secure.count("/json");
  await logIn([...form], `grant_type=refresh_token&refresh_token=${tokens.refresh_token}`);
  const received = await secure.request("/json", count + 1);
  assert.equal(received.body.toString(), `grant_type=refresh_token&refresh_token=${refresh}`);
});

test("a refresh token that is none of ours is answered here, as ever", async () => {
  const before = secure.count("/json");
  const got = await send(
    "other.e2e.test",
    "POST",
    "/json",
    form,
    "grant_type=refresh_token&refresh_token=mine",
  );
  assert.match(got.body.toString(), /"access_token":"iron-proxy-stub-token"/);
  assert.equal(secure.count("/json"), before);
});

test("an answer that is a form, as GitHub's is", async () => {
  const got = await send("other.e2e.test", "POST", "/form", [], login);
  const { access } = given.at(-1) as { access: string };
  const placeholder = new URLSearchParams(got.body.toString()).get("access_token") ?? "";
  assert.match(placeholder, /^sallyport-token-/);
  assert.equal(await sentToApi("/form/api", placeholder), `Bearer ${access}`);
});

test("an answer that cannot be read is not let through, and an error is as it is", async () => {
  const answers = [
    "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nno tokens",
    "HTTP/1.1 400 Bad\r\nContent-Length: 3\r\n\r\nbad",
  ];
  secure.on("/odd", async (request) => {
    await request.body();
    request.write(answers.shift() ?? "");
  });
  const odd = await send("other.e2e.test", "POST", "/odd", form, login);
  assert.equal(odd.status, 502);
  assert.equal(valueOf(odd.fields, "sallyport-reason"), "token_unavailable");
  const bad = await send("other.e2e.test", "POST", "/odd", form, login);
  assert.equal(bad.status, 400);
  assert.equal(bad.body.toString(), "bad");
});

test("scrub: off leaves the answer of the issuer alone", async () => {
  secure.on("/open", async (request) => {
    await request.body();
    request.write('HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n{"access_token":"mine"}'.replace("22", "23"));
  });
  const got = await send("other.e2e.test", "POST", "/open", form, login);
  assert.equal(got.body.toString(), '{"access_token":"mine"}');
});
