// What the tests of the operator's ports share: a world, the management key, and what asks those ports.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { type Client, openAbsolute } from "./harness/client.ts";
import type { Address, Sallyport } from "./harness/sallyport.ts";
import { openWorld } from "./harness/world.ts";

export const world = await openWorld();
export const key = world.canary.secret("management-key");
export const env = { IRON_MANAGEMENT_API_KEY: key };
export const operated = { metrics: { listen: "127.0.0.1:0" }, management: { listen: "127.0.0.1:0" } };

/** The URL of an operator's port, as the log names it. */
export function urlOf(of: Sallyport, name: "metrics" | "management"): string {
  const line = of.log.find(({ msg }) => msg === `${name} server starting`);
  return `http://${String(line?.["addr"])}`;
}

export async function ask(
  url: string,
  method = "GET",
  authorization?: string,
): Promise<{ status: number; headers: Headers; text: string }> {
  const headers = authorization === undefined ? {} : { authorization };
  const response = await fetch(url, { method, headers });
  const text = await response.text();
  world.canary.listen(`the answer of ${url}`)(Buffer.from(text));
  return { status: response.status, headers: response.headers, text };
}

export const reloadOf = (of: Sallyport) =>
  ask(`${urlOf(of, "management")}/v1/reload`, "POST", `Bearer ${key}`);

export async function statusOf(of: Sallyport): Promise<Record<string, unknown>> {
  const { status, text } = await ask(`${urlOf(of, "management")}/v1/status`, "GET", `Bearer ${key}`);
  assert.equal(status, 200);
  return JSON.parse(text) as Record<string, unknown>;
}

export function rewrite(
  of: Sallyport,
  change: (config: Record<string, object> & { transforms: object[] }) => void,
): void {
  const config = JSON.parse(readFileSync(of.configFile, "utf8")) as Parameters<typeof change>[0];
  change(config);
  writeFileSync(of.configFile, JSON.stringify(config));
}

export function clientOf(of: Sallyport, authority = world.plainAuthority): Promise<Client> {
  return openAbsolute(world.context, of.addresses.http as Address, authority);
}

/** Values of one family: labels as they are written, and the number. */
export async function series(of: Sallyport, name: string): Promise<Map<string, number>> {
  const { text } = await ask(`${urlOf(of, "metrics")}/metrics`);
  const lines = text.split("\n").filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
  return new Map(
    lines.map((line) => {
      const at = line.lastIndexOf(" ");
      return [line.slice(name.length, at), Number(line.slice(at + 1))];
    }),
  );
}
