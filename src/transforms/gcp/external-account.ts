import type {
  AwsClientOptions,
  BaseExternalAccountClient,
  gaxios,
  IdentityPoolClientOptions,
  PluggableAuthClientOptions,
} from "google-auth-library";
import type { Dispatcher } from "undici";
import { isLoopbackHost, parseHost } from "../../http/authority.ts";
import { ask, networkProblem } from "../../sources/http.ts";
import { at, textAt } from "../../sources/json.ts";
import { Secret } from "../../sources/types.ts";
import { MintError } from "../minting/mint-error.ts";
import { tokenField } from "../minting/token-endpoint.ts";
import type { GoogleToken, MintContext } from "./mint.ts";
import type { CheckTokenUrl } from "./token-hosts.ts";

/**
 * An access token by workload identity federation (`external_account`): another platform's token for this workload, from
 * a file, a URL, AWS or a program, is exchanged for one of Google's. Google's library knows those platforms; it is
 * loaded on first use, and speaks HTTP through us.
 * @throws {MintError}
 */
export async function mintExternal(
  json: object,
  scopes: readonly string[],
  checkUrl: CheckTokenUrl,
  context: MintContext,
): Promise<GoogleToken> {
  for (const field of ["token_url", "token_info_url", "service_account_impersonation_url"]) {
    const url = textAt(json, field) ?? "";
    if (url !== "") checkUrl(url, `${field} of the credentials file`);
  }
  const impersonated = textAt(json, "service_account_impersonation_url") || undefined;
  const problem: { status?: number; code?: string | undefined } = {};
  try {
    const client = await clientOf(json, scopes, transport(context, problem));
    const { token } = await client.getAccessToken();
    const expiry = client.credentials.expiry_date;
    const lifetimeMs = typeof expiry === "number" ? expiry - context.now : undefined;
    const value = tokenField({ fields: { access_token: token } }, "access_token");
    return { token: new Secret(value), lifetimeMs, principal: impersonated };
  } catch (error) {
    if (error instanceof MintError) throw error;
    // The library's own texts quote what was sent and what came back (I14).
    if (problem.status !== undefined) {
      const reason = `token_endpoint_http_${problem.status}`;
      throw new MintError(reason, `an answer for the external account had status ${problem.status}`);
    }
    if (problem.code !== undefined) throw new MintError("token_endpoint_error", problem.code);
    throw new MintError(
      "mint_failed",
      "the external account's configuration or its subject token cannot be used",
    );
  }
}

/** Options of every kind of external account; which keys there are is for the library to check. */
type Options = AwsClientOptions & IdentityPoolClientOptions & PluggableAuthClientOptions;

async function clientOf(
  json: object,
  scopes: readonly string[],
  transporterOptions: gaxios.GaxiosOptions,
): Promise<BaseExternalAccountClient> {
  const source = at(json, "credential_source");
  if (at(source, "certificate") !== undefined) {
    throw new MintError("mint_failed", "external accounts with a certificate are not supported");
  }
  const library = await import("google-auth-library");
  // Its interceptors would write requests and answers to a debug log.
  const own = { scopes: [...scopes], transporterOptions, useAuthRequestParameters: false };
  const options = { ...json, ...own } as unknown as Options;
  const client = makeClient(library, source, options);
  // The class makes itself another transporter for the exchange.
  const exchange: unknown = Reflect.get(client, "stsCredential");
  if (typeof exchange !== "object" || exchange === null) throw new Error("no stsCredential");
  Reflect.set(exchange, "transporter", client.transporter);
  return client;
}

function makeClient(
  { AwsClient, IdentityPoolClient, PluggableAuthClient }: typeof import("google-auth-library"),
  source: unknown,
  options: Options,
): BaseExternalAccountClient {
  if (at(source, "environment_id") !== undefined) return new AwsClient(options);
  if (at(source, "executable") !== undefined) return new PluggableAuthClient(options);
  return new IdentityPoolClient(options);
}

/** The library's HTTP: guarded, bounded, redirects not followed, one attempt; the minter decides on the next. */
function transport(
  { dispatcher, signal }: MintContext,
  problem: { status?: number; code?: string | undefined },
): gaxios.GaxiosOptions {
  const fetchImplementation = async (input: unknown, init: RequestInit = {}): Promise<Response> => {
    const url = new URL(String(input));
    const { body } = init;
    try {
      const answer = await ask({
        method: init.method ?? "GET",
        url: url.href,
        headers: Object.fromEntries(new Headers(init.headers)),
        body: body === undefined || body === null ? undefined : textOf(body),
        signal,
        dispatcher: dispatcherFor(url, dispatcher),
      });
      if (answer.status < 200 || answer.status > 299) problem.status = answer.status;
      const content = answer.status === 204 ? null : new Uint8Array(answer.body);
      const response = new Response(content, { status: answer.status, headers: answer.headers });
      Object.defineProperty(response, "url", { value: url.href });
      return response;
    } catch (error) {
      problem.code = networkProblem(error) ?? "no usable answer for the external account";
      throw error;
    }
  };
  return {
    fetchImplementation,
    async adapter(options, send) {
      options.retry = false;
      delete options.retryConfig;
      return send(options);
    },
  };
}

function textOf(body: NonNullable<RequestInit["body"]>): string {
  if (typeof body === "string" || body instanceof URLSearchParams) return body.toString();
  throw new TypeError("a body that is no text");
}

/** The metadata services of AWS and Azure. */
const metadataHosts: ReadonlySet<string> = new Set(["169.254.169.254", "fd00:ec2::254"]);

/** The platform's own identity is on this machine, which the deny list keeps workloads from, not the proxy. */
function dispatcherFor({ hostname }: URL, dispatcher: Dispatcher): Dispatcher | undefined {
  const host = parseHost(hostname);
  return metadataHosts.has(host.name) || isLoopbackHost(host) ? undefined : dispatcher;
}
