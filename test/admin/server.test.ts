import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, test } from "node:test";
import { type AdminListener, json, listenAdmin, type Route } from "../../src/admin/server.ts";

const crashes: string[][] = [];
const open: AdminListener[] = [];
after(() => {
  for (const listener of open) listener.close();
});

async function serve(...routes: Route[]): Promise<string> {
  const at = { host: "127.0.0.1", port: 0 };
  const listener = await listenAdmin("metrics.listen", at, routes, (...crash) => void crashes.push(crash));
  open.push(listener);
  return `http://${listener.address}`;
}

const hello: Route = { path: "/hello", method: "GET", handle: () => json(200, { hello: "world" }) };
const url = await serve(
  hello,
  { path: "/do", method: "POST", handle: () => json(200, { done: true }) },
  { path: "/locked", method: "POST", guard: () => json(401, {}), handle: () => json(200, {}) },
  {
    path: "/broken",
    method: "GET",
    handle: () => Promise.reject(new TypeError("sk-live-in-an-error")),
  },
);

test("answers JSON that is neither kept nor guessed at", async () => {
  const response = await fetch(`${url}/hello?any=query`);
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("content-type"), "application/json");
  assert.equal(response.headers.get("cache-control"), "no-store");
  assert.equal(response.headers.get("x-content-type-options"), "nosniff");
  assert.equal(await response.text(), '{"hello":"world"}\n');
});

test("HEAD is answered as GET, without the body", async () => {
  const response = await fetch(`${url}/hello`, { method: "HEAD" });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("content-length"), "18");
  assert.equal(await response.text(), "");
});

test("H1: a wrong method is 405, with the right one in Allow", async () => {
  for (const [path, method, allow] of [
    ["/hello", "POST", "GET"],
    ["/do", "GET", "POST"],
    ["/do", "PUT", "POST"],
  ] as const) {
    const response = await fetch(url + path, { method });
    assert.equal(response.status, 405, `${method} ${path}`);
    assert.equal(response.headers.get("allow"), allow);
  }
});

test("who may not is told so before anything else", async () => {
  assert.equal((await fetch(`${url}/locked`, { method: "DELETE" })).status, 401);
});

test("an unknown path is 404 and says what there is", async () => {
  const response = await fetch(`${url}/v2/reload`);
  assert.equal(response.status, 404);
  assert.match(await response.text(), /\/hello, \/do/);
});

test("I14: a handler that fails is 500, and its error's text goes nowhere", async () => {
  const response = await fetch(`${url}/broken`);
  assert.equal(response.status, 500);
  assert.deepEqual(await response.json(), { error: "internal error" });
  assert.deepEqual(crashes, [["/broken", "TypeError"]]);
});

test("a body is not waited for", async () => {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.write("POST /do HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n");
  const [answer] = await new Promise<Buffer[]>((resolve) => {
    socket.once("data", (data: Buffer) => resolve([data]));
  });
  socket.destroy();
  assert.match(`${answer}`, /^HTTP\/1\.1 200 /);
});

test("a port in use is an error that names the key", async () => {
  const port = Number(new URL(url).port);
  await assert.rejects(
    listenAdmin("management.listen", { host: "127.0.0.1", port }, [hello], () => {}),
    /management\.listen: cannot listen on 127\.0\.0\.1:\d+: another program has this port/,
  );
});
