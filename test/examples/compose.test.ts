// examples/compose, without Docker: that nothing but the proxy leads out of the sandbox, and that the files are right. With
// Docker's compose on the machine, that it takes the file.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import { compiledCode } from "../helpers/checkout.ts";
import { runCheck } from "../helpers/cli.ts";
import { read } from "../docs/pages.ts";
import { commandsOf, copyOf, programs } from "./readme.ts";

interface Service {
  readonly image: string;
  readonly networks: readonly string[];
  readonly volumes: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly cap_drop: readonly string[];
  readonly security_opt: readonly string[];
  readonly read_only?: boolean;
}

interface Compose {
  readonly services: { readonly proxy: Service; readonly sandbox: Service };
  readonly networks: Readonly<Record<string, { readonly internal?: boolean; readonly driver_opts?: object }>>;
}

const { services, networks } = parse(read("examples/compose/compose.yaml")) as Compose;
const { proxy, sandbox } = services;

test("the sandbox is on one network, which leads nowhere, and shares nothing of the machine", () => {
  assert.deepEqual(sandbox.networks, ["sandbox"]);
  assert.equal(networks["sandbox"]?.internal, true);
  assert.deepEqual(Object.values(networks["sandbox"]?.driver_opts ?? {}), ["isolated", "isolated"]);
  const known = [
    "image",
    "depends_on",
    "environment",
    "volumes",
    "networks",
    "cap_drop",
    "security_opt",
    "command",
  ];
  assert.deepEqual(
    Object.keys(sandbox).toSorted(),
    known.toSorted(),
    "no ports, network_mode, privileged, pid, devices",
  );
});

test("the proxy alone is on both networks", () => {
  assert.deepEqual(proxy.networks, ["sandbox", "outside"]);
  assert.deepEqual(Object.keys(services), ["proxy", "sandbox"]);
  assert.ok(!("ports" in proxy), "nobody outside needs it");
});

test("L2: the CA's key and the real key are in the proxy's container alone", () => {
  assert.deepEqual(sandbox.volumes, ["./ca/ca.crt:/etc/sallyport-ca.crt:ro"]);
  assert.ok(proxy.volumes.includes("./ca:/etc/sallyport/ca:ro"));
  assert.equal(sandbox.environment["API_KEY"], "placeholder-api-key");
  assert.match(proxy.environment["API_KEY"] ?? "", /^\$\{API_KEY:\?/);
});

test("L2: neither has capabilities; the proxy writes nothing", () => {
  for (const service of [proxy, sandbox]) {
    assert.deepEqual(service.cap_drop, ["ALL"]);
    assert.deepEqual(service.security_opt, ["no-new-privileges:true"]);
  }
  assert.equal(proxy.read_only, true);
});

test("the placeholder is the one that the proxy swaps, and the way to it is where it listens", async () => {
  const text = read("examples/compose/proxy.yaml");
  assert.ok(text.includes(`proxy_value: ${sandbox.environment["API_KEY"]}`));
  const port = new URL(sandbox.environment["HTTPS_PROXY"] ?? "").port;
  assert.ok(text.includes(`tunnel_listen: ":${port}"`));
  const { issues } = await runCheck(text);
  assert.deepEqual(issues, []);
});

test("its README: the commands that need no Docker run", { skip: noBash() }, () => {
  const { folder, example } = copyOf("compose");
  try {
    const [prepare = ""] = commandsOf("compose");
    const env = { PATH: `${programs(folder)}:${process.env["PATH"]}`, HOME: folder, ...compiledCode };
    const { status, stdout, stderr } = spawnSync("bash", ["-ec", prepare], {
      cwd: example,
      env,
      encoding: "utf8",
    });
    assert.equal(status, 0, stdout + stderr);
    assert.ok(existsSync(join(example, "ca/ca.crt")) && existsSync(join(example, "ca/ca.key")));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("Docker's compose takes the file", { skip: noCompose() }, () => {
  const { status, stderr } = spawnSync("docker", ["compose", "config", "--quiet"], {
    cwd: new URL("../../examples/compose/", import.meta.url),
    encoding: "utf8",
    env: { ...process.env, SALLYPORT_USER: "1000:1000", API_KEY: "the-real-key" },
  });
  assert.equal(status, 0, stderr);
});

function noBash(): string | false {
  return spawnSync("bash", ["--version"]).status === 0 ? false : "this machine has no bash";
}

function noCompose(): string | false {
  return spawnSync("docker", ["compose", "version"]).status === 0
    ? false
    : "this machine has no docker compose";
}
