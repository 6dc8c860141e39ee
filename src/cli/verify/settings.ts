import { readSigningKeys, SigningKeyError, signingKeyVariable } from "../../callers/keys.ts";
import { CaError, loadCa } from "../../tls/ca.ts";
import { defaultCaFiles } from "../../tls/default-ca.ts";
import type { Check } from "./check.ts";
import type { Subject } from "./subject.ts";

const modeVariable = "FIREWALL_MANAGER_SECRET_SOURCE";

/** Where declared credentials are read from, and who says so. */
export function checkMode({ config, env, broken }: Subject): readonly Check[] {
  const { tools } = config;
  if (tools === undefined || broken.has("tools.source")) return [];
  const check = (status: Check["status"], message: string, hint?: string): readonly Check[] => [
    { kind: "mode", subject: "mode", status, message, hint },
  ];
  const other = env[modeVariable] ?? "";
  const by = tools.givenBy.source;
  if (by !== undefined && by !== modeVariable && other !== "" && other !== tools.source) {
    const message = `${tools.source}, by ${by}, while ${modeVariable} is ${JSON.stringify(other.slice(0, 40))}`;
    return check(
      "warn",
      message,
      "take one of the two away: whatever else reads the variable has another mode",
    );
  }
  if (by !== undefined) return check("ok", `${tools.source}, by ${by}`);
  const message = `${tools.source}, because neither tools.source nor ${modeVariable} is set`;
  return check("warn", message, `set ${modeVariable}, or tools.source, to the mode that is meant`);
}

/** Who names the vault. Whether it is there, only 1Password can say. */
export function checkVaultName({ config, broken }: Subject): readonly Check[] {
  const { tools } = config;
  if (tools === undefined || tools.source === "env" || broken.has("tools.vault")) return [];
  if (broken.has("tools.source")) return [];
  const shown = JSON.stringify(tools.vault);
  const check = (status: Check["status"], message: string, hint?: string): readonly Check[] => [
    {
      kind: "vault",
      subject: "vault",
      status,
      message,
      hint,
      ...(hint === undefined ? {} : { cause: "vault" }),
    },
  ];
  const by = tools.givenBy.vault;
  if (by === undefined) {
    const message = `${shown}, because neither OP_VAULT nor tools.vault is set`;
    return check("warn", message, "set OP_VAULT to the name or the id of the vault");
  }
  if (tools.vault !== tools.vault.trim()) {
    return check("warn", `${shown}, by ${by}`, `take the space around it away from ${by}`);
  }
  return check("ok", `${shown}, by ${by}`);
}

/** Variables that a kind of source cannot do without. */
const variablesOf: Readonly<Record<string, readonly string[]>> = {
  "1password": ["OP_SERVICE_ACCOUNT_TOKEN"],
  "1password_connect": ["OP_CONNECT_HOST", "OP_CONNECT_TOKEN"],
};

/** Those for the secret stores in use are there and not empty, and those for others are not there. */
export function checkVariables({ sources, env, config, broken }: Subject): readonly Check[] {
  const inUse = new Set(sources.map((source) => source.config.type));
  const isModeKnown = !broken.has("tools.source");
  const ofStores = Object.entries(variablesOf).flatMap(([kind, names]) =>
    names.flatMap((name) => {
      if (inUse.has(kind)) return neededVariable(name, env);
      return isModeKnown ? unneededVariable(name, env) : [];
    }),
  );
  const { listen, apiKeyEnv } = config.management;
  const management = listen === "off" ? [] : neededVariable(apiKeyEnv, env);
  return [...ofStores, ...management, ...signingKey(env)];
}

function neededVariable(name: string, env: NodeJS.ProcessEnv): Check[] {
  const value = env[name] ?? "";
  const check = (status: Check["status"], message: string, hint?: string): Check[] => [
    {
      kind: "variable",
      subject: name,
      status,
      message,
      hint,
      ...(hint === undefined ? {} : { cause: "variable" }),
    },
  ];
  if (value.trim() === "") {
    const message = env[name] === undefined ? "is not set" : "is empty";
    return check("fail", message, variableHint(name));
  }
  if (value !== value.trim()) {
    return check(
      "warn",
      "has white space around it, such as a line break",
      "store it without; it is cut off for now",
    );
  }
  return check("ok", "is set");
}

function variableHint(name: string): string {
  if (name === "OP_CONNECT_HOST") {
    return "set it to the URL of the Connect server, such as http://onepassword-connect:8080; the chart does";
  }
  return `put it into the Secret of secretManager.existingSecretName as ${name}, after secretManager.envPrefix; "sallyport bootstrap" does`;
}

function unneededVariable(name: string, env: NodeJS.ProcessEnv): Check[] {
  if ((env[name] ?? "") === "" || name === "OP_CONNECT_HOST") return [];
  const message = "is set, and no source reads it";
  const hint = "a proxy should hold nothing that its mode does not need; take it out of its environment";
  return [{ kind: "variable", subject: name, status: "warn", message, hint }];
}

function signingKey(env: NodeJS.ProcessEnv): Check[] {
  const check = (status: Check["status"], message: string): Check[] => [
    { kind: "variable", subject: signingKeyVariable, status, message },
  ];
  try {
    return readSigningKeys(env) === undefined ? [] : check("ok", "is set");
  } catch (error) {
    if (error instanceof SigningKeyError) return check("fail", error.message);
    throw error;
  }
}

/** Certificate and key can be read, belong together and are valid now. */
export async function checkCa({ config, env }: Subject): Promise<readonly Check[]> {
  const check = (status: Check["status"], message: string): Check => ({
    kind: "ca",
    subject: "CA",
    status,
    message,
  });
  const { mode, caCert, caKey } = config.tls;
  if (mode === "sni-only") return [];
  const isDefault = caCert === undefined && caKey === undefined && config.file === undefined;
  if (!isDefault && (caCert === undefined || caKey === undefined)) {
    return [check("skip", "tls.ca_cert and tls.ca_key do not both name a file")];
  }
  const standard = defaultCaFiles(env);
  const files = { certPath: caCert ?? standard.certPath, keyPath: caKey ?? standard.keyPath };
  try {
    const { notAfter, warnings } = await loadCa(files);
    const until = new Date(notAfter).toISOString().slice(0, 10);
    const good = check("ok", `${files.certPath} matches its key and is valid until ${until}`);
    return warnings.length === 0 ? [good] : warnings.map((warning) => check("warn", warning));
  } catch (error) {
    if (!(error instanceof CaError)) throw error;
    if (isDefault && error.message.includes("does not exist")) {
      return [check("ok", `none yet; the proxy makes ${files.certPath} when it starts`)];
    }
    return [check("fail", error.message)];
  }
}
