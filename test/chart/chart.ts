// The chart as tests see it: its files, and what helm makes of them where helm is present.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, globSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse, parseAllDocuments } from "yaml";

export const chartFolder = fileURLToPath(new URL("../../charts/sallyport/", import.meta.url));

/** Version of Kubernetes that templates are rendered for. */
export const kubernetesVersion = "1.35.0";

export function chartFile(path: string): string {
  return readFileSync(join(chartFolder, path), "utf8");
}

export const templates: readonly string[] = globSync("templates/**/*", { cwd: chartFolder }).filter((path) =>
  /\.(?:yaml|tpl|txt)$/.test(path),
);

export type Values = Readonly<Record<string, unknown>>;

export const defaults = parse(chartFile("values.yaml")) as Values;

/** The first values block of the page "Use 1Password", to the letter. */
export const connectBlock = `ironProxy:
  secretSource: onepassword-connect
  secretTtl: 10m
 
onepasswordConnect:
  connect:
    create: true
    credentialsName: centaur-onepassword-connect-credentials
    credentialsKey: 1password-credentials.json
 
secretManager:
  existingSecretName: centaur-infra-env
  envPrefix: ""
`;

/** The second one. */
export const serviceAccountBlock = `ironProxy:
  secretSource: onepassword
  secretTtl: 10m
 
secretManager:
  existingSecretName: centaur-infra-env
  envPrefix: ""
`;

/** A program by its variable, from the PATH, or where \`go install\` puts it. */
export function findProgram(name: string): string | undefined {
  const given = process.env[name.toUpperCase()];
  if (given !== undefined) return given;
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  const gopath = process.env["GOPATH"] ?? join(homedir(), "go");
  return [...folders, join(gopath, "bin")]
    .map((folder) => join(folder, name))
    .find((path) => existsSync(path));
}

export const helm = findProgram("helm");

/** For tests that render: why they are skipped, or false. */
export const noHelm: string | false =
  helm === undefined ? "this machine has no helm: go install helm.sh/helm/v3/cmd/helm@latest" : false;

/** An object of Kubernetes; `pick` looks into the rest of it. */
export interface KubernetesObject {
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [key: string]: unknown;
}

export interface Rendering {
  readonly text: string;
  readonly objects: readonly KubernetesObject[];
  /** Exactly one object of this kind and name. */
  get(kind: string, name: string): KubernetesObject;
}

/** Runs helm with values as text; the release of the page unless told otherwise. */
export function runHelm(verb: "template" | "lint", values: string, ...more: string[]) {
  const where = ["--kube-version", kubernetesVersion, "--namespace", "centaur-system", "--values", "-"];
  const release = verb === "template" ? ["centaur"] : [];
  const result = spawnSync(helm ?? "helm", [verb, ...release, chartFolder, ...where, ...more], {
    input: values,
    encoding: "utf8",
  });
  return { status: result.status, stdout: result.stdout, stderr: result.stderr };
}

const renderings = new Map<string, Rendering>();

/** Renders with `nameOverride: centaur`, as the page's commands want it. Throws with helm's words. */
export function render(values: string, ...more: string[]): Rendering {
  const key = JSON.stringify([values, more]);
  const known = renderings.get(key) ?? renderAnew(values, more);
  renderings.set(key, known);
  return known;
}

/** As `render`, which runs helm once for the same values. */
export function renderAnew(values: string, more: readonly string[] = []): Rendering {
  const { status, stdout, stderr } = runHelm("template", values, "--set", "nameOverride=centaur", ...more);
  if (status !== 0) throw new Error(stderr);
  const objects = parseAllDocuments(stdout)
    .map((document) => document.toJS() as KubernetesObject | null)
    .filter((object) => object !== null);
  return {
    text: stdout,
    objects,
    get(kind, name) {
      const found = objects.filter((object) => object.kind === kind && object.metadata.name === name);
      if (found.length === 1) return found[0] as KubernetesObject;
      const there = objects.map((object) => `${object.kind}/${object.metadata.name}`).join(", ");
      throw new Error(`${found.length} objects are ${kind}/${name}; there are ${there}`);
    },
  };
}

/** What helm says of values that it refuses. */
export function refusalOf(values: string, ...more: string[]): string {
  const { status, stderr } = runHelm("template", values, ...more);
  return status === 0 ? "" : stderr;
}

/** What stands at a path: `spec.template.spec.containers.0.env`. Undefined where there is nothing. */
export function pick(object: unknown, path: string): unknown {
  return path
    .split(".")
    .reduce<unknown>((above, key) => (above as Record<string, unknown> | undefined)?.[key], object);
}

/** The containers of a workload, and where they run. */
export interface PodSpec {
  readonly automountServiceAccountToken?: boolean;
  readonly enableServiceLinks?: boolean;
  readonly serviceAccountName?: string;
  readonly terminationGracePeriodSeconds?: number;
  readonly securityContext?: Readonly<Record<string, unknown>>;
  readonly volumes?: readonly Readonly<Record<string, unknown>>[];
  readonly containers: readonly Container[];
}

export interface Container {
  readonly name: string;
  readonly image: string;
  readonly args?: readonly string[];
  readonly env?: readonly Variable[];
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
  readonly securityContext?: Readonly<Record<string, unknown>>;
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string }[];
  readonly readinessProbe?: unknown;
  readonly livenessProbe?: unknown;
}

export interface Variable {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: { readonly secretKeyRef: { name: string; key: string; optional?: boolean } };
}

export function podSpec(workload: KubernetesObject): PodSpec {
  return pick(workload, "spec.template.spec") as PodSpec;
}

/** Variables of the first container: their values, or `SECRET/KEY`, with `?` where that may be missing. */
export function environment(workload: KubernetesObject): Record<string, string> {
  const entries = (podSpec(workload).containers[0]?.env ?? []).map(({ name, value, valueFrom }) => {
    const { name: secret, key, optional } = valueFrom?.secretKeyRef ?? {};
    return [name, value ?? `${secret}/${key}${optional === true ? "?" : ""}`];
  });
  assert.equal(new Set(entries.map(([name]) => name)).size, entries.length, "a variable is set twice");
  return Object.fromEntries(entries) as Record<string, string>;
}
