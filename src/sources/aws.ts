import type { SSMClientConfig } from "@aws-sdk/client-ssm";
import { ask } from "./http.ts";
import { text, type KeyError, type SourceContext } from "./kind.ts";

/** Keys of both AWS sources. */
export const awsKeys = {
  region: text.optional().describe("AWS region; if absent that of the ARN, then of the environment"),
  endpoint: text.optional().describe("URL of the service in place of AWS's own"),
};

/** Variables from which the SDK takes the proxy's own AWS identity. */
export const awsVariables = [
  "AWS_ACCESS_KEY_ID",
  "AWS_SECRET_ACCESS_KEY",
  "AWS_SESSION_TOKEN",
  "AWS_WEB_IDENTITY_TOKEN_FILE",
  "AWS_CONTAINER_AUTHORIZATION_TOKEN",
  "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
  "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
  "AWS_CONTAINER_CREDENTIALS_FULL_URI",
];

/** Where a source asks. */
export interface AwsPlace {
  readonly region: string | undefined;
  readonly endpoint: string | undefined;
}

/** Place of a source by its keys: the region is that of the key, else of the ARN. */
export function awsPlace(
  { region, endpoint }: { region?: string | undefined; endpoint?: string | undefined },
  nameOrArn: string,
  error: KeyError,
): AwsPlace {
  if (endpoint !== undefined && !/^https?:\/\/[^/?#@\s]+\/?$/i.test(endpoint)) {
    error(
      "endpoint",
      '"endpoint" must be an http or https URL without a path, such as "http://localhost:4566"',
    );
  }
  const arnRegion = nameOrArn.startsWith("arn:") ? nameOrArn.split(":")[3] : undefined;
  return { region: region ?? (arnRegion || undefined), endpoint };
}

type AwsConfig = Pick<
  SSMClientConfig,
  "region" | "endpoint" | "credentials" | "requestHandler" | "retryStrategy"
>;

/**
 * Configuration of an SDK client. Static keys come from the environment of the registry, as the SDK's chain
 * does it first; all else (profile, SSO, web identity, container, instance) is the SDK's own chain.
 * @param service as in the SDK's `AWS_ENDPOINT_URL_<SERVICE>`
 */
export function awsConfig(place: AwsPlace, service: string, { env, dispatcher }: SourceContext): AwsConfig {
  const region = place.region ?? (env.AWS_REGION || env.AWS_DEFAULT_REGION || undefined);
  const endpoint =
    place.endpoint ?? (env[`AWS_ENDPOINT_URL_${service}`] || env.AWS_ENDPOINT_URL || undefined);
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = env;
  const sessionToken = env.AWS_SESSION_TOKEN || undefined;
  return {
    ...(region === undefined ? {} : { region }),
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(accessKeyId && secretAccessKey && !env.AWS_PROFILE
      ? {
          credentials: {
            accessKeyId,
            secretAccessKey,
            ...(sessionToken === undefined ? {} : { sessionToken }),
          },
        }
      : {}),
    requestHandler: awsRequestHandler(dispatcher),
    retryStrategy,
  };
}

/** What the SDK hands to its HTTP handler. */
interface SdkRequest {
  readonly method: string;
  readonly protocol: string;
  readonly hostname: string;
  readonly port?: number | undefined;
  readonly path: string;
  readonly query?: Record<string, string | string[] | null> | undefined;
  readonly headers: Record<string, string>;
  readonly body?: unknown;
}

/** Sends the SDK's requests as every other source's are sent: same dialler, bounded answer. */
export function awsRequestHandler(dispatcher: SourceContext["dispatcher"]) {
  return {
    metadata: { handlerProtocol: "http/1.1" },
    updateHttpClientConfig() {},
    httpHandlerConfigs: () => ({}),
    async handle(request: SdkRequest, options: { abortSignal?: unknown } = {}) {
      const { host: _, "content-length": __, ...headers } = request.headers; // undici sets its own
      const port = request.port === undefined ? "" : `:${request.port}`;
      const answer = await ask({
        method: request.method,
        url: `${request.protocol}//${request.hostname}${port}${request.path}${queryOf(request)}`,
        headers,
        body:
          typeof request.body === "string" || request.body instanceof Uint8Array ? request.body : undefined,
        signal: options.abortSignal as AbortSignal | undefined,
        dispatcher,
      });
      return { response: { statusCode: answer.status, headers: answer.headers, body: answer.body } };
    },
  };
}

function queryOf({ query = {} }: SdkRequest): string {
  const pairs = Object.entries(query).flatMap(([name, value]) =>
    [value]
      .flat()
      .map((one) => encodeURIComponent(name) + (one === null ? "" : `=${encodeURIComponent(one)}`)),
  );
  return pairs.length === 0 ? "" : `?${pairs.join("&")}`;
}

interface RetryToken {
  getRetryCount(): number;
  getRetryDelay(): number;
}

const retryDelaysMs = [100, 300];

/**
 * Tries again only after a fault that is likely gone in a moment. After a rate limit the SDK's own strategy
 * would sleep inside the source's time limit and ask again; here the cache backs off instead.
 */
const retryStrategy = {
  acquireInitialRetryToken: () => Promise.resolve(retryToken(0)),
  refreshRetryTokenForRetry(token: RetryToken, { errorType }: { errorType: string }) {
    const count = token.getRetryCount() + 1;
    const allowed = errorType === "TRANSIENT" && count <= retryDelaysMs.length;
    return allowed ? Promise.resolve(retryToken(count)) : Promise.reject(new Error("no further attempt"));
  },
  recordSuccess() {},
};

function retryToken(count: number): RetryToken {
  return { getRetryCount: () => count, getRetryDelay: () => retryDelaysMs[count - 1] ?? 0 };
}
