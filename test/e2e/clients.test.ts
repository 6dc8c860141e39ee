// The same request by every way in, made by clients that others wrote: the workload holds a placeholder, the
// upstream gets the credential, the audit says so.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { makeLeaf } from "../helpers/pki.ts";
import type { AuditLine } from "./harness/audit-log.ts";
import type { Way } from "./harness/client.ts";
import { valueOf } from "./harness/message.ts";
import { missing, type Ran, run } from "./harness/programs.ts";
import type { Address } from "./harness/sallyport.ts";
import { answer, type Script, startUpstream, type Upstream } from "./harness/upstream.ts";
import { eventually } from "./harness/wait.ts";
import { allowlist, openWorld, placeholder, secrets, swap } from "./harness/world.ts";

const redirectedHost = "redirected.e2e.test";
const world = await openWorld({
  config: ({ securePort, plainPort }) => ({
    transforms: [
      allowlist(["*.e2e.test:*", "plain.localhost"]),
      secrets([
        swap("E2E_KEY", placeholder, [
          `api.e2e.test:${securePort}`,
          `plain.localhost:${plainPort}`,
          `${redirectedHost}:*`,
        ]),
      ]),
    ],
  }),
});

/** Where a client goes, and how it gets there. */
interface Trip {
  readonly way: Way;
  readonly upstream: Upstream;
  readonly scheme: "http" | "https";
  readonly authority: string;
  /** Proxy URL; `undefined` where the name leads to the proxy. */
  readonly proxy: string | undefined;
}

const urlOf = ({ host, port }: Address) => `http://${host}:${port}`;
const { http, https, tunnel } = world.proxy.addresses as Required<typeof world.proxy.addresses>;
const trips: Trip[] = [
  {
    way: "connect",
    upstream: world.secure,
    scheme: "https",
    authority: world.secureAuthority,
    proxy: urlOf(tunnel),
  },
  {
    way: "absolute",
    upstream: world.plain,
    scheme: "http",
    authority: world.plainAuthority,
    proxy: urlOf(http),
  },
];
const redirected = await redirectedTrip();
if (redirected !== undefined) trips.push(redirected);

/**
 * A name that is the proxy's address for the workload and the upstream's for the proxy, at one port, as with DNS
 * interception. It takes a second loopback address, which Linux has.
 */
async function redirectedTrip(): Promise<Trip | undefined> {
  const leaf = makeLeaf(world.upstreamCa, redirectedHost);
  const tls = { cert: leaf.certPem, key: leaf.keyPem };
  try {
    const upstream = await startUpstream({ tls, host: "127.0.0.2", port: https.port });
    after(() => upstream.close());
    world.dns.set(redirectedHost, ["127.0.0.2"]);
    const authority = `${redirectedHost}:${https.port}`;
    return { way: "redirected", upstream, scheme: "https", authority, proxy: undefined };
  } catch {
    return undefined;
  }
}

interface RealClient {
  readonly name: string;
  readonly program: string;
  /** GETs the URL with the placeholder in Authorization and prints the body. */
  get(url: string, trip: Trip): Promise<Ran>;
}

const authorization = `Bearer ${placeholder}`;
const clients: readonly RealClient[] = [
  {
    name: "curl",
    program: "curl",
    get(url, { proxy, authority }) {
      const way = proxy === undefined ? ["--resolve", `${authority}:127.0.0.1`] : ["-x", proxy];
      const fields = ["-H", `Authorization: ${authorization}`];
      return run("curl", ["-sS", "-m", "20", "--cacert", world.proxyCaFile, ...way, ...fields, url]);
    },
  },
  {
    name: "fetch of node",
    program: process.execPath,
    get(url, { proxy }) {
      const script = `
        if (process.argv[2] === "redirected") {
          const dns = require("node:dns");
          dns.lookup = (host, options, done) =>
            options.all ? done(null, [{ address: "127.0.0.1", family: 4 }]) : done(null, "127.0.0.1", 4);
        }
        fetch(process.argv[1], { headers: { Authorization: ${JSON.stringify(authorization)} } })
          .then((answer) => answer.text()).then((text) => process.stdout.write(text));`;
      const env = { NODE_EXTRA_CA_CERTS: world.proxyCaFile };
      const proxies = { NODE_USE_ENV_PROXY: "1", HTTP_PROXY: proxy ?? "", HTTPS_PROXY: proxy ?? "" };
      const args = ["-e", script, "--", url, proxy === undefined ? "redirected" : "proxy"];
      return run(process.execPath, args, { env: proxy === undefined ? env : { ...env, ...proxies } });
    },
  },
  {
    name: "urllib of python",
    program: "python3",
    get(url, { proxy }) {
      const script = `
import socket, sys, urllib.request
if sys.argv[2] == "redirected":
    real = socket.getaddrinfo
    socket.getaddrinfo = lambda host, *rest, **more: real("127.0.0.1", *rest, **more)
request = urllib.request.Request(sys.argv[1], headers={"Authorization": ${JSON.stringify(authorization)}})
sys.stdout.write(urllib.request.urlopen(request, timeout=20).read().decode())`;
      const env = { SSL_CERT_FILE: world.proxyCaFile };
      const proxies = { http_proxy: proxy ?? "", https_proxy: proxy ?? "" };
      const args = ["-c", script, url, proxy === undefined ? "redirected" : "proxy"];
      return run("python3", args, { env: proxy === undefined ? env : { ...env, ...proxies } });
    },
  },
];

for (const client of clients) {
  for (const trip of trips) {
    test(`${client.name}, ${trip.way}: the upstream gets the credential`, {
      skip: missing(client.program),
    }, async () => {
      const path = `/matrix/${client.name.replaceAll(" ", "-")}/${trip.way}`;
      trip.upstream.on(path, answer(`hello from ${path}`));
      const ran = await client.get(`${trip.scheme}://${trip.authority}${path}?q=1`, trip);
      assert.equal(ran.stdout, `hello from ${path}`, ran.stderr);

      const received = await trip.upstream.request(path);
      assert.equal(received.target, `${path}?q=1`);
      assert.equal(valueOf(received.fields, "authorization"), `Bearer ${world.credential}`);
      assert.equal(valueOf(received.fields, "host"), trip.authority);
      checkRecord(await recordOf(path), trip);
    });
  }
}

test("redirected clients could be tried", { skip: redirected === undefined && "no 127.0.0.2 here" }, () => {
  assert.equal(trips.length, 3);
});

async function recordOf(path: string): Promise<AuditLine> {
  return eventually(`audit record of ${path}`, () => {
    const found = world.proxy.audit.read().filter(({ audit }) => audit.path === path);
    assert.ok(found.length <= 1, "I13: one record for one request");
    return found[0];
  });
}

function checkRecord(line: AuditLine, { way, scheme, authority }: Trip): void {
  const { audit } = line;
  assert.equal(audit.action, "allow");
  assert.equal(audit.status_code, 200);
  assert.equal(audit.method, "GET");
  assert.equal(audit.host, authority);
  assert.equal(audit.sni, scheme === "https" ? authority.replace(/:\d+$/, "") : "");
  assert.equal(line.tunnel?.target, way === "connect" ? authority : line.tunnel?.target);
  const swapped = line.request_transforms?.at(-1)?.annotations?.["swapped"];
  assert.deepEqual(swapped, [{ secret: "E2E_KEY", locations: ["header:Authorization"] }]);
}

test("I13: a client that does not trust the proxy's CA is recorded, with what to do about it", {
  skip: missing("curl"),
}, async () => {
  const url = `https://${world.secureAuthority}/untrusted`;
  const ran = await run("curl", ["-sS", "-m", "20", "-x", urlOf(tunnel), url]);
  assert.equal(ran.code, 60, "curl says that it does not trust the certificate");
  const line = await eventually("the record", () =>
    world.proxy.audit.read().find(({ audit }) => audit.reason === "tls_handshake_failed"),
  );
  assert.match(line.error ?? "", /trust ca\.crt/);
});

test("git clones by every way in, with a placeholder for a token", { skip: missing("git") }, async (t) => {
  const source = await makeRepository(join(world.folder, "source"));
  const files = serveFiles(join(source, ".git"), `Bearer ${world.credential}`);
  for (const trip of trips) {
    await t.test(trip.way, async () => {
      trip.upstream.on("*", files);
      const target = join(world.folder, `clone-${trip.way}`);
      const settings = [
        ["http.sslCAInfo", world.proxyCaFile],
        ["http.extraHeader", `Authorization: ${authorization}`],
        trip.proxy === undefined
          ? ["http.curloptResolve", `${trip.authority}:127.0.0.1`]
          : ["http.proxy", trip.proxy],
      ].flatMap(([key, value]) => ["-c", `${key}=${value}`]);
      const url = `${trip.scheme}://${trip.authority}/repo.git`;
      const ran = await git([...settings, "clone", "-q", url, target]);
      assert.equal(ran.code, 0, ran.stderr);
      assert.equal(readFileSync(join(target, "README"), "utf8"), "cloned\n");
      const asked = trip.upstream.received.filter(({ target: asked }) => asked.startsWith("/repo.git/"));
      assert.ok(asked.length >= 4, "info/refs, HEAD and three objects at least");
    });
  }
});

function git(args: readonly string[], cwd = world.folder): Promise<Ran> {
  const who = { GIT_AUTHOR_NAME: "a", GIT_AUTHOR_EMAIL: "a@e2e.test", GIT_COMMITTER_NAME: "a" };
  const quiet = { GIT_CONFIG_NOSYSTEM: "1", GIT_TERMINAL_PROMPT: "0", HOME: world.folder };
  return run("git", args, { cwd, env: { ...who, ...quiet, GIT_COMMITTER_EMAIL: "a@e2e.test" } });
}

/** A repository with one commit that the dumb protocol can serve. */
async function makeRepository(folder: string): Promise<string> {
  mkdirSync(folder);
  writeFileSync(join(folder, "README"), "cloned\n");
  for (const args of [
    ["init", "-q"],
    ["add", "README"],
    ["commit", "-q", "-m", "one"],
    ["update-server-info"],
  ]) {
    const ran = await git(args, folder);
    assert.equal(ran.code, 0, ran.stderr);
  }
  return folder;
}

/** Static files below /repo.git/ for whoever has the credential. */
function serveFiles(folder: string, wanted: string): Script {
  return async (request) => {
    await request.body();
    let status = "404 Not Found";
    let body = Buffer.alloc(0);
    const [path = ""] = request.target.split("?");
    if (valueOf(request.fields, "authorization") !== wanted) status = "401 Unauthorized";
    else {
      try {
        body = readFileSync(join(folder, path.replace(/^\/repo\.git\//, "")));
        status = "200 OK";
      } catch {}
    }
    request.write(`HTTP/1.1 ${status}\r\nContent-Length: ${body.length}\r\n\r\n`);
    request.write(body);
  };
}
