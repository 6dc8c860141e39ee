import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { run } from "../helpers/cli.ts";

const server = createServer((request, response) => {
  if (request.url === "/silent") return;
  const well = request.url === "/healthz";
  response.writeHead(well ? 200 : 503).end(well ? "ok" : '{"reasons":["draining"]}\n');
});
let base: string;
before(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(() => {
  server.closeAllConnections();
  server.close();
});

test("ends with 0 where the answer is 200, and prints it", async () => {
  assert.deepEqual(await run(["health", `${base}/healthz`]), { code: 0, stdout: "ok\n", stderr: "" });
});

test("ends with 1 where it is not, and prints why", async () => {
  const { code, stdout, stderr } = await run(["health", `${base}/readyz`]);
  assert.deepEqual([code, stdout], [1, '{"reasons":["draining"]}\n']);
  assert.equal(stderr, `error: ${base}/readyz answered 503\n`);
});

test("ends with 1 where nothing answers in time", async () => {
  const { code, stderr } = await run(["health", "--timeout", "0.1", `${base}/silent`]);
  assert.deepEqual([code, stderr], [1, `error: ${base}/silent: no answer within 0.1 s\n`]);
});

test("ends with 1 where nothing listens", async () => {
  const { code, stderr } = await run(["health", "http://127.0.0.1:1/"]);
  assert.deepEqual([code, stderr], [1, "error: http://127.0.0.1:1/: cannot be reached (ECONNREFUSED)\n"]);
});

for (const given of ["127.0.0.1:9090", "https://127.0.0.1/", "http://"]) {
  test(`takes ${given} for wrong usage`, async () => {
    assert.equal((await run(["health", given])).code, 2);
  });
}

test("takes a wait that is no number of seconds for wrong usage", async () => {
  assert.equal((await run(["health", "--timeout", "soon"])).code, 2);
});
