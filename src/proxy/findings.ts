import { findingFields } from "../audit/finding.ts";
import { type Issue, issueAt, type Locate } from "../config/issues.ts";
import type { Config } from "../config/types.ts";
import type { KnownValues } from "../findings/known-values.ts";
import { Webhook, type WebhookOptions } from "../findings/webhook.ts";
import type { Transform } from "../pipeline/types.ts";
import type { SourceRegistry } from "../sources/registry.ts";
import { Secret, type SecretHandle } from "../sources/types.ts";
import { toByteString } from "../transforms/byte-string.ts";

/** Takes in the values that the sources hold now, so that they are known before any of them goes out. Nothing is read for it. */
export function learnValues(transforms: readonly Transform[], known: KnownValues): void {
  for (const { handle, placeholder } of transforms.flatMap(({ exposes = [] }) => exposes)) {
    const value = heldBy(handle);
    if (value === undefined) continue;
    const text = toByteString(value.reveal());
    if (placeholder === undefined || toByteString(placeholder) !== text) {
      known.learn({ value: text, name: handle.name, replacement: "" });
    }
  }
}

function heldBy(handle: SecretHandle): Secret | undefined {
  try {
    const value = handle.get();
    if (value instanceof Secret) return value;
    value.catch(() => {});
  } catch {
    // The cache has said why.
  }
  return undefined;
}

/** The source of `findings.webhook.secret`, with what is wrong about it; `undefined` where there is no webhook. */
export function webhookSecret(
  { findings, file }: Config,
  sources: Pick<SourceRegistry, "handle">,
  locate: Locate,
): { readonly handle: SecretHandle | undefined; readonly issues: readonly Issue[] } {
  const { webhook } = findings;
  if (webhook === undefined) return { handle: undefined, issues: [] };
  const issues: Issue[] = [];
  const place = { file: file ?? "(no configuration file)", locate };
  const handle = sources.handle(webhook.secret, (path, message) => {
    const part = message.startsWith("unknown key") ? "key" : "value";
    issues.push(issueAt("error", place, ["findings", "webhook", "secret", ...path], message, part));
  });
  return { handle, issues };
}

/** What posts the findings of a configuration; `undefined` where nobody wants them. */
export function openWebhook(
  { findings: { webhook } }: Config,
  secret: SecretHandle | undefined,
  options: Pick<WebhookOptions, "dispatcher" | "onProblem" | "onRecovery">,
): Webhook | undefined {
  if (webhook === undefined || secret === undefined) return undefined;
  const { url, timeoutMs } = webhook;
  return new Webhook({
    ...options,
    url,
    secret,
    timeoutMs,
    bodyOf: (record) =>
      JSON.stringify({
        type: "finding",
        time: new Date(record.time).toISOString(),
        finding: findingFields(record),
      }),
  });
}
