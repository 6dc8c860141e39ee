import type { LogRecordExporter } from "@opentelemetry/sdk-logs";
import type { LogRecord } from "@opentelemetry/api";
import type { FindingRecord } from "../findings/types.ts";
import { logRecordOf, logRecordOfFinding } from "./otlp-record.ts";
import { type OtlpSettings, otlpSettings, type Protocol } from "./otlp-settings.ts";
import type { AuditRecord, DeliveryStats } from "./types.ts";

/** Sends audit records to an OpenTelemetry collector, beside the file or the stream that they are written to. */
export interface AuditExport {
  readonly protocol: Protocol;
  /** Queues one record. Never waits and never throws; what the queue has no room for is dropped and counted. */
  write(record: AuditRecord): void;
  /** The same for a finding. */
  writeFinding(record: FindingRecord): void;
  readonly stats: DeliveryStats;
  /** Sends what waits and closes; what cannot be delivered in that time is lost, and said to be. */
  close(timeoutMs: number): Promise<void>;
}

export interface AuditExportOptions {
  readonly env: NodeJS.ProcessEnv;
  /** Ours, for `service.version`. */
  readonly version: string;
  /** Told once per outage, and of records that were not delivered in the end. Holds no address and no credential. */
  readonly onProblem: (message: string) => void;
  /** Told when records are delivered again. */
  readonly onRecovery: (message: string) => void;
}

/** The part of the SDK's results and errors that is looked at. */
interface ExportResult {
  readonly code: number;
  readonly error?: Error;
}

/**
 * Opens the export that the variables of OpenTelemetry ask for; undefined where they ask for none. The SDK is loaded
 * only then. It reads `OTEL_*` of the process for what is not decided here: headers, time-out, compression, TLS.
 * @throws {Error} for a variable with a value that is not supported
 */
export async function openAuditExport(options: AuditExportOptions): Promise<AuditExport | undefined> {
  const settings = otlpSettings(options.env);
  return settings === undefined ? undefined : open(settings, options);
}

async function open(settings: OtlpSettings, options: AuditExportOptions): Promise<AuditExport> {
  const { BatchLogRecordProcessor, LoggerProvider } = await import("@opentelemetry/sdk-logs");
  const { protocol, variable, batch } = settings;
  const counts = { exported: 0, failed: 0, dropped: 0, waiting: 0 };
  let failing = false;
  const settled = (count: number, { code, error }: ExportResult): void => {
    counts.waiting -= count;
    if (code === 0) {
      counts.exported += count;
      if (failing) options.onRecovery("audit records are delivered to the OTLP collector again");
      failing = false;
      return;
    }
    counts.failed += count;
    if (failing) return;
    failing = true;
    options.onProblem(
      `audit records cannot be delivered to the collector of ${variable}: ${reasonOf(error)}. ` +
        "They are written as before; those that are not delivered are counted in sallyport_otlp_records_total",
    );
  };

  const exporter = await exporterFor(protocol);
  const counting: LogRecordExporter = {
    export: (records, done) =>
      exporter.export(records, (result) => {
        settled(records.length, result);
        done(result);
      }),
    forceFlush: () => exporter.forceFlush(),
    shutdown: () => exporter.shutdown(),
  };
  const processor = new BatchLogRecordProcessor({ exporter: counting, ...batch });
  const provider = new LoggerProvider({ resource: await resource(options.version), processors: [processor] });
  const logger = provider.getLogger("sallyport/audit", options.version);

  const emit = (record: LogRecord): void => {
    // The SDK would drop without a word, and count what it is sending as nothing.
    if (counts.waiting >= batch.maxQueueSize) {
      counts.dropped++;
      return;
    }
    counts.waiting++;
    logger.emit(record);
  };

  return {
    protocol,
    write: (record) => emit(logRecordOf(record)),
    writeFinding: (record) => emit(logRecordOfFinding(record)),
    get stats() {
      return { ...counts };
    },
    async close(timeoutMs) {
      await withinTime(provider.shutdown(), timeoutMs);
      const { waiting } = counts;
      if (waiting === 0) return;
      options.onProblem(
        `${waiting} audit records were not delivered to the collector of ${variable} in time`,
      );
    },
  };
}

async function exporterFor(protocol: Protocol): Promise<LogRecordExporter> {
  switch (protocol) {
    case "grpc": {
      const { OTLPLogExporter } = await import("@opentelemetry/exporter-logs-otlp-grpc");
      return new OTLPLogExporter();
    }
    case "http/json": {
      const { OTLPLogExporter } = await import("@opentelemetry/exporter-logs-otlp-http");
      return new OTLPLogExporter();
    }
    case "http/protobuf": {
      const { OTLPLogExporter } = await import("@opentelemetry/exporter-logs-otlp-proto");
      return new OTLPLogExporter();
    }
  }
}

/** Who sends: our name and version, over which `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` win. */
async function resource(version: string) {
  const resources = await import("@opentelemetry/resources");
  const own = resources.resourceFromAttributes({ "service.name": "sallyport", "service.version": version });
  const asked = resources.detectResources({ detectors: [resources.envDetector] });
  return resources.defaultResource().merge(own).merge(asked);
}

/** Words for a failure. Texts of servers stay out: they may repeat what was sent, headers included (I14). */
function reasonOf(error: Error | undefined): string {
  const code: unknown = error === undefined ? undefined : Reflect.get(error, "code");
  if (typeof code === "number") return code < 100 ? `gRPC status ${code}` : `HTTP status ${code}`;
  if (typeof code === "string" && /^[A-Z][A-Z0-9_]{2,40}$/.test(code)) return code;
  return "it refused them or did not answer in time";
}

async function withinTime(work: Promise<unknown>, timeoutMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  });
  await Promise.race([
    work.then(
      () => {},
      () => {},
    ),
    late,
  ]);
  clearTimeout(timer);
}
