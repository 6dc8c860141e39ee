// What helm renders: names, variables, Connect, the CA, and how little each pod may do (I1, I3, I4, I7, L2).
import assert from "node:assert/strict";
import { test } from "node:test";
import { parse, stringify } from "yaml";
import { read } from "../docs/pages.ts";
import {
  connectBlock,
  environment,
  type KubernetesObject,
  noHelm,
  pick,
  podSpec,
  refusalOf,
  render,
  renderAnew,
  runHelm,
  serviceAccountBlock,
} from "./chart.ts";

const skip = noHelm;
const envBlock = "ironProxy: { secretSource: env }\n";
const name = "centaur-centaur";

test("I1: both blocks of the page render as written, and helm has nothing against them", { skip }, () => {
  for (const block of [connectBlock, serviceAccountBlock, envBlock, ""]) {
    render(block);
    const { status, stdout } = runHelm("lint", block);
    assert.equal(status, 0, stdout);
    assert.doesNotMatch(stdout, /\[(?:WARNING|ERROR)\]/);
  }
});

const shared = {
  FIREWALL_MANAGER_SECRET_TTL: "10m",
  IRON_MANAGEMENT_API_KEY: "centaur-infra-env/IRON_MANAGEMENT_API_KEY",
  SANDBOX_SIGNING_KEY: "centaur-infra-env/SANDBOX_SIGNING_KEY",
};
const previousKey = { SANDBOX_SIGNING_KEY_PREVIOUS: "centaur-infra-env/SANDBOX_SIGNING_KEY_PREVIOUS?" };

const modes: readonly [block: string, api: Record<string, string>, proxy: Record<string, string>][] = [
  [
    connectBlock,
    { FIREWALL_MANAGER_SECRET_SOURCE: "onepassword-connect", OP_VAULT: "centaur-infra-env/OP_VAULT" },
    {
      OP_CONNECT_HOST: `http://${name}-connect:8080`,
      OP_CONNECT_TOKEN: "centaur-infra-env/OP_CONNECT_TOKEN",
    },
  ],
  [
    serviceAccountBlock,
    { FIREWALL_MANAGER_SECRET_SOURCE: "onepassword", OP_VAULT: "centaur-infra-env/OP_VAULT" },
    { OP_SERVICE_ACCOUNT_TOKEN: "centaur-infra-env/OP_SERVICE_ACCOUNT_TOKEN" },
  ],
  [envBlock, { FIREWALL_MANAGER_SECRET_SOURCE: "env", OP_VAULT: "centaur-infra-env/OP_VAULT?" }, {}],
];

for (const [block, api, proxy] of modes) {
  const mode = api["FIREWALL_MANAGER_SECRET_SOURCE"];
  test(`I3: ${mode}: the API knows the mode, the proxy alone has the token of it, and nothing else`, {
    skip,
  }, () => {
    const chart = render(block);
    assert.deepEqual(environment(chart.get("Deployment", `${name}-api`)), { ...shared, ...api });
    assert.deepEqual(environment(chart.get("Deployment", `${name}-proxy`)), {
      ...shared,
      ...previousKey,
      ...api,
      ...proxy,
    });
    assert.doesNotMatch(chart.text, /envFrom/);
  });
}

test("I3 (T53): envPrefix stands before every key that is read from the infra Secret", { skip }, () => {
  for (const block of [connectBlock, serviceAccountBlock]) {
    const values = block.replace('envPrefix: ""', "envPrefix: PROD_");
    const chart = render(values, "--set-json", 'proxy.envSecrets=["WAREHOUSE_API_KEY"]');
    for (const component of ["api", "proxy"]) {
      const variables = environment(chart.get("Deployment", `${name}-${component}`));
      for (const [variable, from] of Object.entries(variables)) {
        if (from.includes("/") && !from.startsWith("http"))
          assert.equal(from.replace("?", ""), `centaur-infra-env/PROD_${variable}`);
      }
    }
  }
});

test("T54: of the Secret the proxy gets the variables that are listed, by their own or another key", {
  skip,
}, () => {
  const secrets = stringify({
    ironProxy: { secretSource: "env" },
    proxy: {
      envSecrets: ["WAREHOUSE_API_KEY", { name: "GITHUB_TOKEN", secretName: "github", key: "token" }],
    },
  });
  const chart = render(secrets);
  const variables = environment(chart.get("Deployment", `${name}-proxy`));
  assert.equal(variables["WAREHOUSE_API_KEY"], "centaur-infra-env/WAREHOUSE_API_KEY");
  assert.equal(variables["GITHUB_TOKEN"], "github/token");
  // T55: in this mode, too, the API holds none of them.
  const api = environment(chart.get("Deployment", `${name}-api`));
  assert.deepEqual(
    Object.keys(api).filter((variable) => /WAREHOUSE|GITHUB/.test(variable)),
    [],
  );
});

test("I7: the page's verify commands find what they look for", { skip }, () => {
  const chart = render(connectBlock);
  const page = read("docs/kubernetes.md");
  const commands = [
    "kubectl exec -n centaur-system deploy/centaur-centaur-api -- env",
    "kubectl get pods -n centaur-system -l app.kubernetes.io/name=connect",
    "kubectl get secret -n centaur-system centaur-onepassword-connect-credentials",
    "kubectl get secret -n centaur-system centaur-infra-env -o jsonpath='{.data.OP_CONNECT_TOKEN}'",
  ];
  for (const command of commands) assert.ok(page.includes(command), command);
  assert.equal(chart.get("Deployment", "centaur-centaur-api").metadata.namespace, "centaur-system");
  const labelled = chart.objects.filter(
    (object) => podLabels(object)["app.kubernetes.io/name"] === "connect",
  );
  assert.deepEqual(
    labelled.map((object) => `${object.kind}/${object.metadata.name}`),
    [`Deployment/${name}-connect`],
  );
  assert.match(
    JSON.stringify(podSpec(labelled[0] as KubernetesObject).volumes),
    /centaur-onepassword-connect-credentials/,
  );
  assert.ok(
    environment(chart.get("Deployment", `${name}-proxy`))["OP_CONNECT_TOKEN"]?.startsWith(
      "centaur-infra-env/",
    ),
  );
});

test("the names are release and chart, also where one holds the other", { skip }, () => {
  const { stdout } = runHelm("template", "");
  assert.match(stdout, /name: centaur-sallyport-api$/m);
});

const connectKinds = (text: string) =>
  [...text.matchAll(/^ {2}name: (\S+-connect)$/gm)].map(([, found]) => found);

test("I4: Connect's objects are there with create, and only then", { skip }, () => {
  assert.equal(connectKinds(render(connectBlock).text).length, 4, "Deployment, Service, account, policy");
  assert.deepEqual(connectKinds(render(serviceAccountBlock).text), []);
  const elsewhere =
    'ironProxy: { secretSource: onepassword-connect }\nonepasswordConnect: { host: "https://op.example.com" }\n';
  const chart = render(elsewhere);
  assert.deepEqual(connectKinds(chart.text), []);
  assert.equal(
    environment(chart.get("Deployment", `${name}-proxy`))["OP_CONNECT_HOST"],
    "https://op.example.com",
  );
});

test("I4 (T70): the credentials reach Connect as the file that 1Password gave, or as base64 in a variable", {
  skip,
}, () => {
  const spec = podSpec(render(connectBlock).get("Deployment", `${name}-connect`));
  assert.deepEqual(
    spec.containers.map((container) => container.name),
    ["connect-api", "connect-sync"],
  );
  for (const container of spec.containers) {
    const session = container.env?.find((variable) => variable.name === "OP_SESSION");
    assert.equal(session?.value, "/etc/onepassword/1password-credentials.json");
    assert.ok(container.volumeMounts?.some((mount) => mount.mountPath === "/etc/onepassword"));
  }
  const volume = spec.volumes?.find((one) => one["name"] === "credentials");
  assert.deepEqual(volume?.["secret"], {
    secretName: "centaur-onepassword-connect-credentials",
    defaultMode: 0o440,
    items: [{ key: "1password-credentials.json", path: "1password-credentials.json" }],
  });

  const encoded = render(connectBlock, "--set", "onepasswordConnect.connect.credentialsFormat=base64");
  const other = podSpec(encoded.get("Deployment", `${name}-connect`));
  assert.ok(!other.volumes?.some((one) => one["name"] === "credentials"));
  assert.deepEqual(
    other.containers[0]?.env?.find((variable) => variable.name === "OP_SESSION")?.valueFrom?.secretKeyRef,
    {
      name: "centaur-onepassword-connect-credentials",
      key: "1password-credentials.json",
    },
  );
});

const mismatches: readonly [why: string, values: string, message: RegExp][] = [
  [
    "Connect without its mode (T57)",
    "onepasswordConnect: { connect: { create: true } }",
    /onepasswordConnect\.connect\.create: nothing would use the Connect server with ironProxy\.secretSource onepassword; set/,
  ],
  [
    "the mode without Connect",
    "ironProxy: { secretSource: onepassword-connect }",
    /needs a Connect server: set onepasswordConnect\.connect\.create to true, or onepasswordConnect\.host/,
  ],
  [
    "two Connect servers",
    "ironProxy: { secretSource: onepassword-connect }\nonepasswordConnect: { connect: { create: true }, host: http://connect:8080 }",
    /connect\.create and host are two Connect servers; keep one/,
  ],
  [
    "a Connect server that nothing uses",
    "onepasswordConnect: { host: http://connect:8080 }",
    /onepasswordConnect\.host: nothing would use it/,
  ],
  [
    "half a CA",
    "ca: { existingCertSecret: ours }",
    /existingCertSecret and existingKeySecret belong together/,
  ],
  [
    "certificate and key in one Secret",
    "ca: { existingCertSecret: ours, existingKeySecret: ours }",
    /the certificate and the key need a Secret each/,
  ],
  [
    "a section that the chart writes",
    "config: { tools: {} }",
    /config\.tools: the chart writes this section; see tools and ironProxy/,
  ],
  [
    "a listener that the chart sets",
    'config: { proxy: { tunnel_listen: ":1" } }',
    /config\.proxy\.tunnel_listen: the chart sets/,
  ],
  [
    "a CA that the chart mounts",
    "config: { tls: { ca_key: /x } }",
    /config\.tls\.ca_key: the chart mounts the CA/,
  ],
  ["one port for two listeners", "ironProxy: { service: { proxyPort: 9090 } }", /three different ports/],
  [
    "a token listed as a tool's secret",
    "proxy: { envSecrets: [OP_CONNECT_TOKEN] }",
    /envSecrets: the chart sets OP_CONNECT_TOKEN itself/,
  ],
  [
    "the same as an object",
    "proxy: { envSecrets: [{ name: OP_VAULT }] }",
    /envSecrets: the chart sets OP_VAULT itself/,
  ],
  [
    "a variable that the chart sets",
    "proxy: { extraEnv: [{ name: FIREWALL_MANAGER_SECRET_SOURCE, value: env }] }",
    /extraEnv: the chart sets FIREWALL_MANAGER_SECRET_SOURCE itself/,
  ],
];

for (const [why, values, message] of mismatches) {
  test(`9.3: refuses ${why}, saying what to do`, { skip }, () => assert.match(refusalOf(values), message));
}

test("I6: helm refuses what the schema refuses", { skip }, () => {
  assert.match(refusalOf("ironProxy: { secretSource: onepassword_connect }"), /secretSource/);
  assert.match(refusalOf("ironProxy: { manager: {} }"), /ironProxy[^]*manager/);
});

test("a change of the configuration rolls API and proxy; rendering twice gives the same", { skip }, () => {
  const annotation = (values: string, component: string, chart = render(values)) =>
    String(
      pick(
        chart.get("Deployment", `${name}-${component}`),
        "spec.template.metadata.annotations.checksum/config",
      ),
    );
  const other = `${envBlock}tools: { harnesses: [codex] }\n`;
  const tool = `${envBlock}tools: { declarations: { warehouse: "[tool.centaur]" } }\n`;
  for (const component of ["api", "proxy"]) {
    const sums = [envBlock, other, tool].map((values) => annotation(values, component));
    assert.equal(new Set(sums).size, 3);
    assert.equal(annotation(envBlock, component, renderAnew(envBlock)), sums[0]);
    assert.match(sums[0] ?? "", /^[0-9a-f]{64}$/);
  }
});

test("the ConfigMap holds the file and the tools, and no credential has a way into it", { skip }, () => {
  const text = "[tool.centaur]\nsecrets = []\n";
  const values = stringify({
    ironProxy: { secretSource: "env", service: { proxyPort: 8888 } },
    tools: {
      declarations: { warehouse: text },
      directories: ["/tools"],
      harnesses: ["codex"],
      placeholders: "name",
      gateway: "llm.internal",
    },
    config: { log: { level: "debug" }, transforms: [{ name: "annotate" }] },
  });
  const chart = render(values);
  const data = chart.get("ConfigMap", `${name}-config`)["data"] as Record<string, string>;
  assert.equal(data["tool.warehouse.toml"], text);
  assert.deepEqual(parse(data["proxy.yaml"] ?? ""), {
    log: { level: "debug" },
    management: { listen: ":9092", api_key_env: "IRON_MANAGEMENT_API_KEY" },
    metrics: { listen: ":9090" },
    proxy: { tunnel_listen: ":8888", http_listen: "off", https_listen: "off", require_caller: true },
    tls: { ca_cert: "/etc/sallyport-ca/ca-cert.pem", ca_key: "/etc/sallyport-ca-key/ca-key.pem" },
    tools: {
      directories: ["/etc/sallyport/tools", "/tools"],
      harnesses: ["codex"],
      placeholders: "name",
      gateway: "llm.internal",
    },
    transforms: [{ name: "annotate" }],
  });
  const volume = podSpec(chart.get("Deployment", `${name}-proxy`)).volumes?.find(
    (one) => one["name"] === "config",
  );
  assert.deepEqual(pick(volume, "configMap.items"), [
    { key: "proxy.yaml", path: "proxy.yaml" },
    { key: "tool.warehouse.toml", path: "tools/warehouse/pyproject.toml" },
  ]);
  assert.ok(!chart.objects.some((one) => one.kind === "Secret"), "the chart writes no Secret");
});

function podLabels(object: KubernetesObject): Readonly<Record<string, string>> {
  return (pick(object, "spec.template.metadata.labels") ?? {}) as Record<string, string>;
}
