// The files that `--write` makes. What a person has written behind the last heading of one stays.
import { existsSync, readFileSync, writeFileSync } from "node:fs";

/** What a file of measurements has besides the machine: its name, its heading and how its figures came about. */
export interface Page {
  readonly file: string;
  readonly title: string;
  readonly about: string;
}

/** What a benchmark gives: Markdown, what became of the targets, and how many were missed. */
export interface Report {
  readonly tables: readonly string[];
  readonly targets: readonly string[];
  readonly missed: number;
}

export const pages = {
  results: {
    file: "RESULTS.md",
    title: "Report against nginx",
    about: `Written by \`npm run bench -- --write\`. Both proxies do the same work in the same run: TLS from the client, one
credential put into \`Authorization\`, verified TLS to the same upstream from a pool, one line of log. CPU is the
processor time of all of the proxy's processes for one request; the median of the rounds counts. Rates depend on the
load generator and the upstream, which share the machine's cores.`,
  },
  mechanisms: {
    file: "MECHANISMS.md",
    title: "What the mechanisms cost",
    about: `Written by \`npm run bench -- --mechanisms --write\`. Each mechanism and the plain swap of a placeholder take turns in the
same run, at 64 connections, with a POST of 1 kB; tokens are minted and credentials read before the first round that counts. CPU
is processor time of the proxy for one request. The uploads are 1 GiB each.`,
  },
  scrubbing: {
    file: "SCRUBBING.md",
    title: "What scrubbing costs",
    about: `Written by \`npm run bench -- --scrub --write\`. Two Sallyports take turns in the same run, one with \`scrub: on\` and one with
\`scrub: off\`: small answers at 64 kept connections, and downloads of 10 MiB without a content coding. CPU is processor time
of the proxy; the median of the rounds counts.`,
  },
  grpc: {
    file: "GRPC.md",
    title: "What gRPC calls cost",
    about: `Written by \`npm run bench -- --grpc --write\`. Unary calls over HTTP/2 on both sides, beside nginx's grpc_pass in the same run.`,
  },
  streams: {
    file: "STREAMS.md",
    title: "What streams cost",
    about: `Written by \`npm run bench -- --streams --write\`. WebSockets that echo messages of 100 bytes, and open event streams with two
events a second each. The delay of an event is from the upstream's write to the client's read, and so has the load generator in it.`,
  },
  workers: {
    file: "WORKERS.md",
    title: "What a second worker brings",
    about: `Written by \`npm run bench -- --workers --write\`. One process and two workers take turns in the same run; what counts is requests
for each second of processor time that the machine has for them.`,
  },
  start: {
    file: "START.md",
    title: "How long a start takes",
    about: `Written by \`npm run bench -- --start --write\`: from the start of the process, out of the checkout, to the first answer that came
through it from an upstream over TLS. The compiled code of an earlier start is in the cache; the median of the rounds counts.`,
  },
} as const satisfies Record<string, Page>;

const findings = "\n## What was found\n";

/** Writes a page; what stands in the old one from "What was found" on is kept. */
export function writePage(
  { file, title, about }: Page,
  { tables, targets }: Report,
  machine: readonly (readonly [string, string])[],
): void {
  const url = new URL(file, import.meta.url);
  const old = existsSync(url) ? readFileSync(url, "utf8") : "";
  const at = old.indexOf(findings);
  const outcome = targets.length === 0 ? "" : `\n\`\`\`\n${targets.join("\n")}\n\`\`\`\n`;
  const text = `# ${title}

${about}

| | |
|---|---|
${machine.map(([key, value]) => `| ${key} | ${value} |`).join("\n")}

${tables.join("\n\n")}
${outcome}${at < 0 ? "" : old.slice(at)}`;
  writeFileSync(url, text);
}
