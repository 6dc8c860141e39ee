import { type Candidate, groupEntries, type Group } from "./groups.ts";
import { sourceOf } from "./source.ts";
import type {
  AwsAuthEntry,
  Entry,
  HmacSignEntry,
  InjectEntry,
  OauthTokenEntry,
  RenderedTransform,
  RenderOptions,
  ReplaceEntry,
  SecretRef,
  Tool,
  Where,
} from "./types.ts";

/** Rendered transforms, in the order they run, each with where it was declared. */
export interface Rendering {
  readonly transforms: readonly RenderedTransform[];
  /** For each transform: the first declaration of each element of its list, or of the whole. */
  readonly origins: readonly (readonly Where[])[];
}

type Data = Readonly<Record<string, unknown>>;

/**
 * Renders declarations as plain entries of `transforms:`. The result holds references, never values, and depends on
 * nothing but its arguments; neither the order of the tools nor that of their entries changes a byte.
 *
 * What several tools declare alike becomes one entry with the hosts of all. With `callers` each rule names the tools
 * that declare its host.
 */
export function renderTransforms(tools: readonly Tool[], options: RenderOptions): Rendering {
  const candidates = tools.flatMap(({ name, secrets }) => secrets.map((entry) => ({ tool: name, entry })));
  const transforms: RenderedTransform[] = [];
  const origins: Where[][] = [];
  const add = (name: RenderedTransform["name"], config: Data, from: readonly Group[]): void => {
    transforms.push({ name, config });
    origins.push(from.map(({ where }) => where));
  };
  const groupsOf = (type: Entry["type"]) => groupEntries(candidates, type, options, bodyOf);
  const secrets = groupsOf("http");
  if (secrets.length > 0) add("secrets", { secrets: secrets.map(withRules) }, secrets);
  for (const group of groupsOf("gcp_auth")) add("gcp_auth", withRules(group), [group]);
  const tokens = groupsOf("oauth_token");
  if (tokens.length > 0) add("oauth_token", { tokens: tokens.map(withRules) }, tokens);
  for (const group of groupsOf("hmac_sign")) add("hmac_sign", withRules(group), [group]);
  for (const group of groupsOf("aws_auth")) add("aws_auth", withRules(group), [group]);
  return { transforms, origins };
}

/** One entry by itself; `undefined` for a type that is not rendered. */
export function renderEntry(entry: Entry, options: RenderOptions): RenderedTransform | undefined {
  const tool: Tool = { name: "", directory: "", file: "", description: undefined, secrets: [entry] };
  return renderTransforms([tool], options).transforms[0];
}

function withRules({ body, rules }: Group): Data {
  return { ...body, rules };
}

/** What an entry becomes, without hosts and scopes. `undefined` keys are left out. */
function bodyOf(entry: Candidate["entry"], options: RenderOptions): Data {
  const source = (secret: SecretRef) => sourceOf(secret, options);
  const sources = (secrets: ReadonlyMap<string, SecretRef>) =>
    Object.fromEntries([...secrets].map(([name, secret]) => [name, source(secret)]));
  switch (entry.type) {
    case "http":
      return { source: source(entry.secret), ...placement(entry) };
    case "gcp_auth":
      return { keyfile: source(entry.secret) };
    case "oauth_token":
      return oauthBody(entry, sources);
    case "hmac_sign":
      return hmacBody(entry, sources);
    case "aws_auth":
      return awsBody(entry, source);
  }
}

function placement(entry: ReplaceEntry | InjectEntry): Data {
  if (entry.mode === "replace") {
    return {
      replace: {
        proxy_value: entry.placeholder,
        match_headers: [...entry.matchHeaders],
        ...(entry.matchPath ? { match_path: true } : {}),
        ...(entry.matchQuery ? { match_query: true } : {}),
      },
    };
  }
  const { target } = entry;
  if (target.kind === "query") return { inject: { query_param: target.parameter } };
  return { inject: { header: target.header, ...given({ formatter: target.formatter }) } };
}

type Sources = (secrets: ReadonlyMap<string, SecretRef>) => Data;

function oauthBody(entry: OauthTokenEntry, sources: Sources): Data {
  const headers = sources(entry.tokenEndpointHeaders);
  return {
    grant: entry.grant,
    token_endpoint: entry.tokenEndpoint,
    ...sources(entry.fields),
    ...given({ audience: entry.audience }),
    ...(entry.tokenEndpointHeaders.size > 0 ? { token_endpoint_headers: headers } : {}),
    ...given({ header: entry.header, value_prefix: entry.valuePrefix }),
  };
}

function hmacBody(entry: HmacSignEntry, sources: Sources): Data {
  return {
    ...(entry.timestampFormat === undefined ? {} : { timestamp: { format: entry.timestampFormat } }),
    signature: {
      ...given({
        algorithm: entry.algorithm,
        key_encoding: entry.keyEncoding,
        output_encoding: entry.outputEncoding,
      }),
      message: entry.message,
    },
    credentials: sources(entry.credentials),
    headers: entry.headers.map(({ name, value }) => ({ name, value })),
    ...(entry.allowChunkedBody ? { allow_chunked_body: true } : {}),
  };
}

function awsBody(entry: AwsAuthEntry, source: (secret: SecretRef) => Data): Data {
  return {
    access_key_id: source(entry.accessKeyId),
    secret_access_key: source(entry.secretAccessKey),
    ...(entry.sessionToken === undefined ? {} : { session_token: source(entry.sessionToken) }),
    ...(entry.allowedRegions.length > 0 ? { allowed_regions: sorted(entry.allowedRegions) } : {}),
    ...(entry.allowedServices.length > 0 ? { allowed_services: sorted(entry.allowedServices) } : {}),
  };
}

function sorted(words: readonly string[]): readonly string[] {
  return [...new Set(words)].sort();
}

/** The keys that have a value. */
function given(keys: Readonly<Record<string, string | undefined>>): Data {
  return Object.fromEntries(Object.entries(keys).filter(([, value]) => value !== undefined));
}
