// Three network namespaces in a row: workload, gateway (where the proxy runs) and internet, on IPv4 and IPv6.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { eventually } from "../harness/wait.ts";
import { type Ran, run } from "../harness/programs.ts";

const commands = [
  ["ip", "-V"],
  ["nft", "--version"],
  ["curl", "--version"],
  ["setpriv", "--version"],
] as const;

/** Why namespaces cannot be used here; `false` where they can. */
export function noNetwork(): string | false {
  if (process.platform !== "linux") return "network namespaces are of Linux";
  if (process.getuid?.() !== 0) return "network namespaces need root";
  for (const [program, version] of commands) {
    if (spawnSync(program, [version]).status !== 0) return `this machine has no ${program}`;
  }
  const name = `sp-try-${process.pid}`;
  const made = spawnSync("ip", ["netns", "add", name], { encoding: "utf8" });
  if (made.status !== 0) return `namespaces cannot be made: ${made.stderr.trim()}`;
  const table = spawnSync("ip", ["netns", "exec", name, "nft", "add", "table", "inet", "t"], {
    encoding: "utf8",
  });
  spawnSync("ip", ["netns", "del", name]);
  return table.status === 0 ? false : `nftables cannot be used: ${table.stderr.trim()}`;
}

export const addresses = {
  workload: { ip4: "10.88.1.2", ip6: "fd88:1::2" },
  /** Of the gateway, on the workload's side. */
  gateway: { ip4: "10.88.1.1", ip6: "fd88:1::1" },
  /** Of the gateway, on the other side: what the internet sees. */
  outside: { ip4: "10.88.2.1", ip6: "fd88:2::1" },
  internet: { ip4: "10.88.2.2", ip6: "fd88:2::2" },
} as const;

type Place = "workload" | "gateway" | "internet";

export interface Network {
  /** Runs a program to its end. */
  run(place: Place, program: string, args: readonly string[], env?: Record<string, string>): Promise<Ran>;
  /** Starts one that goes on; it ends with the network. */
  start(
    place: Place,
    program: string,
    args: readonly string[],
    options: { readonly env: Record<string, string>; readonly cwd?: string; readonly until: RegExp },
  ): Promise<Running>;
  /** Applies rules of nftables. */
  rules(place: Place, text: string): void;
  close(): Promise<void>;
}

export interface Running {
  readonly child: ChildProcess;
  /** Everything it wrote, to either output. */
  output(): string;
}

/** Builds it: the gateway forwards packets, as any router does, until rules say otherwise. */
export function openNetwork(): Network {
  const name = (place: Place) => `sp-${place}-${process.pid}`;
  const inside = (place: Place, ...command: string[]) =>
    system("ip", "netns", "exec", name(place), ...command);
  const running: Running[] = [];
  const places = ["workload", "gateway", "internet"] as const;
  for (const place of places) {
    system("ip", "netns", "add", name(place));
    inside(place, "ip", "link", "set", "lo", "up");
    // Nobody else can have these addresses, and looking for that takes seconds.
    inside(place, "sysctl", "-qw", "net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0");
  }
  const link = (left: readonly [Place, string, keyof typeof addresses], right: typeof left): void => {
    const far = ["netns", name(right[0])];
    inside(left[0], "ip", "link", "add", left[1], "type", "veth", "peer", "name", right[1], ...far);
    for (const [place, device, end] of [left, right]) {
      inside(place, "ip", "addr", "add", `${addresses[end].ip4}/24`, "dev", device);
      inside(place, "ip", "addr", "add", `${addresses[end].ip6}/64`, "dev", device, "nodad");
      inside(place, "ip", "link", "set", device, "up");
    }
  };
  link(["workload", "eth0", "workload"], ["gateway", "wl0", "gateway"]);
  link(["gateway", "net0", "outside"], ["internet", "eth0", "internet"]);
  for (const [place, via] of [
    ["workload", addresses.gateway],
    ["internet", addresses.outside],
  ] as const) {
    inside(place, "ip", "route", "add", "default", "via", via.ip4);
    inside(place, "ip", "-6", "route", "add", "default", "via", via.ip6);
  }
  inside("gateway", "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1");
  // Mounted over the machine's own by `ip netns exec`.
  const files = `/etc/netns/${name("workload")}`;
  mkdirSync(files, { recursive: true });
  writeFileSync(`${files}/resolv.conf`, `nameserver ${addresses.gateway.ip4}\n`);

  return {
    run: (place, program, args, env = {}) =>
      run("ip", ["netns", "exec", name(place), program, ...args], { env, timeoutMs: 10_000 }),
    async start(place, program, args, { env, cwd, until }) {
      const child = spawn("ip", ["netns", "exec", name(place), program, ...args], {
        env: { PATH: process.env["PATH"] ?? "", ...env },
        cwd,
        stdio: ["ignore", "pipe", "pipe"],
      });
      let text = "";
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding("utf8").on("data", (part: string) => {
          text += part;
        });
      }
      const one = { child, output: () => text };
      running.push(one);
      await eventually(
        `${place}: ${until}`,
        () => {
          if (child.exitCode !== null) throw new Error(`${program} ended:\n${text}`);
          return until.test(text);
        },
        20_000,
      );
      return one;
    },
    rules(place, text) {
      system("ip", "netns", "exec", name(place), "nft", "flush", "ruleset");
      const applied = spawnSync("ip", ["netns", "exec", name(place), "nft", "-f", "-"], {
        input: text,
        encoding: "utf8",
      });
      if (applied.status !== 0) throw new Error(applied.stderr);
    },
    async close() {
      for (const { child } of running) {
        if (child.exitCode !== null || child.signalCode !== null) continue;
        child.kill("SIGTERM");
        await once(child, "close");
      }
      for (const place of places) spawnSync("ip", ["netns", "del", name(place)]);
      rmSync(files, { recursive: true, force: true });
    },
  };
}

function system(program: string, ...args: string[]): void {
  const { status, stderr } = spawnSync(program, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${program} ${args.join(" ")}: ${stderr}`);
}
