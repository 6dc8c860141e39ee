import assert from "node:assert/strict";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";
import { Agent } from "undici";
import type { Clock } from "../../../src/sources/clock.ts";
import { makeOauthToken } from "../../../src/transforms/oauth-token/index.ts";
import { buildTransform, type Built, type FakeSource } from "../../helpers/build-transform.ts";
import { type FakeExchange, fakeExchange, type FakeRequest } from "../../helpers/exchange.ts";

export type Entry = Record<string, unknown>;

/** A request as a token endpoint got it. */
export interface TokenRequestSeen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  readonly body: string;
}

export interface IssuerAnswer {
  readonly status?: number;
  readonly headers?: Record<string, string>;
  /** An object is sent as JSON. `never` leaves the request without an answer. */
  readonly body: unknown;
}

export interface Issuer {
  readonly endpoint: string;
  /** `127.0.0.1:port`. */
  readonly authority: string;
  readonly requests: readonly TokenRequestSeen[];
}

/** A token endpoint on this machine. `answer` is told how many requests there were before. */
export async function startIssuer(
  t: TestContext,
  answer: (request: TokenRequestSeen, index: number) => IssuerAnswer | Promise<IssuerAnswer>,
): Promise<Issuer> {
  const requests: TokenRequestSeen[] = [];
  const server = createServer((request, response) => {
    let body = "";
    request.setEncoding("latin1").on("data", (chunk: string) => {
      body += chunk;
    });
    request.on("end", () => {
      const { method = "", url = "", headers, rawHeaders } = request;
      requests.push({ method, url, headers, rawHeaders, body });
      const given = answer({ method, url, headers, rawHeaders, body }, requests.length - 1);
      void Promise.resolve(given).then(({ status = 200, headers: fields, body: content }) => {
        if (content === never) return;
        response.writeHead(status, { "Content-Type": "application/json", ...fields });
        response.end(typeof content === "string" ? content : JSON.stringify(content));
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const authority = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { endpoint: `http://${authority}/oauth2/token`, authority, requests };
}

export const never = Symbol("never");

/** An issuer whose tokens are `token-1`, `token-2`, ... and live for an hour. */
export function startGoodIssuer(t: TestContext, more: Record<string, unknown> = {}): Promise<Issuer> {
  return startIssuer(t, (_, index) => ({
    body: { access_token: `token-${index + 1}`, token_type: "Bearer", expires_in: 3600, ...more },
  }));
}

export const rules = [{ host: "api.example.com" }];
export const source = (name: string) => ({ type: "test", name });

/** Values of the sources that {@link entryOf} names. */
export const values = {
  refresh_token: "discrete-refresh-token",
  client_id: "discrete-client-id",
  client_secret: "discrete-client-secret",
  username: "alice@x.io",
  password: "s3 cret",
  issuer: "robot@x.io",
  subject: "bob@x.io",
} as const;

const fields: Readonly<Record<string, readonly string[]>> = {
  refresh_token: ["refresh_token", "client_id", "client_secret"],
  client_credentials: ["client_id", "client_secret"],
  password: ["username", "password", "client_id", "client_secret"],
  jwt_bearer: ["issuer", "subject", "private_key"],
};

/** A complete entry of a grant. */
export function entryOf(grant: string, endpoint: string, more: Entry = {}): Entry {
  const sources = Object.fromEntries((fields[grant] ?? []).map((field) => [field, source(field)]));
  const audience = grant === "jwt_bearer" ? { audience: endpoint } : {};
  return { grant, token_endpoint: endpoint, ...sources, ...audience, rules, ...more };
}

export interface Options {
  readonly clock?: Clock;
  readonly now?: () => number;
}

/** Builds the transform; its connections end with the test. */
export function build(
  t: TestContext,
  tokens: readonly Entry[],
  sources: Record<string, FakeSource> = values,
  options: Options = {},
): Built {
  const dispatcher = new Agent();
  t.after(() => dispatcher.destroy());
  return buildTransform(makeOauthToken(options), { tokens }, sources, dispatcher);
}

export interface Sent {
  readonly exchange: FakeExchange;
  readonly verdict: unknown;
  readonly headers: [string, string][];
  readonly authorization: string | undefined;
  /** Everything a workload or an operator can see of it. */
  readonly shown: string;
}

/** Sends one request through. */
export async function send({ transform, errors, logs }: Built, request: FakeRequest = {}): Promise<Sent> {
  assert.deepEqual(errors, []);
  const exchange = fakeExchange(request);
  const verdict = await transform.onRequest?.(exchange);
  const headers = [...exchange.request.headers];
  const authorization = exchange.request.headers.get("authorization");
  const shown = JSON.stringify([verdict, exchange.annotations, logs]);
  return { exchange, verdict, headers, authorization, shown };
}

/** The refusal of an entry that could get no token. */
export function refusalOf(grant: string) {
  return {
    kind: "reject",
    status: 502,
    reason: "token_unavailable",
    response: {
      status: 502,
      headers: [["Content-Type", "application/json"]],
      body: `{"error":"oauth_token failed to mint an access token","grant":"${grant}"}`,
    },
  };
}
