/** Ways that records travel to a collector. */
export const protocols = ["http/protobuf", "http/json", "grpc"] as const;

export type Protocol = (typeof protocols)[number];

/** What the standard variables of OpenTelemetry ask for; the exporters read the rest of them by themselves. */
export interface OtlpSettings {
  readonly protocol: Protocol;
  /** The variable that names the collector, for messages. Its value may hold a password. */
  readonly variable: string;
  readonly batch: BatchSettings;
}

export interface BatchSettings {
  /** Records that wait for the collector at most; newer ones are dropped and counted (I12). */
  readonly maxQueueSize: number;
  readonly maxExportBatchSize: number;
  readonly scheduledDelayMillis: number;
  readonly exportTimeoutMillis: number;
}

/** The specification's defaults. */
const maxQueue = 2048;
const maxBatch = 512;
const delayMs = 1000;
const exportTimeoutMs = 30_000;

/** Largest number that is taken from a variable: beyond it the queue would be no bound. */
const maxQueueAllowed = 100_000;

/**
 * The settings, or undefined where records are not exported: no endpoint, or it is switched off.
 * @throws {Error} for a value that is not supported, naming the variable
 */
export function otlpSettings(env: NodeJS.ProcessEnv): OtlpSettings | undefined {
  if (text(env, "OTEL_SDK_DISABLED").toLowerCase() === "true") return undefined;
  if (text(env, "OTEL_LOGS_EXPORTER").toLowerCase() === "none") return undefined;
  const endpoint = firstOf(env, ["OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"]);
  if (endpoint === undefined) return undefined;
  const protocol = protocolOf(env);
  // gRPC takes a host and a port alone as well.
  if (protocol !== "grpc") checkEndpoint(endpoint);
  return { protocol, variable: endpoint.name, batch: batchOf(env) };
}

function protocolOf(env: NodeJS.ProcessEnv): Protocol {
  const asked = firstOf(env, ["OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"]);
  if (asked === undefined) return "http/protobuf";
  const known = protocols.find((protocol) => protocol === asked.value);
  if (known !== undefined) return known;
  const got = JSON.stringify(asked.value.slice(0, 40));
  throw new Error(`unsupported ${asked.name}: ${got}; it can be ${protocols.join(", ")}`);
}

/** The exporters would only fail later, once for each batch. */
function checkEndpoint({ name, value }: Variable): void {
  const scheme = URL.canParse(value) ? new URL(value).protocol : "";
  if (scheme === "http:" || scheme === "https:") return;
  throw new Error(`${name} is not a URL such as http://collector.example:4318`);
}

function batchOf(env: NodeJS.ProcessEnv): BatchSettings {
  const maxQueueSize = Math.min(positive(env, "OTEL_BLRP_MAX_QUEUE_SIZE", maxQueue), maxQueueAllowed);
  return {
    maxQueueSize,
    maxExportBatchSize: Math.min(positive(env, "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", maxBatch), maxQueueSize),
    scheduledDelayMillis: positive(env, "OTEL_BLRP_SCHEDULE_DELAY", delayMs),
    exportTimeoutMillis: positive(env, "OTEL_BLRP_EXPORT_TIMEOUT", exportTimeoutMs),
  };
}

/** The specification has a wrong number be as none. */
function positive(env: NodeJS.ProcessEnv, name: string, standard: number): number {
  const value = Number(text(env, name));
  return Number.isSafeInteger(value) && value > 0 ? value : standard;
}

interface Variable {
  readonly name: string;
  readonly value: string;
}

function firstOf(env: NodeJS.ProcessEnv, names: readonly string[]): Variable | undefined {
  const name = names.find((one) => text(env, one) !== "");
  return name === undefined ? undefined : { name, value: text(env, name) };
}

function text(env: NodeJS.ProcessEnv, name: string): string {
  return (env[name] ?? "").trim();
}
