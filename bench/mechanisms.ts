// What each credential mechanism costs: processor time per request beside the plain swap, both in the same run, and what
// an upload of a gigabyte costs that is signed while it streams.
import { generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type Contestant,
  type Origin,
  type Pipeline,
  placeholder,
  startOrigin,
  startSallyport,
  swap,
} from "./contestants.ts";
import type { Keys } from "./keys.ts";
import { type WrkRequest, wrk } from "./load.ts";
import { measure, sleep } from "./machine.ts";
import { type MechanismRow, mechanismTable, type UploadRow, uploadTable } from "./mechanism-report.ts";
import { onStage, type Stage } from "./stage.ts";
import { chunkedUpload, plainUpload, startSink, type Upload, upload } from "./upload.ts";

const connections = 64;
const bodyBytes = 1024;
/** Most microseconds that a signature may cost beyond the swap. */
const signingTarget = 60;
/** Most megabytes that the memory may grow above idle while a gigabyte streams through. */
const growthTarget = 64;
/** Least part of the unsigned throughput. */
const throughputTarget = 0.4;

export interface MechanismOptions {
  readonly nginx: string;
  readonly wrk: string;
  readonly seconds: number;
  readonly rounds: number;
  /** Only mechanisms whose name begins so. */
  readonly only: string;
  /** Size of the upload. */
  readonly megabytes: number;
  readonly nodeFlags: readonly string[];
}

export interface MechanismResult {
  /** Markdown. */
  readonly tables: readonly string[];
  readonly targets: readonly string[];
  readonly missed: number;
}

interface Mechanism {
  readonly name: string;
  readonly transforms: readonly object[];
  readonly env?: Readonly<Record<string, string>>;
  /** `Authorization` as the workload sends it. */
  readonly authorization: string;
  /** Most microseconds it may cost beyond the swap. */
  readonly target?: number;
}

/** Measures every mechanism, then the uploads. */
export function benchMechanisms(options: MechanismOptions): Promise<MechanismResult> {
  return onStage(async (stage) => {
    const { directory, keys, start } = stage;
    const origin = await start(startOrigin(options.nginx, directory, keys));
    const sink = await start(startSink(keys));
    const ports = [origin.port, sink.port];
    const plain = await start(startSallyport(directory, keys, options.nodeFlags, swap(...ports)));
    const scene: Scene = { ...stage, options, origin, plain, ports };
    const rows: MechanismRow[] = [];
    const all = mechanisms(keys, origin, ports).filter(({ name }) => name.startsWith(options.only));
    for (const mechanism of all) rows.push(await compare(scene, mechanism));
    const uploads = all.some(({ name }) => name === "aws_auth") ? await compareUploads(scene, sink.port) : [];
    return report(rows, uploads);
  });
}

interface Scene extends Stage {
  readonly options: MechanismOptions;
  readonly origin: Origin;
  /** Sallyport with the plain swap. */
  readonly plain: Contestant;
  readonly ports: readonly number[];
}

const scope = "20250101/eu-west-1/execute-api/aws4_request";
const sigV4 = `AWS4-HMAC-SHA256 Credential=AKIAPLACEHOLDER/${scope}, SignedHeaders=host;x-amz-date, Signature=${"0".repeat(64)}`;
const bearer = `Bearer ${placeholder}`;
const key = { type: "env", var: "BENCH_KEY" };
const id = { type: "env", var: "BENCH_ID" };
const made = { BENCH_KEY: "a-signing-key-made-up-for-this-benchmark", BENCH_ID: "AKIABENCHBENCHBENCH0" };

function mechanisms(keys: Keys, { port }: Origin, ports: readonly number[]): readonly Mechanism[] {
  const rules = ports.map((one) => ({ host: `localhost:${one}` }));
  const tokenUri = `https://localhost:${port}/token`;
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const { privateKey: edwards } = generateKeyPairSync("ed25519");
  const keyfile = join(keys.caCert, "..", "keyfile.json");
  const account = {
    type: "service_account",
    client_email: "bench@bench.iam.gserviceaccount.com",
    private_key: privateKey.export({ type: "pkcs8", format: "pem" }),
    token_uri: tokenUri,
  };
  writeFileSync(keyfile, JSON.stringify(account), { mode: 0o600 });
  const google = { keyfile_path: keyfile, allow_token_uri: [`localhost:${port}`], rules };
  const signature = { message: "{{.Timestamp}}{{.Method}}{{.RawPathWithQuery}}{{.Body}}" };
  const headers = [{ name: "Authorization", value: "{{.Timestamp}}:{{.Signature}}" }];
  const inject = { header: "Authorization", formatter: "Bearer {{.Value}}" };
  return [
    {
      name: "secrets, inject",
      transforms: [{ name: "secrets", config: { secrets: [{ source: key, inject, rules }] } }],
      authorization: bearer,
    },
    {
      name: "oauth_token",
      transforms: [
        {
          name: "oauth_token",
          config: {
            tokens: [
              {
                grant: "client_credentials",
                token_endpoint: tokenUri,
                client_id: id,
                client_secret: key,
                rules,
              },
            ],
          },
        },
      ],
      authorization: bearer,
    },
    {
      name: "hmac_sign, HMAC-SHA256",
      transforms: [
        { name: "hmac_sign", config: { signature, credentials: { secret: key }, headers, rules } },
      ],
      authorization: bearer,
      target: signingTarget,
    },
    {
      name: "hmac_sign, Ed25519",
      transforms: [
        {
          name: "hmac_sign",
          config: {
            signature: { ...signature, algorithm: "ed25519" },
            credentials: { secret: { type: "env", var: "BENCH_EDWARDS" } },
            headers,
            rules,
          },
        },
      ],
      env: { BENCH_EDWARDS: edwards.export({ type: "pkcs8", format: "pem" }) },
      authorization: bearer,
    },
    { name: "aws_auth", transforms: [awsAuth(ports)], authorization: sigV4, target: signingTarget },
    {
      name: "gcp_auth",
      transforms: [
        { name: "gcp_auth", config: { ...google, scopes: ["https://www.googleapis.com/auth/x"] } },
      ],
      authorization: bearer,
    },
    {
      name: "gcp_id_token",
      transforms: [{ name: "gcp_id_token", config: { ...google, audience: "https://bench.run.app" } }],
      authorization: bearer,
    },
  ];
}

function awsAuth(ports: readonly number[]): object {
  const rules = ports.map((port) => ({ host: `localhost:${port}` }));
  return { name: "aws_auth", config: { access_key_id: id, secret_access_key: key, rules } };
}

function startMechanism(
  { directory, keys, ports, options }: Scene,
  { name, transforms, env = {} }: Pick<Mechanism, "name" | "transforms" | "env">,
): Promise<Contestant> {
  const folder = name.replaceAll(/\W+/g, "-");
  const pipeline: Pipeline = { name: folder, transforms, env: { ...made, ...env }, ports };
  return startSallyport(directory, keys, options.nodeFlags, pipeline);
}

/** The mechanism and the swap in turns, with the same body; the median of the rounds counts. */
async function compare(scene: Scene, mechanism: Mechanism): Promise<MechanismRow> {
  const { options, directory, origin, plain, target } = scene;
  const script = join(directory, "post.lua");
  const lua = `wrk.method = "POST"\nwrk.body = string.rep("x", ${bodyBytes})\n`;
  writeFileSync(script, `${lua}wrk.headers["Content-Type"] = "application/octet-stream"\n`);
  const contestant = await startMechanism(scene, mechanism);
  try {
    const samples: Record<"swap" | "mechanism", number[]> = { swap: [], mechanism: [] };
    const rates: number[] = [];
    const cost = async (one: Contestant, request: WrkRequest): Promise<{ cpu: number; rate: number }> => {
      const { result, cost: spent } = await measure(one.pid, () =>
        wrk(options.wrk, target(one, origin.port), connections, options.seconds, request),
      );
      return { cpu: (spent.cpuSeconds / result.requests) * 1e6, rate: result.requestsPerSecond };
    };
    const post = (path: string, authorization: string): WrkRequest => {
      return { path, script, fields: { Authorization: authorization } };
    };
    // The first round only warms up: compiled code, pools, the token.
    for (let round = options.rounds > 1 ? -1 : 0; round < options.rounds; round++) {
      console.error(`${mechanism.name}: ${round < 0 ? "warming up" : `round ${round + 1}`}`);
      const base = await cost(plain, post("/small", bearer));
      const own = await cost(contestant, post("/signed", mechanism.authorization));
      if (round < 0) continue;
      samples.swap.push(base.cpu);
      samples.mechanism.push(own.cpu);
      rates.push(own.rate);
    }
    const [swapCpu, cpu, rate] = [median(samples.swap), median(samples.mechanism), median(rates)];
    const { name, target: limit } = mechanism;
    return { name, cpu, swapCpu, rate, ...(limit === undefined ? {} : { target: limit }) };
  } finally {
    await contestant.stop();
  }
}

/** The same bytes unsigned, signed as a whole by a word, and signed chunk by chunk. */
async function compareUploads(scene: Scene, sinkPort: number): Promise<readonly UploadRow[]> {
  const { options, plain, ports } = scene;
  const { megabytes } = options;
  const pipeline = { name: "aws_auth, uploads", transforms: [awsAuth(ports)] };
  const forms: [name: string, contestant: Contestant | undefined, make: (size: number) => Upload][] = [
    ["unsigned, by the swap", plain, (size) => plainUpload(size, { Authorization: bearer })],
    ["aws_auth, UNSIGNED-PAYLOAD", undefined, (size) => plainUpload(size, s3Fields("UNSIGNED-PAYLOAD"))],
    [
      "aws_auth, STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
      undefined,
      (size) => chunkedUpload(size, s3Fields("STREAMING-AWS4-HMAC-SHA256-PAYLOAD")),
    ],
  ];
  const signing = await startMechanism(scene, pipeline);
  try {
    const rows: UploadRow[] = [];
    for (const [name, own, make] of forms) {
      const contestant = own ?? signing;
      const target = scene.target(contestant, sinkPort);
      console.error(`upload, ${name}`);
      await upload(target, make(Math.min(megabytes, 64)));
      await sleep(1000); // idle is what memory is compared with
      const { result: seconds, cost } = await measure(contestant.pid, () => upload(target, make(megabytes)));
      const { cpuSeconds, growthMegabytes } = cost;
      rows.push({ name, megabytesPerSecond: megabytes / seconds, cpuSeconds, growthMegabytes });
    }
    return rows;
  } finally {
    await signing.stop();
  }
}

function s3Fields(payload: string): Record<string, string> {
  const authorization = sigV4.replace("/execute-api/", "/s3/");
  return { Authorization: authorization, "X-Amz-Content-Sha256": payload };
}

function report(rows: readonly MechanismRow[], uploads: readonly UploadRow[]): MechanismResult {
  const targets: string[] = [];
  let missed = 0;
  const check = (what: string, passed: boolean, found: string): void => {
    if (!passed) missed++;
    targets.push(`${passed ? "pass" : "FAIL"}  ${what}: ${found}`);
  };
  for (const { name, cpu, swapCpu, target } of rows) {
    if (target === undefined) continue;
    const more = cpu - swapCpu;
    check(
      `${name}, ${bodyBytes} bytes of body`,
      more <= target,
      `${more.toFixed(1)} µs more than the swap, at most ${target}`,
    );
  }
  const [unsigned, ...signed] = uploads;
  for (const { name, megabytesPerSecond, growthMegabytes } of signed) {
    const part = megabytesPerSecond / (unsigned?.megabytesPerSecond ?? Number.NaN);
    const least = `at least ${throughputTarget * 100} %`;
    check(
      name,
      part >= throughputTarget,
      `${(part * 100).toFixed(0)} % of the unsigned throughput, ${least}`,
    );
    const growth = `${growthMegabytes.toFixed(0)} MB above idle, at most ${growthTarget}`;
    check(name, growthMegabytes <= growthTarget, growth);
  }
  const tables = [mechanismTable(rows), ...(uploads.length === 0 ? [] : [uploadTable(uploads)])];
  return { tables, targets, missed };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
