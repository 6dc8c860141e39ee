import assert from "node:assert/strict";
import type { Rejection } from "../../../src/pipeline/types.ts";
import { makeHmacSign } from "../../../src/transforms/hmac-sign/index.ts";
import { type Built, buildTransform, type FakeSource } from "../../helpers/build-transform.ts";
import type { FakeExchange } from "../../helpers/exchange.ts";

/** 2023-11-14T22:13:20Z, the time of the vectors. */
export const now = 1_700_000_000_000;
export const nonce = "00112233445566778899aabbccddeeff";

/** A scheme as most tests want it; `config` replaces its keys one by one. */
export function signerWith(
  config: Record<string, unknown>,
  sources: Record<string, FakeSource> = { key: "k" },
  time: () => number = () => now,
): Built {
  const built = buildTransform(
    makeHmacSign({ now: time, nonce: () => nonce }),
    {
      signature: { message: "{{.Timestamp}}{{.Method}}{{.PathWithQuery}}{{.Body}}" },
      credentials: { secret: { type: "test", name: "key" } },
      headers: [{ name: "X-Signature", value: "{{.Signature}}" }],
      rules: [{ host: "*" }],
      ...config,
    },
    sources,
  );
  assert.deepEqual(built.errors, []);
  return built;
}

/** Credentials from sources of the same name, besides `secret` from the source `key`. */
export function credentials(...names: string[]): Record<string, unknown> {
  const others = names.map((name) => [name, { type: "test", name }] as const);
  return { secret: { type: "test", name: "key" }, ...Object.fromEntries(others) };
}

/** Runs a transform that has to go on, and says whether it waited for something. */
export async function signs(built: Built, exchange: FakeExchange): Promise<{ waited: boolean }> {
  const verdict = built.transform.onRequest?.(exchange);
  assert.equal(await verdict, undefined);
  assert.ok(exchange.annotations["injected"], "nothing was injected");
  return { waited: verdict instanceof Promise };
}

/** Runs a transform that has to refuse, and checks that the reason is said everywhere and nothing was written. */
export async function refused(built: Built, exchange: FakeExchange): Promise<Rejection> {
  const headers = [...exchange.request.headers];
  const { query } = exchange.request;
  const verdict = await built.transform.onRequest?.(exchange);
  assert.ok(verdict?.kind === "reject", "the request was not refused");
  const rejection = verdict;
  assert.equal(exchange.annotations["rejected"], rejection.reason);
  assert.equal(exchange.annotations["injected"], undefined);
  assert.deepEqual([...exchange.request.headers], headers);
  assert.equal(exchange.request.query, query);
  if (rejection.reason === "plaintext_upstream") return rejection;
  const { status, reason } = rejection;
  assert.deepEqual(rejection.response, {
    status,
    headers: [["Content-Type", "application/json"]],
    body: `{"error":"hmac_sign","reason":"${reason}"}`,
  });
  return rejection;
}

/** The one value of a header. */
export function header(exchange: FakeExchange, name: string): string {
  const values = exchange.request.headers.getAll(name);
  assert.equal(values.length, 1, `${name} stands ${values.length} times`);
  return values[0] as string;
}
