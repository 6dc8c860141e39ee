// I5: every flow that the NetworkPolicies leave open, written as `from → to:port`.
import assert from "node:assert/strict";
import { test } from "node:test";
import { connectBlock, type KubernetesObject, noHelm, pick, render, type Rendering } from "./chart.ts";

const skip = noHelm;

interface Rule {
  readonly from?: readonly Peer[];
  readonly to?: readonly Peer[];
  readonly ports?: readonly { readonly protocol: string; readonly port: number }[];
}

interface Peer {
  readonly namespaceSelector?: { readonly matchLabels: Readonly<Record<string, string>> };
  readonly podSelector?: { readonly matchLabels: Readonly<Record<string, string>> };
}

/** `proxy`, `sandbox`, `kube-system/*`, `other/sandbox`. */
function nameOf(peer: Peer | undefined, own: string): string {
  const labels = peer?.podSelector?.matchLabels ?? {};
  const pod =
    labels["app.kubernetes.io/component"] ?? Object.keys(labels)[0]?.replace("sallyport-", "") ?? "*";
  const namespace = peer?.namespaceSelector?.matchLabels["kubernetes.io/metadata.name"];
  return namespace === undefined || namespace === own ? pod : `${namespace}/${pod}`;
}

/** All flows of all policies, sorted. `anywhere` is any address; each side's policy has to allow a flow. */
function flows(chart: Rendering): string[] {
  return chart.objects
    .filter((object) => object.kind === "NetworkPolicy")
    .flatMap((policy: KubernetesObject) => {
      const own = policy.metadata.namespace ?? "";
      const subject = nameOf(pick(policy, "spec") as Peer, "");
      const at = own === "centaur-system" ? subject : `${own}/${subject}`;
      assert.deepEqual(pick(policy, "spec.policyTypes"), ["Ingress", "Egress"], "what has no rule is closed");
      const rules = (direction: string) => (pick(policy, `spec.${direction}`) ?? []) as readonly Rule[];
      const ports = (rule: Rule) => {
        assert.ok((rule.ports ?? []).length > 0, "a rule without ports opens all of them");
        return (rule.ports ?? []).map(({ protocol, port }) => `${port}${protocol === "UDP" ? "/udp" : ""}`);
      };
      return [
        ...rules("ingress").flatMap((rule) => {
          assert.ok((rule.from ?? []).length > 0, "a rule without peers opens to everybody");
          return (rule.from ?? []).flatMap((peer) =>
            ports(rule).map((port) => `in  ${nameOf(peer, "centaur-system")} → ${at}:${port}`),
          );
        }),
        ...rules("egress").flatMap((rule) =>
          (rule.to ?? [undefined]).flatMap((peer) =>
            ports(rule).map(
              (port) =>
                `out ${at} → ${peer === undefined ? "anywhere" : nameOf(peer, "centaur-system")}:${port}`,
            ),
          ),
        ),
      ];
    })
    .toSorted();
}

const dns = (who: string) => [`out ${who} → kube-system/*:53`, `out ${who} → kube-system/*:53/udp`];

const always = [
  "in  api-client → api:8000",
  "in  sandbox → proxy:8080",
  "in  monitoring/* → proxy:9090",
  "out sandbox → proxy:8080",
  ...dns("sandbox"),
  "out proxy → anywhere:443",
  ...dns("proxy"),
  "out ca → anywhere:443",
  "out ca → anywhere:6443",
];

const connect = [
  "in  proxy → connect:8080",
  "out proxy → connect:8080",
  "out connect → anywhere:443",
  ...dns("connect"),
];

test("I5: these flows are open without Connect, and no other", { skip }, () => {
  assert.deepEqual(flows(render("ironProxy: { secretSource: onepassword }")), always.toSorted());
});

test("I5 (#157, T71): with Connect, the proxy reaches it and it reaches 1Password's cloud", { skip }, () => {
  assert.deepEqual(flows(render(connectBlock)), [...always, ...connect].toSorted());
});

test("I5: the port of a Connect server elsewhere is open", { skip }, () => {
  for (const [host, port] of [
    ["http://connect.vault.svc:8088", 8088],
    ["http://connect", 80],
    ["https://op.example.com/", 443],
  ]) {
    const chart = render(
      `ironProxy: { secretSource: onepassword-connect }\nonepasswordConnect: { host: "${host}" }`,
    );
    assert.ok(
      flows(chart).filter((flow) => flow === `out proxy → anywhere:${port}`).length >= 1,
      String(host),
    );
  }
});

test("I5 (#649, #754, #1024): management, metrics and telemetry are opened by values", { skip }, () => {
  const chart = render(`
telemetry: { otlpEndpoint: "http://collector.observability:4318" }
networkPolicy:
  managementFrom: [{ namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: ops } } }]
  metricsFrom: []
  proxyEgressPorts: [443, 8443]
`);
  const found = flows(chart);
  for (const flow of ["in  ops/* → proxy:9092", "out proxy → anywhere:4318", "out proxy → anywhere:8443"]) {
    assert.ok(found.includes(flow), flow);
  }
  assert.ok(!found.some((flow) => flow.includes("9090")));
});

test("L2: a sandbox reaches the proxy's tunnel and nothing else of ours; without DNS it reaches nothing else at all", {
  skip,
}, () => {
  const out = (values: string) => flows(render(values)).filter((flow) => flow.startsWith("out sandbox"));
  assert.deepEqual(out("networkPolicy: { sandbox: { dns: false } }"), ["out sandbox → proxy:8080"]);
});

test("sandboxes of other namespaces are closed there and let in here", { skip }, () => {
  const found = flows(render("networkPolicy: { sandbox: { namespaces: [team-a] } }"));
  assert.ok(found.includes("in  team-a/sandbox → proxy:8080"));
  assert.ok(found.includes("out team-a/sandbox → proxy:8080"));
});

test("everything in the namespace is closed by default, sandboxes without a label too", { skip }, () => {
  const deny = render("").get("NetworkPolicy", "centaur-centaur-default-deny");
  assert.deepEqual(deny["spec"], { podSelector: {}, policyTypes: ["Ingress", "Egress"] });
  const off = render("networkPolicy: { defaultDeny: false }");
  assert.throws(() => off.get("NetworkPolicy", "centaur-centaur-default-deny"));
  assert.ok(!render("networkPolicy: { enabled: false }").text.includes("NetworkPolicy"));
});

test("the job that makes the CA has its way out before the namespace is closed by an upgrade", {
  skip,
}, () => {
  const policy = render("").get("NetworkPolicy", "centaur-centaur-ca");
  assert.equal(policy.metadata.annotations?.["helm.sh/hook"], "pre-install,pre-upgrade");
  assert.ok(Number(policy.metadata.annotations?.["helm.sh/hook-weight"]) < 0);
});
