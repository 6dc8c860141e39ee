// I12: docs/limits.md against the code, in both directions.
import assert from "node:assert/strict";
import { existsSync, globSync } from "node:fs";
import { test } from "node:test";
import { configJsonSchema } from "../../src/config/json-schema.ts";
import { defaultCacheSettings } from "../../src/sources/cache.ts";
import { sourceKinds } from "../../src/sources/registry.ts";
import { transformKinds } from "../../src/transforms/registry.ts";
import { codes, read, root, rows } from "./pages.ts";

interface Limit {
  readonly what: string;
  readonly limit: string;
  /** The configuration key; empty for a number of the code. */
  readonly key: string;
  /** Empty where nothing is limited. */
  readonly owner: string;
}

const limits = rows(read("docs/limits.md")).map(
  ([what = "", limit = "", key = "", owner = ""]): Limit => ({
    what,
    limit,
    key,
    owner: codes(owner)[0] ?? "",
  }),
);

/** Numbers that have no key: the constant that each row is about, and how the page writes its unit. */
const constants: Readonly<Record<string, readonly [constant: string, unit: string]>> = {
  "Processes that `proxy.workers` can ask for": ["maxWorkers", ""],
  "Configurations whose credentials workers can ask for": ["maxGenerations", ""],
  "Longest pause before a worker that died soon after its start is followed": ["longestPauseMs", "s"],
  "Records of a worker on their way to the first process": ["maxBytesUnderWay", "MiB"],
  "What a worker is told, item by item, that its configuration has no use for": ["maxWaiting", ""],
  "Workers in a row that die soon after their start, besides one for each worker": ["maxEarlyDeaths", ""],
  "A credential or token that a worker was given is used": ["leaseMs", "s"],
  "Counts of a worker, between reports nobody asked for": ["reportEveryMs", "s"],
  "A worker saying that it knows a captured token": ["learnMs", "s"],
  "A worker putting another configuration in force": ["applyMs", "s"],
  "A worker telling its counts, or ending beyond the time for a stop": ["answerMs", "s"],
  "A TLS session of a client can be resumed": ["sessionTimeout", "h of s"],
  "Reading on after the last answer of a connection, so that the client sees it": ["lingerMs", "s"],
  "A peer that takes nothing of what is left for it after the other side has ended": ["unreadMs", "s"],
  "Reading on after the last frame of an HTTP/2 connection": ["lingerMs", "s"],
  "Streams that a client opens before it knows of a drain": ["lastCallMs", "s"],
  "A frame of HTTP/2, as it is received": ["maxFrameSize", "bytes"],
  "A DATA frame, as it is sent": ["longestData", "kB"],
  "Body bytes of one HTTP/2 stream that nobody has read, either side": ["streamWindow", "kB"],
  "The same for all streams of a client connection": ["connectionWindow", "kB"],
  "Body bytes on their way from an upstream on one HTTP/2 connection": ["clientWindow", "kB"],
  "Requests on one HTTP/2 connection to an upstream at a time": ["maxOwnStreams", ""],
  "Upstreams remembered to speak HTTP/2, or only that": ["maxKnown", ""],
  "HPACK's table of what a peer sends": ["hpackTableSize", "bytes"],
  "HPACK's table of what is sent": ["maxTableSize", "bytes"],
  "A value in that table": ["maxIndexedValue", "bytes"],
  "SETTINGS, PING, PRIORITY, empty DATA and unknown frames of one connection in a second, and WINDOW_UPDATE beyond two for each frame of data sent":
    ["maxControlFrames", ""],
  "Frames of one header block": ["maxContinuations", ""],
  "Streams of a connection remembered after their end": ["maxRemembered", ""],
  "A resolved name is kept": ["keepNamesMs", "s"],
  "Head start of one address over the next": ["headStartMs", "ms"],
  "Waiting for `100 Continue` of an upstream": ["continueMs", "s"],
  "Longest `Retry-After` of a secret store that is obeyed": ["longestRetryAfter", "h"],
  "Minting a token": ["mintTimeoutMs", "s"],
  "A request of an operator, on the metrics or management port": ["adminTimeoutMs", "s"],
  "Header of a request of an operator": ["maxAdminHeaderBytes", "kB"],
  "Connections of operators to one port": ["maxAdminConnections", ""],
  "Hosts and patterns that become labels of metrics": ["maxHostLabels", ""],
  "Hosts whose label is remembered": ["maxRememberedHosts", ""],
  "Audit records that wait for a collector, where `OTEL_BLRP_MAX_QUEUE_SIZE` says nothing else": [
    "maxQueue",
    "",
  ],
  "The same, whatever the variable says": ["maxQueueAllowed", ""],
  "Audit records in one message to a collector": ["maxBatch", ""],
  "Pause after a failed mint": ["longestPauseMs", "s"],
  "A token whose issuer does not say how long it lives": ["unknownLifetimeMs", "h"],
  "Life of a sandbox's token": ["maxTtl", "h of s"],
  "Audit lines gathered for one write": ["lingerMs", "ms"],
  "A write of the audit or the log that does not move": ["stallMs", "s"],
  "Bytes of a stream that wait for a peer to read": ["maxWaiting", "kB"],
  "The body of a request that is answered before it has arrived, if it says its length": ["drainUpTo", "kB"],
  "A rotated credential is still looked for in answers": ["graceMs", "h"],
  "Waiting for a short answer that is scrubbed, to send it with a length": ["waitMs", "ms"],
  "Silence after which a scrubbed stream is flushed": ["settleMs", "ms"],
  "A scrubbed answer that is waited for to send it with a length": ["maxGathered", "kB"],
  "A compressed answer that is scrubbed in one piece, when decoded": ["maxWhole", "MiB"],
  "A compressed answer, when decoded, from which on the ratio counts": ["bombBytes", "MiB"],
  "The same in bytes for each byte that came": ["maxRatio", ""],
  "Bytes of a stream held back while a credential may have begun in it, for each letter of its longest form":
    ["heldPerSymbol", "bytes"],
  "A piece of a WebSocket message that is scrubbed": ["maxGathered", "kB"],
  "Callers and hosts whose credentials are looked for in answers": ["maxSets", ""],
  "Credentials of one caller and host that are looked for": ["maxCurrent", ""],
  "Rotated ones that are looked for": ["maxOld", ""],
  "Content codings on top of each other": ["maxCodings", ""],
  "Findings told apart in one record": ["maxFindings", ""],
  "A ClientHello": ["maxClientHello", "kB"],
  "The text that `hmac_sign` signs": ["maxMessage", "MiB"],
  "Any other template, and what it gives": ["maxTemplate", "kB"],
  "Nesting in a template": ["maxDepth", ""],
  "A form that `oauth_token` looks at before it answers for a token endpoint": ["maxFormBytes", "kB"],
  "A request that `gcp_auth` or `gcp_id_token` looks at before it answers for Google's token endpoint": [
    "maxBytes",
    "MiB",
  ],
  "A credentials file of `gcp_auth`": ["maxBytes", "kB"],
  "The beginning of a body in the audit record": ["defaultLimit", "bytes"],
  "A credential": ["maxValueBytes", "kB"],
  "An answer of a secret store": ["maxAnswerBytes", "MiB"],
  "An answer of the Kubernetes API to `ca secrets`": ["maxAnswerBytes", "MiB"],
  "A minted token": ["maxTokenBytes", "bytes"],
  "A token of a sandbox": ["maxTokenLength", "characters"],
  "A request to the control service": ["maxBodyBytes", "kB"],
  "A configuration file": ["maxBytes", "MiB"],
  "Values in it": ["maxValues", ""],
  "Nesting in it": ["maxDepth", ""],
  "A tool's `pyproject.toml`": ["maxFileBytes", "kB"],
  "Nesting in a `pyproject.toml`": ["maxDepth", ""],
  "Credentials in each list of a tool": ["maxSecrets", ""],
  "Directories looked into for tools, below each that is given": ["maxDirectories", ""],
  Tools: ["maxTools", ""],
  "Interim (1xx) answers to one request": ["maxInterim", ""],
  "Addresses of one name that are tried": ["maxAttempts", ""],
  "Names being resolved": ["maxPending", ""],
  "Resolved names kept": ["maxKept", ""],
  "TLS sessions with upstreams kept": ["maxSessions", ""],
  "Refused names remembered for that": ["maxNames", ""],
  "`Host` values remembered as parsed": ["maxSeen", ""],
  "Header names remembered in lower case": ["maxSeenNames", ""],
  "Header names remembered for each list of patterns": ["maxRemembered", ""],
  "Hosts and ports remembered for each `secrets` transform": ["maxRemembered", ""],
  "Verified tokens of sandboxes remembered": ["maxRemembered", ""],
  "Connections to the control service": ["maxApiConnections", ""],
  "Derived AWS signing keys for each pair of keys": ["maxKeys", ""],
  "Rotated refresh tokens held": ["maxRotations", ""],
  "Sources read at a time at the start": ["checksAtOnce", ""],
  "An answer of the DNS server over UDP": ["largestDatagram", "bytes"],
  "A DNS query over TCP": ["maxQueryBytes", "bytes"],
  "Silence of a DNS connection over TCP, or one question on it": ["idleMs", "s"],
  "Asking one resolver for a name that is let through": ["attemptMs", "s"],
  "DNS clients whose rate is remembered": ["maxClients", ""],
  "DNS connections over TCP": ["maxConnections", ""],
  "DNS connections over TCP of one client": ["maxOfClient", ""],
  "Queries of one DNS connection at a time": ["maxAtOnce", ""],
  "Questions asked of resolvers at a time": ["maxPending", ""],
  "Resolvers asked one question": ["maxServers", ""],
  "CNAME records of `dns.records` that are followed": ["maxAliases", ""],
  "Audit records a second of refused names": ["maxRefusalRecords", ""],
  "Captured tokens of one caller": ["maxOfCaller", ""],
  "Captured tokens in all": ["maxCaptured", ""],
  "An answer of an issuer that is searched for tokens": ["maxAnswerBytes", "kB"],
  "Levels in it that are looked at": ["maxDepth", ""],
  "Credentials whose real values are looked for in requests": ["maxCredentials", ""],
  "A coded body of a request, when decoded, from which on the ratio counts": ["bombBytes", "MiB"],
  "Bytes of it for each byte that came": ["maxRatio", ""],
  "A compressed message of a request": ["maxCompressed", "MiB"],
  "The same when decoded": ["maxDecoded", "MiB"],
  "Findings told apart in one request": ["maxHits", ""],
  "Findings remembered, to fold those that come again": ["maxFolded", ""],
  "Tokens whose address is remembered": ["maxTokens", ""],
  "Addresses of one token": ["maxAddresses", ""],
  "Findings waiting for the webhook": ["maxWaiting", ""],
  "An answer of the webhook": ["maxAnswer", "kB"],
  "Audit records waiting to be written": ["maxWaiting", "MiB"],
};

/** What the code says, in the base unit: milliseconds, seconds or bytes. */
function constantIn(file: string, name: string): number {
  const expression = new RegExp(`\\b${name}(?:: \\w+)? = ([0-9_* ]+)`).exec(read(file))?.[1];
  assert.ok(expression !== undefined, `${file} has no constant ${name}`);
  return expression
    .split("*")
    .map((factor) => Number(factor.trim().replaceAll("_", "")))
    .reduce((product, factor) => product * factor);
}

const units: Readonly<Record<string, number>> = {
  "": 1,
  bytes: 1,
  characters: 1,
  kB: 1024,
  MiB: 1024 ** 2,
  ms: 1,
  s: 1000,
  h: 3_600_000,
  "h of s": 3600,
};

for (const { what, limit, key, owner } of limits) {
  test(`${what}: ${limit}`, () => {
    if (owner === "") return assert.match(limit, /^no limit$/);
    assert.ok(existsSync(`${root}${owner}`), `${owner} is not there`);
    const config = codes(key)[0];
    if (config?.includes(".")) return assertDefault(config, limit);
    if (key.includes("of a source")) return assertSourceDefault(config as string, limit);
    const [constant, unit] = constants[what] ?? [];
    if (constant === undefined || unit === undefined) {
      return assert.match(limit, /^(?:1|one for each client connection)$/, "name its constant in this test");
    }
    const text = unit === "" ? "" : ` ${unit.split(" ")[0]}`;
    const shown = `${constantIn(owner, constant) / (units[unit] as number)}${text}`;
    assert.ok(limit === shown || limit.endsWith(`up to ${shown}`), `the code says ${shown}`);
  });
}

function assertDefault(key: string, limit: string): void {
  type Node = { default?: string | number | boolean; properties?: Record<string, Node> };
  const schema = configJsonSchema(transformKinds, sourceKinds) as Node;
  const node = key.split(".").reduce<Node | undefined>((above, step) => above?.properties?.[step], schema);
  assert.ok(node !== undefined, `there is no key ${key}`);
  const standard = node.default ?? 0;
  const shown = standard === 0 ? "no limit" : String(standard);
  assert.equal(limit.replace(/ (?:bytes|fields|hours)$/, ""), shown);
}

function assertSourceDefault(key: string, limit: string): void {
  const settings: Readonly<Record<string, number>> = {
    timeout: defaultCacheSettings.timeout,
    failure_ttl: defaultCacheSettings.failureTtl,
  };
  assert.equal(limit, `${(settings[key] as number) / 1000}s`);
}

/** Numbers that bound a text, a list of messages or an alternative spelling, and nothing that can grow. */
const exempt = new Set([
  "src/cli/bootstrap/kubectl.ts maxShownCharacters",
  "src/cli/health.ts maxShownBytes",
  "src/cli/run/output.ts maxHeld",
  "src/cli/run/summary.ts maxNames",
  "src/cli/run/summary.ts maxShown",
  "src/cli/verify/stores.ts maxShownNames",
  "src/config/shape.ts maxRounds",
  "src/http/h1/chunked.ts maxSizeDigits",
  "src/http/h1/names.ts maxSharedLength",
  "src/http/headers.ts maxSeenNameLength",
  "src/pipeline/rules.ts maxDescribed",
  "src/proxy/implicit-allowlist.ts maxListed",
  "src/scrub/rewriter.ts maxSentBegun",
  "src/scrub/spelling.ts maxBackslashes",
  "src/scrub/spelling.ts maxDecimals",
  "src/scrub/spelling.ts maxHexadecimals",
  "src/scrub/websocket.ts maxControl",
  "src/transforms/allowlist.ts maxMethodShown",
  "src/transforms/aws-auth/aws-chunked.ts maxHeader",
  "src/transforms/aws-auth/aws-chunked.ts maxTrailers",
  "src/transforms/aws-auth/credentials.ts maxKeyLength",
  "src/transforms/aws-auth/credentials.ts maxTokenLength",
  "src/transforms/hmac-sign/credentials.ts maxLength",
  "src/transforms/oauth-token/rotation-file.ts maxBytes",
]);

test("I12: a bound in the code has a row, or is named as one that needs none", () => {
  const documented = new Set(
    limits.flatMap(({ what, owner }) => (constants[what] ? [`${owner} ${constants[what][0]}`] : [])),
  );
  const found = globSync("src/**/*.ts", { cwd: root }).flatMap((file) =>
    [...read(file).matchAll(/^(?:export )?const (max[A-Z]\w*)(?:: number)? = [0-9]/gm)].map(
      ([, name]) => `${file} ${name}`,
    ),
  );
  assert.deepEqual(
    found.filter((bound) => !documented.has(bound) && !exempt.has(bound)),
    [],
    "add a row to docs/limits.md and its constant to this test",
  );
});
