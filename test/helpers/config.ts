import { formatIssue, type Issue } from "../../src/config/issues.ts";
import { loadConfig } from "../../src/config/load.ts";
import type { Config, Listen } from "../../src/config/types.ts";

/** The least a file needs. */
export const ca = "tls: {ca_cert: ca.crt, ca_key: ca.key}\n";

/** Every issue of a text, as `check` prints it; the file is called `p.yaml`. */
export function issuesOf(text: string, env: NodeJS.ProcessEnv = {}): string[] {
  return loadConfig({ file: "p.yaml", text, env }).issues.map(formatIssue);
}

/** The configuration a text stands for. Throws with the issues when there are errors. */
export function configOf(text: string, env: NodeJS.ProcessEnv = {}): Config {
  const { config, issues } = loadConfig({ file: "p.yaml", text, env });
  if (config === undefined) throw new Error(issues.map(formatIssue).join("\n"));
  return config;
}

/** The `dns` section of a configuration, from its text without the first line. */
export function dnsOf(section: string): Config["dns"] {
  const lines = section.split("\n").map((line) => `  ${line}\n`);
  return configOf(`dns:\n${lines.join("")}${ca}`).dns;
}

/** The one configuration there is without a file. */
export function embeddedConfig(env: NodeJS.ProcessEnv = {}): Config {
  const { config, issues } = loadConfig({ env });
  if (config === undefined) throw new Error(issues.map(formatIssue).join("\n"));
  return config;
}

export function errorsOf(issues: readonly Issue[]): string[] {
  return issues.filter((issue) => issue.severity === "error").map(formatIssue);
}

/** A listener as a file writes it. */
export function address(listen: Listen): string {
  return listen === "off" ? "off" : `${listen.host ?? ""}:${listen.port}`;
}
