// The chart run without a cluster: what helm renders for Connect is laid out as the kubelet would, and the job, the proxy
// and the API are started with their own arguments, variables and files. Connect is a stand-in; only paths, the Connect
// server's address and listening on the loopback interface are other than in a pod.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { ProxyAgent, request } from "undici";
import { stringify } from "yaml";
import { fakeConnect } from "../fakes/connect.ts";
import { type FakeCluster, fakeCluster } from "../fakes/kubernetes.ts";
import { freePort } from "../helpers/free-port.ts";
import { startWarehouse, warehouseHost } from "../helpers/warehouse.ts";
import {
  connectBlock,
  environment,
  type KubernetesObject,
  noHelm,
  pick,
  podSpec,
  renderAnew,
  type Rendering,
} from "./chart.ts";

const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url));
const canary = "whk_live_canary_4Fz9";

test("I1, H3, E1, L1: what the chart renders runs: CA made, API and proxy ready, a sandbox's request authenticated", {
  skip: noHelm,
}, async () => {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-chart-"));
  const running: ChildProcess[] = [];
  const cluster = await fakeCluster();
  const warehouse = await startWarehouse();
  const fields = [{ id: "credential", label: "credential", value: canary }];
  const connect = await fakeConnect([
    { id: "v1", name: "agents", items: [{ id: "i1", title: "WAREHOUSE_API_KEY", fields }] },
  ]);
  const output: string[] = [];
  try {
    const [proxyPort, managementPort, healthPort, apiPort] = await Promise.all(
      Array.from({ length: 4 }, freePort),
    );
    const values = stringify({
      ironProxy: { service: { proxyPort, managementPort, healthPort } },
      api: { service: { port: apiPort } },
      tools: {
        declarations: {
          warehouse: `[tool.centaur]
secrets = [
    {type = "http", name = "WAREHOUSE_API_KEY", match_headers = ["Authorization"], hosts = ["${warehouseHost}"]},
]
`,
        },
      },
    });
    writeFileSync(join(folder, "more.yaml"), values);
    writeFileSync(join(folder, "roots.pem"), warehouse.rootPem);
    const chart = renderAnew(connectBlock, ["--values", join(folder, "more.yaml")]);
    cluster.secrets.set("centaur-infra-env", {
      IRON_MANAGEMENT_API_KEY: "management-key-of-the-chart-test",
      SANDBOX_SIGNING_KEY: "signing-key-of-the-chart-test-0123456789",
      OP_VAULT: "agents",
      OP_CONNECT_TOKEN: connect.token,
    });
    const start = (kind: string, name: string, more: NodeJS.ProcessEnv = {}) => {
      const pod = layOut(chart, chart.get(kind, name), cluster, join(folder, `${kind}-${name}`));
      const child = spawn(process.execPath, [main, ...pod.args], {
        env: { PATH: process.env["PATH"], HOME: folder, ...pod.env, ...more },
        stdio: ["ignore", "pipe", "pipe"],
      });
      running.push(child);
      for (const stream of [child.stdout, child.stderr]) {
        stream.on("data", (chunk: Buffer) => output.push(chunk.toString()));
      }
      return child;
    };

    const [code] = (await once(start("Job", "centaur-centaur-ca", cluster.env), "close")) as [number | null];
    assert.equal(code, 0, output.join(""));
    start("Deployment", "centaur-centaur-api");
    start("Deployment", "centaur-centaur-proxy", {
      OP_CONNECT_HOST: connect.url,
      SALLYPORT_TLS_UPSTREAM_CA: join(folder, "roots.pem"),
      SALLYPORT_PROXY_UPSTREAM_PROXY_HTTPS_PROXY: warehouse.network,
    });
    const probes = [`http://127.0.0.1:${healthPort}/readyz`, `http://127.0.0.1:${apiPort}/health`];
    for (const url of probes) await answering(url, () => output.join(""));

    const answer = await request(`http://127.0.0.1:${apiPort}/v1/sandboxes`, {
      method: "POST",
      headers: {
        authorization: "Bearer management-key-of-the-chart-test",
        "content-type": "application/json",
      },
      body: JSON.stringify({ name: "sandbox-41", tools: ["warehouse"], ttl: "10m" }),
    });
    const sandbox = (await answer.body.json()) as { env: Record<string, string> };
    assert.equal(answer.statusCode, 201, JSON.stringify(sandbox));
    assert.equal(sandbox.env["WAREHOUSE_API_KEY"], "WAREHOUSE_API_KEY");
    const given = new URL(sandbox.env["HTTPS_PROXY"] ?? "");
    assert.equal(given.host, `centaur-centaur-proxy.centaur-system.svc:${proxyPort}`);

    // The sandbox: the certificate from the Secret that it mounts, the proxy's Service by its address.
    const ca = cluster.secrets.get("centaur-firewall-ca")?.["ca-cert.pem"] ?? "";
    const ask = async (token: string | undefined) => {
      const agent = new ProxyAgent({
        uri: `http://127.0.0.1:${proxyPort}`,
        ...(token === undefined ? {} : { token }),
        requestTls: { ca },
      });
      try {
        const { statusCode, body } = await request(`https://${warehouseHost}/v1/query`, {
          dispatcher: agent,
          headers: { authorization: `Bearer ${sandbox.env["WAREHOUSE_API_KEY"]}` },
        });
        return `${statusCode} ${await body.text()}`;
      } finally {
        await agent.close();
      }
    };
    const credentials = Buffer.from(`${given.username}:${decodeURIComponent(given.password)}`).toString(
      "base64",
    );
    assert.equal(await ask(`Basic ${credentials}`), "200 42 rows\n");
    assert.deepEqual(warehouse.seen, [`GET ${warehouseHost}/v1/query Bearer ${canary}`]);
    await assert.rejects(ask(undefined), /407/, "require_caller is on in the chart");
    assert.equal(warehouse.seen.length, 1);

    const everything = [...output, chart.text, JSON.stringify(sandbox)].join("");
    for (const secret of [canary, connect.token, "signing-key-of-the-chart-test"]) {
      assert.ok(!everything.includes(secret), "L1: a credential was written somewhere");
    }
  } finally {
    for (const child of running) if (child.exitCode === null) child.kill("SIGTERM");
    await Promise.all(
      running.filter((child) => child.exitCode === null).map((child) => once(child, "close")),
    );
    await Promise.all([cluster.close(), connect.close()]);
    warehouse.close();
    rmSync(folder, { recursive: true, force: true });
  }
});

interface Pod {
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

/** Puts a pod's volumes below a folder, with the links of the kubelet, and points arguments and files there. */
function layOut(chart: Rendering, workload: KubernetesObject, cluster: FakeCluster, folder: string): Pod {
  const spec = podSpec(workload);
  const [container] = spec.containers;
  const mounts = container?.volumeMounts ?? [];
  const paths = mounts.map((mount) => mount.mountPath).filter((path) => path.startsWith("/etc/"));
  const mounted = new RegExp(`(?<![\\w/-])(?:${paths.toSorted().toReversed().join("|")})(?![\\w-])`, "g");
  const place = (text: string) =>
    (paths.length === 0 ? text : text.replaceAll(mounted, (path) => join(folder, path))).replaceAll(
      /(listen[:=] ?):(\d+)/g,
      "$1127.0.0.1:$2",
    );
  for (const { name, mountPath } of mounts) {
    const volume = spec.volumes?.find((one) => one["name"] === name);
    const files = new Map<string, string>();
    for (const [kind, of] of [
      ["configMap", (object: string) => chart.get("ConfigMap", object)["data"]],
      ["secret", (object: string) => cluster.secrets.get(object)],
    ] as const) {
      const source = volume?.[kind] as
        | {
            readonly name?: string;
            readonly secretName?: string;
            readonly items: readonly { key: string; path: string }[];
          }
        | undefined;
      if (source === undefined) continue;
      const data = of(source.name ?? source.secretName ?? "") as Record<string, string> | undefined;
      for (const { key, path } of source.items) {
        const text = data?.[key];
        assert.ok(text !== undefined, `${name}: no key ${key}`);
        files.set(path, place(text));
      }
    }
    const root = join(folder, mountPath);
    for (const [path, text] of files) {
      mkdirSync(dirname(join(root, "..2026_11_22", path)), { recursive: true });
      writeFileSync(join(root, "..2026_11_22", path), text, { mode: 0o640 });
    }
    if (files.size > 0) symlinkSync("..2026_11_22", join(root, "..data"));
    for (const top of new Set([...files.keys()].map((path) => path.split("/")[0] ?? ""))) {
      symlinkSync(join("..data", top), join(root, top));
    }
  }
  const account =
    pick(spec.volumes, "0.name") === "service-account" ? [`--service-account=${cluster.serviceAccount}`] : [];
  const env = Object.entries(environment(workload)).flatMap(([name, from]) => {
    const [secret = "", key = ""] = from.replace("?", "").split("/");
    const data = cluster.secrets.get(secret);
    if (data === undefined || from.startsWith("http")) return [[name, from]];
    if (data[key] === undefined) assert.ok(from.endsWith("?"), `${secret} has no ${key}`);
    return data[key] === undefined ? [] : [[name, data[key]]];
  });
  return {
    args: [...(container?.args ?? []).map(place), ...account],
    env: Object.fromEntries(env) as NodeJS.ProcessEnv,
  };
}

async function answering(url: string, log: () => string): Promise<void> {
  let last = "no answer";
  for (let waited = 0; waited < 20_000; waited += 100) {
    try {
      const { statusCode, body } = await request(url);
      last = `${statusCode} ${await body.text()}`;
      if (statusCode === 200) return;
    } catch (error) {
      last = String(error);
    }
    await sleep(100);
  }
  throw new Error(`${url}: ${last}\n${log()}`);
}
