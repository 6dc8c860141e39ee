// Attacks 50 to 61 and 39, 46: around the proxy rather than through it, and those that there is nothing here for.
import { spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, connect } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { once } from "node:events";
import { issueToken } from "../../../src/callers/token.ts";
import { keysOf, newKey } from "../../callers/support.ts";
import type { Field } from "../../e2e/harness/message.ts";
import { runSallyport } from "../../e2e/harness/sallyport.ts";
import { eventually, pause, within } from "../../e2e/harness/wait.ts";
import { standardConfig } from "../../e2e/harness/world.ts";
import { makeCa } from "../../helpers/pki.ts";
import { type Arena, authorization, nothingArrives, refusal } from "../arena.ts";
import { type Attack, by, each, hold } from "../attack.ts";
import { allWays, ask, basicOf, type Reply, tlsWays, type Way } from "../workload.ts";
import { floods } from "./floods.ts";

/** Runs a start that cannot succeed, and gives what it says. */
async function refusedStart(arena: Arena, name: string, change: Record<string, unknown>): Promise<string> {
  const { folder, secure, plain, dns } = arena.world;
  const facts = { securePort: secure.port, plainPort: plain.port, folder };
  const file = join(folder, `${name}.json`);
  const base = standardConfig(facts, name, dns.address) as Record<string, object>;
  const config = Object.fromEntries(
    Object.entries(base).map(([key, value]) => {
      const more = change[key];
      return [key, more === undefined || Array.isArray(value) ? value : { ...value, ...(more as object) }];
    }),
  );
  writeFileSync(file, JSON.stringify(config));
  const { code, stderr } = await runSallyport(["start", "--config", file], {
    E2E_KEY: arena.credentials.key,
  });
  arena.hunt.take(stderr);
  hold(code === 1, `it ended with ${code}`);
  return (/"(?:error|msg)":"([^"]{0,90})/.exec(stderr)?.[1] ?? stderr.slice(0, 90)).trim();
}

const hostileChild = `
const { readFileSync, readdirSync, readlinkSync } = require("node:fs");
const say = (name, text) => process.stdout.write(name + " " + text + "\\n");
const look = (path) => { try { say(path, readFileSync(path, "latin1")); } catch {} };
for (const [name, value] of Object.entries(process.env)) say(name, value);
for (const pid of ["self", String(process.ppid)]) for (const file of ["environ", "cmdline", "maps"]) look("/proc/" + pid + "/" + file);
try { for (const name of readdirSync("/proc/self/fd")) say("fd", readlinkSync("/proc/self/fd/" + name)); } catch {}
for (const folder of [process.env.TMPDIR, process.cwd()]) try { for (const name of readdirSync(folder, { recursive: true })) look(folder + "/" + name); } catch {}
`;

/** A child of `sallyport run` that says all it can see. */
async function childOf(arena: Arena): Promise<string> {
  const executable = fileURLToPath(new URL("../../../bin/sallyport", import.meta.url));
  const child = spawn(
    executable,
    ["run", "--secret", "E2E_KEY=api.e2e.test", "--", process.execPath, "-e", hostileChild],
    {
      cwd: join(arena.world.folder, "guarded"),
      env: {
        PATH: process.env["PATH"],
        HOME: join(arena.world.folder, "guarded"),
        E2E_KEY: arena.credentials.key,
        AUTH_HEADER: `Bearer ${arena.credentials.key}`,
      },
      stdio: ["ignore", "pipe", "pipe"],
      timeout: 20_000,
      killSignal: "SIGKILL",
    },
  );
  const parts: Buffer[] = [];
  child.stdout.on("data", (part: Buffer) => void parts.push(part));
  child.stderr.on("data", (part: Buffer) => void parts.push(part));
  const [code] = (await within("the child", once(child, "close"))) as [number];
  const said = Buffer.concat(parts);
  arena.hunt.take(said);
  hold(code === 0, `it ended with ${code}: ${said.toString().slice(-200)}`);
  hold(said.includes("E2E_KEY "), "the child has said nothing");
  return `${said.length} bytes of environment, /proc and files without it`;
}

async function guardedReply(
  arena: Arena,
  way: Way,
  token: string | undefined,
  fields: readonly Field[] = [],
): Promise<Reply> {
  const proof: Field[] =
    token !== undefined && way.startsWith("redirected") ? [["Proxy-Authorization", basicOf(token)]] : [];
  const { authority } = arena.target(way);
  const asked = {
    authority,
    fields: [...proof, ...fields],
    ...(token === undefined || proof.length > 0 ? {} : { token }),
  };
  return ask(arena.guardedSide, way, asked);
}

const forgeries: readonly (readonly [what: string, token: (arena: Arena) => string | undefined])[] = [
  ["no token", () => undefined],
  ["a password that is no token", () => "secret"],
  ["a tampered token", (arena) => arena.token().replace(/.$/, (last) => (last === "A" ? "B" : "A"))],
  ["an expired token", (arena) => arena.token(undefined, 60, Date.now() - 61_000)],
  [
    "a token of another key",
    () =>
      issueToken({ name: "attacker", tools: undefined, ttl: 600 }, keysOf(newKey()).current.key, Date.now())
        .token,
  ],
];

/** The answer without what differs each time. */
function withoutIds({ status, fields, body }: Reply): string {
  const names = fields
    .filter(([name]) => !/^(?:date|content-length)$/i.test(name))
    .map((field) => field.join(":"));
  return `${status} ${names.join(" ")} ${body.toString().replace(/"request_id":"[^"]*"/, "")}`;
}

async function status(url: string, method: string, headers: Record<string, string> = {}): Promise<number> {
  const response = await fetch(url, { method, headers });
  await response.arrayBuffer();
  return response.status;
}

export const operation: readonly Attack[] = [
  {
    number: 39,
    title: "MCP headers that disagree with the body",
    defence: "MCP is not looked at",
    attempts: [],
    notApplicable: "messages of MCP are not looked at, so no decision depends on either",
  },
  {
    number: 50,
    title: "Core dumps, heap snapshots, the inspector",
    defence:
      "nothing of the memory is in a core dump, no signal opens node's inspector or writes a snapshot; memory is not wiped",
    attempts: [
      ...each(
        ["SIGUSR1", "SIGUSR2"] as const,
        ["signals"],
        (signal) => `${signal} to open the inspector`,
        "neutralised",
        async (arena, _way, signal) => {
          arena.guarded.signal(signal);
          await pause(100);
          const socket = connect(9229, "127.0.0.1");
          const isOpen = await once(socket, "connect").then(
            () => true,
            () => false,
          );
          socket.destroy();
          hold(!isOpen, "the inspector listens");
          return "nothing listens";
        },
      ),
      ...by(["signals"], "a core dump", "neutralised", async (arena) => {
        const file = `/proc/${arena.guarded.pid}/coredump_filter`;
        if (!existsSync(file)) return "this system does not say";
        hold(/^0+$/.test(readFileSync(file, "latin1").trim()), "a core would have the memory in it");
        return "nothing of the memory would be in it";
      }),
      ...by(["/proc"], "the environment and the command line", "neutralised", async (arena) => {
        for (const name of ["environ", "cmdline", "status"]) {
          const file = `/proc/${arena.guarded.pid}/${name}`;
          if (existsSync(file)) arena.hunt.take(readFileSync(file));
        }
        return "neither has it";
      }),
    ],
  },
  {
    number: 51,
    title: "The wrapper hands its own environment to the workload",
    defence: "`sallyport run` takes away what sources read",
    attempts: by(["sallyport run"], "a child that says all it can see", "neutralised", childOf),
  },
  {
    number: 52,
    title: "The workload edits the configuration, and it is reloaded",
    defence:
      "only a signal, a request with the management key or, with `start --watch`, a change of the file reloads it; a faulty file changes nothing. Keep it, and the [declarations of tools](tools.md#where-tools-are-found), where the workload cannot write",
    attempts: [
      ...each(
        ["/v1/reload", "/v1/status"],
        ["the management port"],
        (path) => `${path} without the key`,
        "refused",
        async (arena, _way, path) => {
          const line = await arena.guarded.line("management server starting");
          for (const authorizationField of ["", "Bearer wrong", `Basic ${arena.managementKey}`]) {
            const code = await status(
              `http://${String(line["addr"])}${path}`,
              path.endsWith("reload") ? "POST" : "GET",
              { authorization: authorizationField },
            );
            hold(code === 401, `answered with ${code}`);
          }
          return "401";
        },
      ),
      ...by(
        ["absolute form", "CONNECT", "CONNECT, HTTP/2"],
        "the management port by way of the proxy",
        "refused",
        async (arena, way) => {
          const line = await arena.guarded.line("management server starting");
          const reply = await ask(arena.guardedSide, way, {
            authority: String(line["addr"]),
            path: "/v1/reload",
            method: "POST",
            token: arena.token(),
          });
          return refusal(reply, "proxy_loop", "host_not_allowed");
        },
      ),
    ],
  },
  {
    number: 53,
    title: "The CA's key can be read, or does not belong to the certificate",
    defence: "a readable key is warned of; a pair that does not fit stops the start",
    attempts: by(["the configuration"], "a key of another CA", "refused", async (arena) => {
      const file = join(arena.world.folder, "another-ca.key");
      writeFileSync(file, makeCa().keyPem, { mode: 0o600 });
      return refusedStart(arena, "another-ca", { tls: { ca_key: file } });
    }),
  },
  {
    number: 54,
    title: "Another process uses the proxy",
    defence:
      "with `proxy.require_caller` everybody needs a token, and `sallyport run` gives each run a password; a proxy without either listens where only its workloads get to it",
    attempts: [
      ...each(
        forgeries,
        [...allWays],
        ([what]) => what,
        "refused",
        (arena, way, [, token]) =>
          nothingArrives(arena, async () =>
            refusal(await guardedReply(arena, way, token(arena), [authorization]), "caller_required"),
          ),
      ),
      ...by(allWays, "a token for other tools than the credential's", "refused", async (arena, way) => {
        const reply = await guardedReply(arena, way, arena.token(["mail"]), [authorization]);
        return refusal(reply, "placeholder_misused");
      }),
    ],
  },
  {
    number: 55,
    title: "The workload talks before the sidecar does, or takes its port",
    defence:
      "a port in use stops the start; sandboxes of the [chart](kubernetes.md) reach nothing but the proxy, up or not",
    attempts: by(["the port"], "a workload that listens there first", "refused", async (arena) => {
      const squatter = createServer().listen(0, "127.0.0.1");
      await once(squatter, "listening");
      const { port } = squatter.address() as { port: number };
      try {
        return await refusedStart(arena, "squatted", { proxy: { tunnel_listen: `127.0.0.1:${port}` } });
      } finally {
        squatter.close();
      }
    }),
  },
  {
    number: 56,
    title: "What is approved differs from what is sent",
    defence: "nobody is asked for approval",
    attempts: [],
    notApplicable: "nobody is asked for approval; what is sent was decided on by rules",
  },
  {
    number: 57,
    title: "The judge is talked into it",
    defence: "no language model decides anything",
    attempts: [],
    notApplicable: "no language model decides anything",
  },
  {
    number: 58,
    title: "Timing and errors tell which secret or host exists",
    defence: "one and the same answer to every bad token; tokens and passwords are compared in constant time",
    attempts: [
      ...by(tlsWays, "what a bad token gets", "refused", async (arena, way) => {
        const replies: Reply[] = [];
        for (const [, token] of forgeries.slice(1))
          replies.push(await guardedReply(arena, way, token(arena)));
        const different = new Set(replies.map(withoutIds));
        hold(different.size === 1, "bad tokens get different answers");
        return `the same for all: ${refusal(replies[0] as Reply)}`;
      }),
      ...by(
        ["CONNECT", "absolute form"],
        "hosts that exist and hosts that do not",
        "refused",
        async (arena, way) => {
          arena.world.dns.set("exists.denied.test", ["127.0.0.1"]);
          const replies = await Promise.all(
            ["exists.denied.test", "nothere.denied.test"].map((host) =>
              arena.ask(way, { authority: `${host}:443` }),
            ),
          );
          const different = new Set(
            replies.map((reply) => withoutIds(reply).replace(/\w+\.denied\.test(?::443)?/g, "")),
          );
          hold(different.size === 1, "they get different answers");
          return `the same for both: ${refusal(replies[0] as Reply, "host_not_allowed")}`;
        },
      ),
    ],
  },
  {
    number: 59,
    title: "X-Forwarded-For as identity",
    defence: "nobody's word counts but the connection's",
    attempts: by(
      ["CONNECT", "absolute form", "redirected TLS, HTTP/2"],
      "an address of somebody else in X-Forwarded-For and Forwarded",
      "neutralised",
      async (arena, way) => {
        const path = `/spoofed/${encodeURIComponent(way)}`;
        const fields: Field[] = [
          ["X-Forwarded-For", "10.9.8.7"],
          ["Forwarded", "for=10.9.8.7"],
          ["X-Real-IP", "10.9.8.7"],
        ];
        await arena.ask(way, { path, fields });
        const record = await eventually("its record", () =>
          arena.proxy.audit.read().find(({ audit }) => audit.path === path),
        );
        hold(record.audit.remote_addr.startsWith("127."), `recorded as ${record.audit.remote_addr}`);
        return "recorded with the connection's address";
      },
    ),
  },
  {
    number: 60,
    title: "Floods of headers and connections, slow heads and bodies, invented names",
    defence:
      "every buffer, wait and cache has a limit ([limits.md](limits.md)); leaves for refused names are rationed",
    attempts: floods,
  },
  {
    number: 61,
    title: "Holes in the runtime and its HTTP libraries",
    defence:
      "the data path has a codec of its own; dependencies are few and pinned; the version of node is the operator's to keep current",
    attempts: [],
    notApplicable: "not ours: the version of node is the operator's to keep current",
  },
];
