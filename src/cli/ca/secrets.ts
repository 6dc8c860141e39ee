// `sallyport ca secrets`: a CA kept in two Secrets of the cluster, made where there is none.
import { X509Certificate } from "node:crypto";
import { createCa, type CreateCaOptions } from "../../tls/ca-create.ts";
import { parseCa } from "../../tls/ca.ts";
import { CliError } from "../io.ts";
import type { Cluster, SecretData } from "./cluster.ts";

export interface CaSecretNames {
  /** The Secret that workloads mount: the certificate alone. */
  readonly certSecret: string;
  /** The Secret that the proxy mounts: the key, and the certificate it belongs to. */
  readonly keySecret: string;
  /** Keys inside them. */
  readonly certKey: string;
  readonly keyKey: string;
}

export interface CaSecretsResult {
  readonly made: readonly string[];
  /** SHA-256 of the certificate, colon separated. */
  readonly fingerprint: string;
}

/**
 * Makes the Secret with key and certificate, then the one with the certificate alone, each unless it is there.
 * Run twice, cut off in between, or run by two at once, it ends with one CA: the second Secret is always copied
 * from the first. Throws CliError where what is there does not fit together; nothing is ever overwritten.
 */
export async function ensureCaSecrets(
  cluster: Cluster,
  names: CaSecretNames,
  options: CreateCaOptions,
): Promise<CaSecretsResult> {
  const made: string[] = [];
  let [held, shared] = await Promise.all([cluster.read(names.keySecret), cluster.read(names.certSecret)]);
  if (held === undefined) {
    if (shared !== undefined) {
      throw new CliError(
        `Secret ${names.certSecret} is there without ${names.keySecret}: restore the key, or delete the certificate's Secret to have a new CA made`,
      );
    }
    const { certPem, keyPem } = await createCa(options);
    const wanted = { [names.certKey]: certPem, [names.keyKey]: keyPem };
    if (await cluster.create(names.keySecret, wanted)) {
      made.push(names.keySecret);
      held = wanted;
    } else held = await cluster.read(names.keySecret);
  }
  const keyPem = textOf(held, names.keySecret, names.keyKey);
  const certPem = held?.[names.certKey] ?? textOf(shared, names.certSecret, names.certKey);
  if (shared === undefined) {
    shared = { [names.certKey]: certPem };
    if (await cluster.create(names.certSecret, shared)) made.push(names.certSecret);
    else shared = await cluster.read(names.certSecret);
  }
  const trusted = textOf(shared, names.certSecret, names.certKey);
  // Throws, with names and without what they hold, where workloads would trust another CA than the one that signs.
  parseCa(trusted, keyPem, {
    certName: `${names.certKey} of Secret ${names.certSecret}`,
    keyName: `${names.keyKey} of Secret ${names.keySecret}`,
  });
  return { made, fingerprint: new X509Certificate(trusted).fingerprint256 };
}

function textOf(data: SecretData | undefined, secret: string, key: string): string {
  const text = data?.[key] ?? "";
  if (text.trim() !== "") return text;
  throw new CliError(
    `Secret ${secret} has no ${key}: put it there, or delete both of the CA's Secrets to have a new CA made`,
  );
}
