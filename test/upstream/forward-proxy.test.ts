import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { inspect } from "node:util";
import { standardDenyCidrs } from "../../src/config/defaults.ts";
import { parseAuthority } from "../../src/http/authority.ts";
import { createChooser, ProxyCredentials } from "../../src/upstream/forward-proxy.ts";
import type { Upstream } from "../../src/upstream/index.ts";
import { makeLeaf } from "../helpers/pki.ts";
import { answering, ca, eventually, makeUpstream, ok, send, serve, target } from "./kit.ts";
import { httpProxy, socksProxy, tls } from "./proxies.ts";

interface Routes {
  readonly http?: string;
  readonly https?: string;
  readonly no?: string;
  readonly denyCidrs?: readonly string[];
  /** So that names under `.example` are not looked up in the test's network. */
  readonly resolver?: string;
}

function through(
  t: TestContext,
  { http, https, no, denyCidrs = [], resolver = "127.0.0.1:9" }: Routes,
): Upstream {
  return makeUpstream(t, {
    forwardProxy: { httpProxy: http, httpsProxy: https, noProxy: no },
    denyCidrs,
    resolver,
  });
}

test("plain HTTP goes to an HTTP proxy in absolute-form, with the proxy's credentials", async (t) => {
  const proxy = await httpProxy(t, 0);
  const upstream = through(t, { http: `http://user:p%40ss@127.0.0.1:${proxy.port}` });
  const outcome = await send(upstream, target("api.example:80"), {
    target: "/path?q=1",
    headers: [["Proxy-Authorization", "Basic from-the-client"]],
  });
  assert.equal(outcome.body, "proxy");
  const received = proxy.peers[0]?.received() ?? "";
  assert.match(received, /^GET http:\/\/api\.example\/path\?q=1 HTTP\/1\.1\r\nHost: api\.example:80\r\n/);
  assert.ok(received.includes(`Proxy-Authorization: Basic ${btoa("user:p@ss")}\r\n`));
  assert.ok(!received.includes("from-the-client"));
});

test("plain HTTP on another port keeps the port; OPTIONS * has no path", async (t) => {
  const proxy = await httpProxy(t, 0);
  const upstream = through(t, { http: `http://127.0.0.1:${proxy.port}` });
  await send(upstream, target("api.example:8080"), { method: "OPTIONS", target: "*" });
  assert.match(proxy.peers[0]?.received() ?? "", /^OPTIONS http:\/\/api\.example:8080 HTTP\/1\.1\r\n/);
});

for (const scheme of ["http", "https"]) {
  test(`https goes through an ${scheme} proxy by CONNECT, verified end to end`, async (t) => {
    const server = await answering(t, ok, tls);
    const proxy = await httpProxy(t, server.port, scheme === "https");
    const upstream = through(t, { https: `${scheme}://user:pass@127.0.0.1:${proxy.port}` });
    const outcome = await send(upstream, target("api.example:443", "https"));
    assert.equal(outcome.body, "ok");
    assert.equal(outcome.info?.tls, "TLSv1.3");
    assert.equal(
      proxy.peers[0]?.received().split("\r\n\r\n")[0],
      `CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\nProxy-Authorization: Basic ${btoa("user:pass")}`,
    );
    const wrong = await send(upstream, target("other.example:443", "https"));
    assert.equal(wrong.error?.reason, "upstream_tls_failed");
    assert.doesNotMatch(server.peers[0]?.received() ?? "", /Proxy-Authorization/i);
    upstream.destroy();
    await eventually(() => proxy.peers.every(({ socket }) => socket.destroyed), "the connections are closed");
  });
}

test("plain HTTP goes through an https proxy in absolute-form over TLS", async (t) => {
  const proxy = await httpProxy(t, 0, true);
  const outcome = await send(
    through(t, { http: `https://localhost:${proxy.port}` }),
    target("api.example:80"),
  );
  assert.equal(outcome.body, "proxy");
});

test("an https proxy is verified too", async (t) => {
  const other = makeLeaf(ca, "other.example");
  const wrong = await serve(t, () => {}, { cert: other.certPem, key: other.keyPem });
  const { error } = await send(
    through(t, { http: `https://localhost:${wrong.port}` }),
    target("api.example:80"),
  );
  assert.equal(error?.reason, "upstream_proxy_failed");
  assert.match(error?.detail ?? "", /is for other names/);
  assert.equal(wrong.peers[0]?.received() ?? "", "");
});

for (const kind of ["socks5", "socks5h"]) {
  test(`${kind}: http and https go through, the name is resolved by the server`, async (t) => {
    const seen: string[] = [];
    const secure = await answering(t, ok, tls);
    const plain = await answering(t, ok);
    const one = await socksProxy(t, secure.port, seen);
    const two = await socksProxy(t, plain.port, seen, { login: "user:pass" });
    const upstream = through(t, {
      https: `${kind}://127.0.0.1:${one.port}`,
      http: `${kind}://user:pass@127.0.0.1:${two.port}`,
    });
    assert.equal((await send(upstream, target("api.example:443", "https"))).body, "ok");
    const outcome = await send(upstream, target("api.example:8080"));
    assert.equal(outcome.body, "ok");
    assert.deepEqual(seen, ["3 api.example 443", "3 api.example 8080"]);
    assert.match(plain.peers[0]?.received() ?? "", /^GET \/ HTTP\/1\.1/);
  });
}

test("socks: addresses go as addresses", async (t) => {
  const seen: string[] = [];
  const server = await answering(t, ok);
  const proxy = await socksProxy(t, server.port, seen);
  const upstream = through(t, { http: `socks5h://127.0.0.1:${proxy.port}` });
  await send(upstream, target("192.0.2.7:80"));
  await send(upstream, target("[2001:db8::7]:80"));
  assert.deepEqual(seen, ["1 192.0.2.7 80", "4 32.1.13.184.0.0.0.0.0.0.0.0.0.0.0.7 80"]);
});

const socksFailures: [
  name: string,
  options: { login?: string; reply?: number },
  userinfo: string,
  message: RegExp,
][] = [
  ["refuses the connection", { reply: 5 }, "", /the connection was refused/],
  ["has a rule against it", { reply: 2 }, "", /its rules do not allow it/],
  ["wants a login", { login: "user:pass" }, "", /wants a user name and password/],
  [
    "does not take the login",
    { login: "user:pass" },
    "user:s3cret@",
    /does not accept the user name and password/,
  ],
];

for (const [name, options, userinfo, message] of socksFailures) {
  test(`I14: a SOCKS5 server that ${name} is upstream_proxy_failed, without a trace of the login`, async (t) => {
    const proxy = await socksProxy(t, 0, [], options);
    const upstream = through(t, { http: `socks5h://${userinfo}127.0.0.1:${proxy.port}` });
    const { error } = await send(upstream, target("api.example:80"));
    assert.deepEqual([error?.reason, error?.leg, error?.status], ["upstream_proxy_failed", "proxy", 502]);
    assert.match(error?.message ?? "", message);
    assert.doesNotMatch(`${error?.message} ${error?.detail} ${error?.stack}`, /s3cret/);
    assert.doesNotMatch(error?.message ?? "", /127\.0\.0\.1/);
  });
}

const refusals: [name: string, answer: string, message: RegExp][] = [
  [
    "asks for credentials",
    "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
    /wants other credentials \(407\)/,
  ],
  ["answers 403", "HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nnope", /it answered 403/],
  ["talks nonsense", "SSH-2.0-OpenSSH\r\n", /no version of the form HTTP/],
  ["hangs up", "", /closed the connection/],
];

for (const [name, answer, message] of refusals) {
  test(`I14: an HTTP proxy that ${name} is upstream_proxy_failed, without a trace of its credentials`, async (t) => {
    const proxy = await serve(t, async (peer) => {
      await peer.until("\r\n\r\n");
      peer.socket.end(answer);
    });
    const upstream = through(t, { https: `http://user:s3cret@127.0.0.1:${proxy.port}` });
    const { error } = await send(upstream, target("api.example:443", "https"));
    assert.deepEqual([error?.reason, error?.leg], ["upstream_proxy_failed", "proxy"]);
    assert.match(error?.message ?? "", message);
    const said = `${error?.message} ${error?.detail} ${error?.stack}`;
    assert.ok(!said.includes("s3cret") && !said.includes(btoa("user:s3cret")));
  });
}

test("a 407 to plain HTTP is the proxy's failure, not an answer for the workload", async (t) => {
  const proxy = await answering(t, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
  const { error, head } = await send(
    through(t, { http: `http://127.0.0.1:${proxy.port}` }),
    target("api.example:80"),
  );
  assert.equal(head, undefined);
  assert.equal(error?.reason, "upstream_proxy_failed");
});

test("a 407 of an upstream behind a tunnel is an answer like any other", async (t) => {
  const server = await answering(t, "HTTP/1.1 407 X\r\nContent-Length: 0\r\n\r\n", tls);
  const proxy = await httpProxy(t, server.port);
  const upstream = through(t, { https: `http://127.0.0.1:${proxy.port}` });
  assert.equal((await send(upstream, target("api.example:443", "https"))).head?.status, 407);
});

test("a proxy that cannot be reached is upstream_proxy_failed, its address for the operator only", async (t) => {
  const { error } = await send(through(t, { http: "http://127.0.0.1:1" }), target("api.example:80"));
  assert.equal(error?.reason, "upstream_proxy_failed");
  assert.doesNotMatch(error?.message ?? "", /127/);
  assert.match(error?.detail ?? "", /127\.0\.0\.1:1/);
});

test("a proxy that does not answer is a timeout", async (t) => {
  const proxy = await serve(t, () => {});
  const upstream = makeUpstream(t, {
    forwardProxy: { httpProxy: undefined, httpsProxy: `http://127.0.0.1:${proxy.port}`, noProxy: undefined },
    resolver: "127.0.0.1:9",
    timeouts: { connectMs: 60 },
  });
  const { error } = await send(upstream, target("192.0.2.1:443", "https"));
  assert.deepEqual([error?.reason, error?.status], ["upstream_connect_timeout", 504]);
  await eventually(() => proxy.peers[0]?.socket.readableEnded === true, "the connection is closed");
});

test("I11: this proxy as its own forward proxy is a loop, and says so", async (t) => {
  const self = await httpProxy(t, 0);
  const upstream = makeUpstream(t, {
    forwardProxy: { httpProxy: `http://127.0.0.1:${self.port}`, httpsProxy: undefined, noProxy: undefined },
    ownAddresses: () => [{ address: "127.0.0.1", port: self.port }],
    resolver: "127.0.0.1:9",
  });
  const { error } = await send(upstream, target("api.example:80"));
  assert.equal(error?.reason, "proxy_loop");
  assert.match(error?.message ?? "", /forward proxy .* this proxy itself/);
  assert.equal(self.peers.length, 0);
});

test("I11: the deny list holds for literals that a forward proxy would connect to", async (t) => {
  const proxy = await httpProxy(t, 0);
  const url = `http://127.0.0.1:${proxy.port}`;
  const upstream = through(t, { http: url, https: url, denyCidrs: standardDenyCidrs });
  for (const host of ["169.254.169.254", "[fd00:ec2::254]", "0.0.0.0", "[::ffff:169.254.1.1]"]) {
    const { error } = await send(upstream, target(`${host}:80`));
    assert.equal(error?.reason, "upstream_address_denied", host);
  }
  assert.equal(proxy.peers.length, 0);
});

const choices: [noProxy: string, authority: string, direct: boolean][] = [
  ["", "api.example:443", false],
  ["*", "api.example:443", true],
  ["api.example", "api.example:443", true],
  ["api.example", "v1.api.example:443", true],
  ["api.example", "notapi.example:443", false],
  ["API.Example", "api.example:443", true],
  [".example", "api.example:443", true],
  [".api.example", "api.example:443", false],
  ["*.example", "api.example:443", true],
  ["*.api.example", "api.example:443", false],
  ["api.example:8443", "api.example:443", false],
  ["api.example:443", "api.example:443", true],
  ["one.test, api.example ,two.test", "api.example:443", true],
  ["192.0.2.1", "192.0.2.1:443", true],
  ["192.0.2.1:80", "192.0.2.1:443", false],
  ["192.0.2.0/24", "192.0.2.200:443", true],
  ["192.0.2.0/24", "192.0.3.1:443", false],
  ["192.0.2.0/24", "api.example:443", false],
  ["2001:db8::/32", "[2001:db8::1]:443", true],
  ["2001:db8::1", "[2001:db8::1]:443", true],
  ["[2001:db8::1]:443", "[2001:db8::1]:443", true],
  ["nonsense/99,<local>,:80", "api.example:443", false],
  ["", "localhost:443", true],
  ["", "x.localhost:443", true],
  ["", "127.0.0.2:443", true],
  ["", "[::1]:443", true],
];

for (const [noProxy, authority, direct] of choices) {
  test(`no_proxy ${JSON.stringify(noProxy)}: ${authority} goes ${direct ? "straight" : "through the proxy"}`, () => {
    const choose = createChooser({ httpProxy: undefined, httpsProxy: "proxy.example:3128", noProxy });
    const proxy = choose("https", parseAuthority(authority, undefined));
    assert.deepEqual(
      [proxy?.kind, proxy?.host.name, proxy?.port],
      direct ? [undefined, undefined, undefined] : ["http", "proxy.example", 3128],
    );
    assert.equal(choose("http", parseAuthority(authority, undefined)), undefined);
  });
}

for (const url of [
  "ftp://proxy.example",
  "http://user:s3cret@",
  "http://us%er:s3cret@proxy.example",
  "http://bad_host-.example:1",
]) {
  test(`I14: refuses the proxy URL ${url} without repeating it`, () => {
    assert.throws(
      () => createChooser({ httpProxy: url, httpsProxy: undefined, noProxy: undefined }),
      (error: Error) => {
        assert.ok(error instanceof TypeError);
        assert.match(error.message, /^proxy\.upstream_proxy\.http_proxy /);
        assert.doesNotMatch(inspect(error), /s3cret/);
        return true;
      },
    );
  });
}

test("I14: a proxy's credentials cannot be printed", () => {
  const credentials = new ProxyCredentials("user", "s3cret");
  assert.doesNotMatch(
    `${inspect(credentials, { showHidden: true })} ${JSON.stringify(credentials)}`,
    /s3cret/,
  );
});
