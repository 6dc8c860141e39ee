// The proxy of the soak: every listener on, few descriptors, and short waits so that faults show soon.
import {
  allowlist,
  clientCredentials,
  createWorld,
  placeholder,
  secrets,
  swap,
  type World,
} from "../harness/world.ts";
import { connectMs } from "./faults.ts";

/** Descriptors of each process, far more than the workload needs. */
export const descriptorLimit = 400;

/** @param variables of the proxy, besides those it needs */
export function soakWorld(workers: number, variables: Record<string, string>): Promise<World> {
  return createWorld({
    remember: false,
    under: ["sh", "-c", `ulimit -n ${descriptorLimit * workers}; exec "$@"`, "sh"],
    env: { E2E_CLIENT: "client", ...variables },
    config: ({ securePort, plainPort }) => {
      const api = `api.e2e.test:${securePort}`;
      return {
        dns: {
          enabled: true,
          listen: "127.0.0.1:0",
          proxy_ip: "127.0.0.1",
          refuse_denied: true,
          passthrough: ["real.e2e.test"],
        },
        proxy: {
          ...(workers > 1 ? { workers } : {}),
          timeouts: { upstream_idle: "1s", upstream_connect: `${connectMs}ms`, client_idle: "5s" },
        },
        tls: { passthrough: ["deep.api.e2e.test:*"] },
        metrics: { listen: "127.0.0.1:0" },
        transforms: [
          allowlist(["*.e2e.test:*", "plain.localhost"]),
          secrets([swap("E2E_KEY", placeholder, ["api.e2e.test:*", `plain.localhost:${plainPort}`])]),
          clientCredentials(
            `https://other.e2e.test:${securePort}/token`,
            ["E2E_CLIENT", "E2E_KEY"],
            [{ host: api, paths: ["/api/*"] }],
          ),
        ],
      };
    },
  });
}
