import { writeFileSync } from "node:fs";
import { isAbsolute, resolve } from "node:path";
import { type Declared, DeclarationError, loadDeclared, toolNames } from "../../api/declared.ts";
import { defaultCaPath, environmentOf } from "../../api/sandbox.ts";
import { nearest } from "../../config/nearest.ts";
import { readCaCertificate } from "../../tls/ca-certificate.ts";
import { defaultCaFiles } from "../../tls/default-ca.ts";
import { bundle } from "../../tls/roots.ts";
import { type EnvironmentFormat, formatEnvironment } from "../../tools/environment-format.ts";
import { isVariableName } from "../../tools/sandbox-environment.ts";
import { CliError, type Io } from "../io.ts";
import { addressFor } from "./address.ts";
import { makeToken, type TokenOptions } from "./token.ts";

export interface EnvOptions extends TokenOptions {
  readonly config?: string;
  readonly harness?: readonly string[];
  readonly format: EnvironmentFormat;
  readonly proxy?: string;
  readonly ca?: string;
  readonly writeCa?: string;
  readonly caCert?: string;
  readonly token?: string;
  readonly shaped?: true;
  readonly set?: readonly string[];
  readonly noProxy?: readonly string[];
}

/** Prints the environment of a sandbox; gives the exit code. */
export async function printEnvironment(
  directories: readonly string[],
  options: EnvOptions,
  io: Io,
): Promise<number> {
  const extra = addedVariables(options.set ?? []);
  let declared: Declared;
  try {
    declared = loadDeclared({
      file: options.config,
      directories,
      harnesses: options.harness ?? [],
      shaped: options.shaped === true,
      env: io.env,
    });
  } catch (error) {
    if (!(error instanceof DeclarationError)) throw error;
    for (const line of error.lines) io.stderr(`${line}\n`);
    return 1;
  }
  refuseUnknownTools(options.tools, declared);
  const proxy = addressFor(options, declared.config);
  const token = await tokenOf(options, io);
  const caPath = options.ca ?? (options.writeCa === undefined ? defaultCaPath : resolve(options.writeCa));
  if (!isAbsolute(caPath)) throw new CliError("--ca: write the whole path, as the sandbox will see it", 2);
  const direct = (options.noProxy ?? [])
    .flatMap((list) => list.split(",").map((host) => host.trim()))
    .filter(Boolean);
  const settings = { proxy, caPath, direct, extra };
  const { variables, warnings } = environmentOf(declared, settings, {
    limit: options.tools,
    token,
    env: io.env,
  });
  const text = formatEnvironment(variables, options.format);
  if (options.writeCa !== undefined) writeBundle(options.writeCa, options.caCert, declared, io.env);
  for (const line of [...declared.remarks, ...warnings, ...remarksOn(declared, options, token)]) {
    io.stderr(`${line}\n`);
  }
  io.stdout(text);
  return 0;
}

function remarksOn(
  { config }: Declared,
  { config: file, tools }: EnvOptions,
  token: string | undefined,
): string[] {
  if (token !== undefined || file === undefined) return [];
  if (config.proxy.requireCaller)
    return [`${file} has proxy.require_caller: without --name or --token, every request is 407`];
  return tools === undefined
    ? []
    : ["--tools limits what is in the environment; only a token limits the sandbox: add --name"];
}

function addedVariables(given: readonly string[]): ReadonlyMap<string, string> {
  return new Map(
    given.map((text, index) => {
      const equals = text.indexOf("=");
      const name = text.slice(0, Math.max(equals, 0));
      if (!isVariableName(name)) throw new CliError(`--set number ${index + 1}: write NAME=VALUE`, 2);
      return [name, text.slice(equals + 1)];
    }),
  );
}

function refuseUnknownTools(tools: readonly string[] | undefined, declared: Declared): void {
  const known = toolNames(declared);
  for (const tool of tools ?? []) {
    if (known.includes(tool)) continue;
    const meant = nearest(tool, known);
    const hint = meant === undefined ? `known are ${known.join(", ") || "none"}` : `did you mean "${meant}"?`;
    throw new CliError(`--tools: there is no tool ${JSON.stringify(tool.slice(0, 60))}; ${hint}`, 2);
  }
}

async function tokenOf({ token, name, ...options }: EnvOptions, io: Io): Promise<string | undefined> {
  if (token !== undefined && name !== undefined) throw new CliError("give --token or --name, not both", 2);
  if (name !== undefined) return makeToken({ ...options, name }, io.env).token;
  const given = token === "-" ? (await io.stdin()).trim() : token;
  if (given !== undefined && !/^[\w.-]+$/.test(given)) throw new CliError("--token: this is no token", 2);
  return given;
}

function writeBundle(
  file: string,
  cert: string | undefined,
  { config }: Declared,
  env: NodeJS.ProcessEnv,
): void {
  const ca = readCaCertificate(cert ?? config.tls.caCert ?? defaultCaFiles(env).certPath);
  const text = bundle(ca, { upstreamCa: config.tls.upstreamCa, env });
  try {
    writeFileSync(file, text, { mode: 0o644 });
  } catch (error) {
    throw new CliError(`--write-ca: ${file} cannot be written (${(error as NodeJS.ErrnoException).code})`);
  }
}
