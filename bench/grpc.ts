// client ── gRPC over TLS ──▶ contestant (nginx with grpc_pass, or Sallyport) ── gRPC over TLS ──▶ origin: unary calls
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type Contestant,
  placeholder,
  serverTls,
  startNginxContestant,
  startProgram,
  startSallyport,
  swap,
} from "./contestants.ts";
import type { Keys } from "./keys.ts";
import { h2load } from "./load.ts";
import { measure } from "./machine.ts";
import { mediansOf, type Result, resultTable, type Sample } from "./report.ts";
import { inTurns, onStage } from "./stage.ts";

/** Connections, and calls at a time on each. */
const loads = [
  [4, 16],
  [1, 64],
] as const;

export interface GrpcOptions {
  readonly nginx: string;
  readonly h2load: string;
  readonly seconds: number;
  readonly rounds: number;
  readonly nodeFlags: readonly string[];
}

/** Unary calls with a message of 100 bytes either way, as Markdown. */
export function benchGrpc(options: GrpcOptions): Promise<string> {
  return onStage(async ({ directory, keys, start, target }) => {
    const { port } = await start(startProgram("grpc-origin.ts", keys));
    const contestants = {
      nginx: await start(startNginxProxy(options.nginx, directory, keys, port)),
      sallyport: await start(startSallyport(directory, keys, options.nodeFlags, swap(port))),
    };
    const request = {
      path: "/bench.Echo/Unary",
      fields: {
        Authorization: `Bearer ${placeholder}`,
        "content-type": "application/grpc",
        te: "trailers",
      },
      bodyFile: join(directory, "message"),
    };
    writeFileSync(request.bodyFile, Buffer.concat([Buffer.from([0, 0, 0, 0, 100]), Buffer.alloc(100, "m")]));
    const results: Result[] = [];
    for (const [connections, streams] of loads) {
      const name = `gRPC, ${connections} x ${streams} calls`;
      const call = async (contestant: Contestant): Promise<Sample> => {
        const { result, cost } = await measure(contestant.pid, () =>
          h2load(options.h2load, target(contestant, port), connections, streams, options.seconds, request),
        );
        const { requests, requestsPerSecond: rate } = result;
        return { ...cost, rate, cpu: (cost.cpuSeconds / requests) * 1e6 };
      };
      const samples = await inTurns(name, contestants, options.rounds, call);
      results.push({ scenario: name, unit: "call", medians: mediansOf(samples) });
    }
    return resultTable(results);
  });
}

/** nginx as a gRPC proxy that does the same: verified TLS upstream from a pool, one field set, one line of log. */
function startNginxProxy(nginx: string, directory: string, keys: Keys, origin: number): Promise<Contestant> {
  return startNginxContestant(
    nginx,
    directory,
    (port, home) => `
    upstream origin { server localhost:${origin}; keepalive 300; keepalive_requests 1000000000; }
    server {
      listen 127.0.0.1:${port} ssl http2;
      ${serverTls(keys)}
      keepalive_requests 1000000000;
      access_log ${home}/access.log combined buffer=16k flush=1s;
      location / {
        grpc_pass grpcs://origin;
        grpc_set_header Host localhost:${origin};
        grpc_set_header Authorization "Bearer credential";
        grpc_ssl_verify on;
        grpc_ssl_trusted_certificate ${keys.caCert};
        grpc_ssl_server_name on;
        grpc_ssl_name localhost;
        grpc_ssl_protocols TLSv1.2 TLSv1.3;
      }
    }`,
  );
}
