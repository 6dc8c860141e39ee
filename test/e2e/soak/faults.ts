// What happens around the proxy while it works, one fault after the other.
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import type { Address } from "../harness/sallyport.ts";
import { eventually, pause } from "../harness/wait.ts";
import { secureHosts } from "../harness/world.ts";
import type { Stage } from "./stage.ts";

export interface FaultContext {
  readonly stage: Stage;
  /** Descriptors that the proxy may have open. */
  readonly descriptorLimit: number;
  /** File that says how far the proxy's clock is off; absent where the machine has no libfaketime. */
  readonly clockFile: string | undefined;
  /** Audit files that were put aside, oldest first. */
  readonly rotated: string[];
  /** Longest part of a fault, in milliseconds. */
  readonly longestMs: number;
}

export interface Fault {
  readonly name: string;
  run(context: FaultContext, turn: number): Promise<void>;
}

const upstreamKilled: Fault = {
  name: "upstreams killed and back",
  run: ({ stage, longestMs }) => stage.upstreams.killFor(Math.min(1500, longestMs)),
};

const resolverDead: Fault = {
  name: "resolver dead",
  run: ({ stage: { world, weather }, longestMs }) =>
    weather.during(async () => {
      for (const host of secureHosts) world.dns.set(host, "silent");
      await pause(longestMs);
      for (const host of secureHosts) world.dns.set(host, ["127.0.0.1"]);
      // Those that were asked for meanwhile fail when their time is over.
      await pause(connectMs);
    }),
};

/** `proxy.timeouts.upstream_connect`, which is for resolving too. */
export const connectMs = 2000;

/** Connections to the proxy's port until no further one is taken. */
const descriptorsShort: Fault = {
  name: "no descriptor left",
  run: ({ stage: { world, weather }, descriptorLimit, longestMs }) =>
    weather.during(async () => {
      const { host, port } = world.proxy.addresses.tunnel as Address;
      const sockets: Socket[] = [];
      let refused = 0;
      try {
        for (let count = 0; count < descriptorLimit + 50; count++) {
          const socket = connect({ host, port }).resume();
          socket.on("error", () => {});
          socket.on("close", () => refused++);
          sockets.push(socket);
        }
        await eventually("connections are refused", () => refused > 0);
        await pause(Math.min(1000, longestMs));
      } finally {
        for (const socket of sockets) socket.destroy();
      }
      await pause(500);
    }),
};

const reload: Fault = {
  name: "reload",
  async run({ stage: { world } }, turn) {
    const { proxy } = world;
    const config = JSON.parse(readFileSync(proxy.configFile, "utf8")) as {
      transforms: [{ config: { rules: { host: string }[] } }];
    };
    const { rules } = config.transforms[0].config;
    config.transforms[0].config.rules = [...rules.slice(0, 2), { host: `added-${turn}.test` }];
    writeFileSync(proxy.configFile, JSON.stringify(config));
    const before = proxy.log.length;
    proxy.signal("SIGHUP");
    await proxy.line("pipeline reloaded", before);
  },
};

const rotation: Fault = {
  name: "audit rotated",
  async run({ stage: { world }, rotated }) {
    const { file } = world.proxy.audit;
    const aside = `${file}.${rotated.length + 1}`;
    renameSync(file, aside);
    rotated.push(aside);
    world.proxy.signal("SIGUSR1");
    await eventually("the new audit file", () => existsSync(file));
  },
};

/** Half an hour on, half an hour back behind the truth, and right again. */
const clockJump: Fault = {
  name: "clock jumps",
  async run({ clockFile, longestMs }) {
    if (clockFile === undefined) return;
    for (const offset of ["+30m", "-30m", "+0"]) {
      writeFileSync(clockFile, offset);
      await pause(Math.min(1500, longestMs));
    }
  },
};

export const faults: readonly Fault[] = [
  upstreamKilled,
  rotation,
  resolverDead,
  reload,
  clockJump,
  descriptorsShort,
];

/** Where Debian, Fedora and Arch put it. */
const clockLibraries = [
  ...["x86_64", "aarch64"].map((machine) => `/usr/lib/${machine}-linux-gnu/faketime/libfaketimeMT.so.1`),
  "/usr/lib64/faketime/libfaketimeMT.so.1",
  "/usr/lib/faketime/libfaketimeMT.so.1",
];

/** Variables under which a program's clock is as far off as the file says; nothing where the machine cannot. */
export function clockVariables(file: string): Record<string, string> | undefined {
  const library = clockLibraries.find((path) => existsSync(path));
  if (library === undefined) return undefined;
  writeFileSync(file, "+0");
  return {
    LD_PRELOAD: library,
    FAKETIME_TIMESTAMP_FILE: file,
    FAKETIME_CACHE_DURATION: "1",
    // Only the time of day jumps; deadlines are of a clock that never does.
    FAKETIME_DONT_FAKE_MONOTONIC: "1",
    NO_FAKE_STAT: "1",
  };
}
