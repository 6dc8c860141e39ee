// The chart with helm built from its sources, and what it renders with kubeconform against the schemas of Kubernetes, which
// a package for Python brings.
import assert from "node:assert/strict";
import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { globSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { connectBlock, findProgram, serviceAccountBlock } from "../chart/chart.ts";
import { folder, noGo, noPython, pythonProgram } from "./peers.ts";

const chart = fileURLToPath(new URL("../../charts/sallyport", import.meta.url));
const kubernetes = "1.37.0";
const buildMs = 280_000;

/** The program of this machine, or one built here; undefined, with the reason said, where neither can be had. */
function built(name: string, module: string, skipped: (why: string) => void): string | undefined {
  const there = findProgram(name);
  if (there !== undefined) return there;
  const { status, stderr } = spawnSync("go", ["install", module], {
    env: { ...process.env, GOBIN: folder },
    encoding: "utf8",
    timeout: buildMs,
  });
  if (status === 0) return join(folder, name);
  skipped(`go install ${module} failed: ${stderr.trim().split("\n").at(-1) ?? ""}`);
  return undefined;
}

test("what npm test asserts of the chart, with helm", { skip: noGo }, (t) => {
  const helm = built("helm", "helm.sh/helm/v3/cmd/helm@v3.22.0", (why) => t.skip(why));
  if (helm === undefined) return;
  const files = globSync("test/chart/*.test.ts", { cwd: fileURLToPath(new URL("../..", import.meta.url)) });
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const { status, stdout } = spawnSync(process.execPath, ["--test", ...files], {
    cwd: fileURLToPath(new URL("../..", import.meta.url)),
    env: { ...env, HELM: helm },
    encoding: "utf8",
  });
  assert.equal(status, 0, stdout);
  assert.match(stdout, /^ℹ skipped 0$/m);
});

test("what it renders fits the schemas of Kubernetes", { skip: noGo || noPython }, (t) => {
  const helm = built("helm", "helm.sh/helm/v3/cmd/helm@v3.22.0", (why) => t.skip(why));
  const kubeconform = built("kubeconform", "github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0", (why) =>
    t.skip(why),
  );
  if (helm === undefined || kubeconform === undefined) return;
  const schemas = join(folder, "schemas");
  writeSchemas(schemas);
  const more = `
metrics: { serviceMonitor: { enabled: true } }
telemetry: { otlpEndpoint: "https://collector", headersSecret: { name: collector } }
tools: { declarations: { warehouse: "[tool.centaur]" } }
proxy:
  autoscaling: { enabled: false }
  envSecrets: [WAREHOUSE_API_KEY, { name: GITHUB_TOKEN, secretName: github, key: token }]
  extraEnv: [{ name: LANG, value: C }]
  extraVolumes: [{ name: overlay, emptyDir: {} }]
  extraVolumeMounts: [{ name: overlay, mountPath: /overlay }]
  tolerations: [{ key: proxies, operator: Exists }]
  nodeSelector: { pool: egress }
  serviceAccount: { annotations: { role: proxy } }
networkPolicy:
  sandbox: { namespaces: [team-a] }
  managementFrom: [{ podSelector: { matchLabels: { app: ops } } }]
imagePullSecrets: [{ name: pull }]
`;
  const renderings = [
    connectBlock,
    serviceAccountBlock,
    "ironProxy: { secretSource: env }\nca: { existingCertSecret: a, existingKeySecret: b }\n",
    connectBlock + more,
  ];
  for (const values of renderings) {
    const rendered: SpawnSyncReturns<string> = spawnSync(
      helm,
      [
        "template",
        "centaur",
        chart,
        "--kube-version",
        kubernetes,
        "--namespace",
        "centaur-system",
        "--values",
        "-",
      ],
      { input: values, encoding: "utf8" },
    );
    assert.equal(rendered.status, 0, rendered.stderr);
    const location = join(schemas, "{{ .ResourceKind }}{{ .KindSuffix }}.json");
    const checked: SpawnSyncReturns<string> = spawnSync(
      kubeconform,
      ["-strict", "-summary", "-skip", "ServiceMonitor", "-schema-location", location],
      { input: rendered.stdout, encoding: "utf8" },
    );
    assert.equal(checked.status, 0, checked.stdout + checked.stderr);
    assert.match(checked.stdout, /Valid: [1-9]\d*, Invalid: 0, Errors: 0/);
  }
});

/** The package's schemas refer to one file of definitions; kubeconform wants each to hold what it refers to. */
function writeSchemas(target: string): void {
  const python = pythonProgram("python");
  const find = "import kubernetes_validate; print(kubernetes_validate.__path__[0])";
  const { stdout } = spawnSync(python, ["-c", find], { encoding: "utf8" });
  const source = join(stdout.trim(), "kubernetes-json-schema", `v${kubernetes}-local-strict`);
  const inside = (text: string) => text.replaceAll(/"[^"#]*_definitions\.json#/g, '"#');
  const definitions = JSON.parse(inside(readFileSync(join(source, "_definitions.json"), "utf8"))) as object;
  mkdirSync(target, { recursive: true });
  const kinds =
    /^(?:configmap|service|serviceaccount)-v1|^(?:deployment-apps|job-batch|networkpolicy-networking|poddisruptionbudget-policy|role-rbac|rolebinding-rbac)-v1\.|^horizontalpodautoscaler-autoscaling-v2\./;
  for (const file of readdirSync(source).filter((name) => kinds.test(name))) {
    const schema = JSON.parse(inside(readFileSync(join(source, file), "utf8"))) as object;
    writeFileSync(join(target, file), JSON.stringify({ ...schema, ...definitions }));
  }
}
