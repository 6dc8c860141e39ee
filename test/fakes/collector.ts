// Stands in for an OpenTelemetry collector: takes logs over HTTP (protobuf and JSON) and over gRPC, with decoders that
// have nothing in common with the exporters' encoders.
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

/** One log record as the collector got it; integers and doubles are told apart. */
export interface Received {
  readonly resource: Readonly<Record<string, unknown>>;
  readonly scope: string;
  /** Nanoseconds since 1970. */
  readonly time: bigint;
  readonly observed: bigint;
  readonly severity: readonly [number: number, text: string];
  readonly body: unknown;
  readonly attributes: Readonly<Record<string, unknown>>;
}

export interface Collector {
  readonly url: string;
  readonly records: Received[];
  /** Headers, or metadata, of every call. */
  readonly calls: { readonly path: string; readonly headers: Readonly<Record<string, unknown>> }[];
  /** What it answers from now on. */
  behave(how: "accept" | "refuse" | "hang"): void;
  close(): Promise<void>;
}

type Behaviour = Parameters<Collector["behave"]>[0];

interface Request {
  readonly resourceLogs?: readonly {
    readonly resource?: { readonly attributes?: readonly KeyValue[] };
    readonly scopeLogs?: readonly {
      readonly scope?: { readonly name: string };
      readonly logRecords?: readonly LogRecord[];
    }[];
  }[];
}

interface LogRecord {
  readonly timeUnixNano: string;
  readonly observedTimeUnixNano: string;
  readonly severityNumber: number;
  readonly severityText: string;
  readonly body: AnyValue;
  readonly attributes?: readonly KeyValue[];
}

interface KeyValue {
  readonly key: string;
  readonly value: AnyValue;
}

interface AnyValue {
  readonly stringValue?: string;
  readonly boolValue?: boolean;
  readonly intValue?: string | number;
  readonly doubleValue?: number;
  readonly arrayValue?: { readonly values?: readonly AnyValue[] };
  readonly kvlistValue?: { readonly values?: readonly KeyValue[] };
}

const definitions = loadSync(fileURLToPath(new URL("otlp-logs.proto", import.meta.url)), {
  longs: String,
  oneofs: false,
});
const service = definitions["opentelemetry.proto.collector.logs.v1.LogsService"] as grpc.ServiceDefinition;
const exportMethod = service["Export"] as grpc.MethodDefinition<unknown, unknown>;

/** A whole number that came as one: what a double is not. */
export class Integer {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
}

export async function startHttpCollector(): Promise<Collector> {
  let behaviour: Behaviour = "accept";
  const records: Received[] = [];
  const calls: { path: string; headers: IncomingHttpHeaders }[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { headers } = request;
      calls.push({ path: request.url ?? "", headers });
      if (behaviour === "hang") return;
      if (behaviour === "refuse") {
        // A text that repeats what was sent, as careless servers do.
        response.writeHead(400, `bad ${headers["x-token"] ?? ""}`).end(`bad ${headers["x-token"] ?? ""}`);
        return;
      }
      const raw = Buffer.concat(chunks);
      const bytes = headers["content-encoding"] === "gzip" ? gunzipSync(raw) : raw;
      const isJson = headers["content-type"] === "application/json";
      records.push(
        ...received(isJson ? JSON.parse(bytes.toString()) : exportMethod.requestDeserialize(bytes)),
      );
      response
        .writeHead(200, { "Content-Type": headers["content-type"] ?? "" })
        .end(isJson ? "{}" : undefined);
    });
  });
  server.listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    records,
    calls,
    behave(how) {
      behaviour = how;
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export async function startGrpcCollector(): Promise<Collector> {
  let behaviour: Behaviour = "accept";
  const records: Received[] = [];
  const calls: { path: string; headers: Record<string, unknown> }[] = [];
  const server = new grpc.Server();
  server.addService(service, {
    Export(call: grpc.ServerUnaryCall<unknown, unknown>, done: grpc.sendUnaryData<unknown>) {
      calls.push({ path: exportMethod.path, headers: call.metadata.getMap() });
      if (behaviour === "hang") return;
      if (behaviour === "refuse") {
        done({ code: grpc.status.PERMISSION_DENIED, details: `bad ${String(call.metadata.get("x-token"))}` });
        return;
      }
      records.push(...received(call.request));
      done(null, {});
    },
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return {
    url: `http://127.0.0.1:${port}`,
    records,
    calls,
    behave(how) {
      behaviour = how;
    },
    close: () => Promise.resolve(server.forceShutdown()),
  };
}

function received(request: unknown): Received[] {
  return ((request as Request).resourceLogs ?? []).flatMap(({ resource, scopeLogs }) =>
    (scopeLogs ?? []).flatMap(({ scope, logRecords }) =>
      (logRecords ?? []).map((record) => ({
        resource: mapOf(resource?.attributes),
        scope: scope?.name ?? "",
        time: BigInt(record.timeUnixNano),
        observed: BigInt(record.observedTimeUnixNano),
        severity: [record.severityNumber, record.severityText] as const,
        body: valueOf(record.body),
        attributes: mapOf(record.attributes),
      })),
    ),
  );
}

function mapOf(values: readonly KeyValue[] = []): Record<string, unknown> {
  return Object.fromEntries(values.map(({ key, value }) => [key, valueOf(value)]));
}

function valueOf(value: AnyValue): unknown {
  if (value.intValue !== undefined) return new Integer(Number(value.intValue));
  if (value.arrayValue !== undefined) return (value.arrayValue.values ?? []).map(valueOf);
  if (value.kvlistValue !== undefined) return mapOf(value.kvlistValue.values);
  return value.stringValue ?? value.boolValue ?? value.doubleValue;
}
