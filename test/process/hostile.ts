// A command that `sallyport run` was given and that wants the credential. It looks wherever a process of the same user
// can, and prints each place where it found it. Arguments: the halves of the credential, which no place of its own
// then holds together, and the process to start looking at.
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { openSync, readSync, closeSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";

const [first = "", second = "", target = ""] = process.argv.slice(2);
const credential = Buffer.from(first + second);
const wanted = [
  credential,
  Buffer.from(credential.toString("base64").slice(0, -4)),
  Buffer.from(first + second, "utf16le"),
];

const found = new Set<string>();
/** Places that could be read at all. */
const read = new Set<string>();

function look(place: string, bytes: () => Uint8Array): void {
  try {
    const content = Buffer.from(bytes());
    read.add(place);
    if (wanted.some((one) => content.includes(one))) found.add(place);
    if (content.includes("PRIVATE KEY")) found.add(`a key in ${place}`);
  } catch {
    // closed to us
  }
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** The memory of a process, stretch by stretch (proc(5)). */
function searchMemory(pid: string): void {
  let maps: string;
  let memory: number;
  try {
    maps = readFileSync(`/proc/${pid}/maps`, "latin1");
    memory = openSync(`/proc/${pid}/mem`, "r");
  } catch {
    return;
  }
  for (const line of maps.split("\n")) {
    const [, start = "", end = ""] = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line) ?? [];
    if (start === "") continue;
    const from = Number.parseInt(start, 16);
    const length = Math.min(Number.parseInt(end, 16) - from, 1 << 26);
    look("memory", () => {
      const part = Buffer.alloc(length);
      return part.subarray(0, readSync(memory, part, 0, length, from));
    });
  }
  closeSync(memory);
}

function searchProcess(pid: string): void {
  for (const name of ["environ", "cmdline", "stat", "status"]) {
    look(name, () => readFileSync(`/proc/${pid}/${name}`));
  }
  for (const task of list(`/proc/${pid}/task`)) {
    look("environ of a thread", () => readFileSync(`/proc/${pid}/task/${task}/environ`));
  }
  for (const fd of list(`/proc/${pid}/fd`)) {
    const path = `/proc/${pid}/fd/${fd}`;
    // A pipe or a terminal would keep us waiting.
    if (/^\/(?!dev)/.test(readlinkSync(path))) look(`descriptor ${fd}`, () => readFileSync(path));
  }
  searchMemory(pid);
}

function searchFolder(folder: string): void {
  for (const name of list(folder)) {
    const path = join(folder, name);
    look(`file ${name}`, () => readFileSync(path));
    searchFolder(path);
  }
}

/** The inspector listens at once after its signal, on a port that everyone knows. */
async function knockAtInspector(pid: string): Promise<void> {
  process.kill(Number(pid), "SIGUSR1");
  await new Promise((resolve) => {
    setTimeout(resolve, 300);
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  const socket = connect(9229, "127.0.0.1", () => {
    found.add("inspector");
    socket.destroy();
    resolve();
  }).on("error", () => resolve());
  await promise;
}

process.on("SIGUSR1", () => {}); // passed on to us
for (const [name, value = ""] of Object.entries(process.env))
  look(`variable ${name}`, () => Buffer.from(value));
look("own environment", () => readFileSync("/proc/self/environ"));
searchProcess(target === "" ? String(process.ppid) : target);
for (const folder of [process.env["TMPDIR"], process.cwd()]) if (folder !== undefined) searchFolder(folder);
await knockAtInspector(target === "" ? String(process.ppid) : target);
console.log(JSON.stringify({ found: [...found], read: [...read], uid: process.getuid?.() }));
