// What helm renders of pods: how little each may do, what keeps them going, and the CA that they start from (L2).
import assert from "node:assert/strict";
import { test } from "node:test";
import { connectBlock, type KubernetesObject, noHelm, pick, podSpec, render } from "./chart.ts";

const skip = noHelm;
const envBlock = "ironProxy: { secretSource: env }\n";
const name = "centaur-centaur";

test("L2: no pod runs as root, can become more, writes its root, or has a token; the CA's job alone has one", {
  skip,
}, () => {
  const workloads = render(connectBlock).objects.filter(
    (object) => pick(object, "spec.template.spec") !== undefined,
  );
  assert.deepEqual(workloads.map((object) => `${object.kind}/${object.metadata.name}`).sort(), [
    `Deployment/${name}-api`,
    `Deployment/${name}-connect`,
    `Deployment/${name}-proxy`,
    `Job/${name}-ca`,
  ]);
  for (const workload of workloads) {
    const spec = podSpec(workload);
    assert.equal(spec.automountServiceAccountToken, false);
    assert.equal(spec.enableServiceLinks, false);
    assert.equal(spec.securityContext?.["runAsNonRoot"], true);
    assert.ok(Number(spec.securityContext?.["runAsUser"]) > 0);
    assert.deepEqual(spec.securityContext?.["seccompProfile"], { type: "RuntimeDefault" });
    assert.equal(JSON.stringify(spec.volumes).includes("serviceAccountToken"), workload.kind === "Job");
    for (const container of spec.containers) {
      assert.deepEqual(container.securityContext, {
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ["ALL"] },
      });
    }
  }
});

test("L2: the CA's key is mounted by the proxy alone, and the certificate comes from another Secret", {
  skip,
}, () => {
  const chart = render(connectBlock);
  for (const object of chart.objects.filter((one) => one.kind === "Deployment")) {
    const mounted = JSON.stringify(podSpec(object).volumes);
    assert.equal(mounted.includes('"centaur-firewall-ca-key"'), object.metadata.name === `${name}-proxy`);
  }
});

test("L2: volumes of tools are mounted by API and proxy, volumes of the proxy by the proxy alone", {
  skip,
}, () => {
  const volumes = (name: string) => `extraVolumes: [{ name: ${name}, secret: { secretName: ${name} } }]`;
  const mounts = (name: string) => `extraVolumeMounts: [{ name: ${name}, mountPath: /${name} }]`;
  const chart = render(`
tools: { directories: [/overlay], ${volumes("overlay")}, ${mounts("overlay")} }
proxy: { ${volumes("keys")}, ${mounts("keys")} }
`);
  const mounted = (component: string) => {
    const spec = podSpec(chart.get("Deployment", `${name}-${component}`));
    const own = (one: Readonly<Record<string, unknown>>) =>
      one["name"] === "overlay" || one["name"] === "keys";
    return [spec.volumes?.filter(own), spec.containers[0]?.volumeMounts?.filter(own)].map((list) =>
      list?.map((one) => (one as { readonly name?: unknown }).name),
    );
  };
  assert.deepEqual(mounted("api"), [["overlay"], ["overlay"]]);
  assert.deepEqual(mounted("proxy"), [
    ["overlay", "keys"],
    ["overlay", "keys"],
  ]);
});

test("a job makes the CA before anything else; with Secrets of one's own there is none, nor a Role", {
  skip,
}, () => {
  const chart = render(connectBlock);
  const job = chart.get("Job", `${name}-ca`);
  assert.equal(job.metadata.annotations?.["helm.sh/hook"], "pre-install,pre-upgrade");
  assert.deepEqual(podSpec(job).containers[0]?.args?.slice(0, 4), [
    "ca",
    "secrets",
    "--cert-secret=centaur-firewall-ca",
    "--key-secret=centaur-firewall-ca-key",
  ]);
  assert.deepEqual(chart.get("Role", `${name}-ca`)["rules"], [
    {
      apiGroups: [""],
      resources: ["secrets"],
      resourceNames: ["centaur-firewall-ca", "centaur-firewall-ca-key"],
      verbs: ["get"],
    },
    { apiGroups: [""], resources: ["secrets"], verbs: ["create"] },
  ]);
  assert.deepEqual(
    chart.objects
      .filter((one) => /^(?:Role|RoleBinding|ClusterRole)$/.test(one.kind))
      .map((one) => one.metadata.name),
    [`${name}-ca`, `${name}-ca`],
  );

  const own = render("ca: { existingCertSecret: our-ca, existingKeySecret: our-ca-key }");
  assert.ok(!own.objects.some((one) => /^(?:Job|Role|RoleBinding)$/.test(one.kind)));
  const volumes = JSON.stringify(podSpec(own.get("Deployment", `${name}-proxy`)).volumes);
  assert.match(volumes, /"our-ca"[^]*"our-ca-key"/);
});

test("readiness gates the rollout, and no pod goes before another is ready", { skip }, () => {
  const chart = render(connectBlock);
  for (const component of ["api", "proxy", "connect"]) {
    const deployment = chart.get("Deployment", `${name}-${component}`);
    assert.deepEqual(pick(deployment, "spec.strategy.rollingUpdate"), { maxSurge: 1, maxUnavailable: 0 });
    for (const container of podSpec(deployment).containers) assert.ok(container.readinessProbe !== undefined);
  }
  const [proxy] = podSpec(chart.get("Deployment", `${name}-proxy`)).containers;
  assert.deepEqual(pick(proxy, "readinessProbe.httpGet"), { path: "/readyz", port: "health" });
  assert.deepEqual(pick(proxy, "livenessProbe.httpGet"), { path: "/healthz", port: "health" });
});

test("PodDisruptionBudgets and the autoscaler are there, the ServiceMonitor when asked for", { skip }, () => {
  const chart = render(envBlock);
  assert.equal(pick(chart.get("PodDisruptionBudget", `${name}-proxy`), "spec.maxUnavailable"), 1);
  assert.equal(pick(chart.get("PodDisruptionBudget", `${name}-api`), "spec.maxUnavailable"), 1);
  const autoscaler = chart.get("HorizontalPodAutoscaler", `${name}-proxy`);
  assert.equal(pick(autoscaler, "spec.scaleTargetRef.name"), `${name}-proxy`);
  assert.equal(
    pick(chart.get("Deployment", `${name}-proxy`), "spec.replicas"),
    undefined,
    "it would undo scaling",
  );
  assert.ok(!chart.objects.some((one) => one.kind === "ServiceMonitor"));

  const off = render(
    `${envBlock}proxy: { autoscaling: { enabled: false } }\nmetrics: { serviceMonitor: { enabled: true } }\n`,
  );
  assert.equal(pick(off.get("Deployment", `${name}-proxy`), "spec.replicas"), 2);
  assert.equal(pick(off.get("ServiceMonitor", `${name}-proxy`), "spec.endpoints.0.path"), "/metrics");
});

test("every selector finds pods, and every name that an object refers to is there", { skip }, () => {
  const chart = render(connectBlock);
  const pods = chart.objects
    .map((object) => podLabels(object))
    .filter((labels) => Object.keys(labels).length > 0);
  const matches = (selector: Readonly<Record<string, string>>) =>
    pods.some((labels) => Object.entries(selector).every(([key, value]) => labels[key] === value));
  for (const object of chart.objects) {
    const selector =
      object.kind === "Service" ? pick(object, "spec.selector") : pick(object, "spec.selector.matchLabels");
    if (selector !== undefined) assert.ok(matches(selector as Record<string, string>), object.metadata.name);
    const account = pick(object, "spec.template.spec.serviceAccountName");
    if (typeof account === "string") chart.get("ServiceAccount", account);
  }
  chart.get("ConfigMap", `${name}-config`);
});

function podLabels(object: KubernetesObject): Readonly<Record<string, string>> {
  return (pick(object, "spec.template.metadata.labels") ?? {}) as Record<string, string>;
}
