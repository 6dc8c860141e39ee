import assert from "node:assert/strict";
import { secrets } from "../../../src/transforms/secrets/index.ts";
import { buildTransform, type FakeSource } from "../../helpers/build-transform.ts";
import { type FakeExchange, fakeExchange, type FakeRequest } from "../../helpers/exchange.ts";

export const placeholder = "proxy-openai-abc123";
export const real = "sk-real-openai-key";
export const rules = [{ host: "api.example.com" }];

export type Entry = Record<string, unknown>;

export function replaceEntry(replace: Entry = {}, more: Entry = {}): Entry {
  return {
    source: { type: "test", name: "OPENAI" },
    rules,
    replace: { proxy_value: placeholder, ...replace },
    ...more,
  };
}

export async function send(
  entries: readonly Entry[],
  request: FakeRequest,
  sources: Record<string, FakeSource> = { OPENAI: real, OTHER: "other-real-value" },
) {
  const built = buildTransform(secrets, { secrets: entries }, sources);
  assert.deepEqual(built.errors, []);
  const exchange = fakeExchange(request);
  const verdict = await built.transform.onRequest?.(exchange);
  return { ...built, exchange, verdict, headers: [...exchange.request.headers] };
}

export function bodyText(exchange: FakeExchange): string | undefined {
  return exchange.request.body.bytes?.toString("utf8");
}
