// The two load generators: wrk for kept connections, and a client of our own where every connection is new or
// every body is large, since wrk cannot be told to forget a TLS session.
import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { request } from "node:https";
import { connect, type TLSSocket } from "node:tls";
import { placeholder } from "./contestants.ts";

/** Whom to ask, and as whom. */
export interface Target {
  /** Port of the contestant. */
  readonly port: number;
  /** Value of the Host field: the origin's authority. */
  readonly host: string;
  readonly caCert: string;
}

export interface WrkResult {
  readonly requests: number;
  readonly requestsPerSecond: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
}

/** What wrk sends. */
export interface WrkRequest {
  readonly path: string;
  readonly fields: Readonly<Record<string, string>>;
  /** Lua file that sets method and body; `undefined` for a GET. */
  readonly script?: string;
}

const small: WrkRequest = { path: "/small", fields: { Authorization: `Bearer ${placeholder}` } };

/**
 * Keeps connections busy for some seconds with one request, by default `GET /small`.
 * @throws {Error} when an answer was not 2xx or a connection failed
 */
export async function wrk(
  program: string,
  target: Target,
  connections: number,
  seconds: number,
  { path, fields, script }: WrkRequest = small,
): Promise<WrkResult> {
  const args = ["-t1", `-c${connections}`, `-d${seconds}s`, "--latency", "--timeout", "10s"];
  if (script !== undefined) args.push("-s", script);
  const headers = Object.entries({ Host: target.host, ...fields }).flatMap(([name, value]) => [
    "-H",
    `${name}: ${value}`,
  ]);
  const output = await new Promise<string>((resolve, reject) => {
    execFile(
      program,
      [...args, ...headers, `https://localhost:${target.port}${path}`],
      (error, stdout, stderr) => {
        if (error) reject(new Error(`wrk failed: ${stderr || error.message}`));
        else resolve(stdout);
      },
    );
  });
  const trouble = /Non-2xx or 3xx responses: \d+|Socket errors: .*/.exec(output);
  if (trouble !== null) throw new Error(`errors in responses: ${trouble[0]}`);
  const requests = Number(/(\d+) requests in/.exec(output)?.[1]);
  if (!(requests > 0)) throw new Error(`wrk got no answer:\n${output}`);
  return {
    requests,
    requestsPerSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(output)?.[1]),
    p50: latency(output, 50),
    p99: latency(output, 99),
  };
}

/** What h2load sends. */
export interface H2Request {
  readonly path: string;
  readonly fields: Readonly<Record<string, string>>;
  /** Sent with POST; `undefined` for a GET. */
  readonly bodyFile?: string;
}

/**
 * Keeps HTTP/2 connections busy for some seconds, each with so many of one request at a time, by default `GET /small`.
 * @throws {Error} when an answer was not 2xx, a connection failed, or HTTP/2 was not what was spoken
 */
export async function h2load(
  program: string,
  target: Target,
  connections: number,
  streams: number,
  seconds: number,
  { path, fields: own, bodyFile }: H2Request = small,
): Promise<Pick<WrkResult, "requests" | "requestsPerSecond">> {
  const fields = { ":authority": target.host, ...own };
  const headers = Object.entries(fields).flatMap(([name, value]) => ["-H", `${name}: ${value}`]);
  const args = [`-c${connections}`, `-m${streams}`, `-D${seconds}`, ...headers];
  if (bodyFile !== undefined) args.push("-d", bodyFile);
  const output = await new Promise<string>((resolve, reject) => {
    execFile(program, [...args, `https://localhost:${target.port}${path}`], (error, stdout, stderr) => {
      if (error) reject(new Error(`h2load failed: ${stderr || error.message}`));
      else resolve(stdout);
    });
  });
  const requests = Number(/status codes: (\d+) 2xx, 0 3xx, 0 4xx, 0 5xx/.exec(output)?.[1]);
  if (!(requests > 0) || !output.includes("Application protocol: h2")) {
    throw new Error(`h2load did not get 2xx over HTTP/2 each time:\n${output}`);
  }
  return { requests, requestsPerSecond: Number(/, ([\d.]+) req\/s/.exec(output)?.[1]) };
}

/** A line of wrk's latency distribution, such as `     99%    3.21ms`, in milliseconds. */
function latency(output: string, percentile: number): number {
  for (const [, percent, value, unit] of output.matchAll(/^\s+(\d+)%\s+([\d.]+)(us|ms|s)\s*$/gm)) {
    if (Number(percent) === percentile)
      return Number(value) * (unit === "us" ? 0.001 : unit === "s" ? 1000 : 1);
  }
  return Number.NaN;
}

export interface ConnectionsResult {
  readonly connections: number;
  /** How many of them resumed a TLS session, as the client saw it. */
  readonly resumed: number;
}

/**
 * Opens a connection for each of `count` requests, `concurrency` at a time.
 * @param resume offers the TLS session of the connection before
 * @throws {Error} when an answer was not 200
 */
export async function newConnections(
  target: Target,
  count: number,
  concurrency: number,
  resume: boolean,
): Promise<ConnectionsResult> {
  const ca = readFileSync(target.caCert);
  const bytes = `GET /small HTTP/1.1\r\nHost: ${target.host}\r\nAuthorization: Bearer ${placeholder}\r\nConnection: close\r\n\r\n`;
  let session: Buffer | undefined;
  let begun = 0;
  let resumed = 0;
  const one = async (): Promise<void> => {
    const socket: TLSSocket = connect({
      port: target.port,
      host: "127.0.0.1",
      servername: "localhost",
      ca,
      ...(resume && session !== undefined ? { session } : {}),
    });
    socket.on("session", (ticket) => (session = ticket));
    let answer = "";
    socket.on("data", (data: Buffer) => (answer += data.toString("latin1")));
    socket.once("secureConnect", () => {
      if (socket.isSessionReused()) resumed++;
      socket.write(bytes);
    });
    await once(socket, "close");
    if (!answer.startsWith("HTTP/1.1 200 ") || !answer.endsWith("}")) {
      throw new Error(`errors in responses: ${answer.slice(0, 200) || "no answer"}`);
    }
  };
  const worker = async (): Promise<void> => {
    while (begun < count) {
      begun++;
      await one();
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  return { connections: count, resumed };
}

/**
 * Moves a body `count` times, `concurrency` at a time, each on a connection of its own.
 * @throws {Error} when an answer was not 200 or a body arrived short
 */
export async function transfers(
  target: Target,
  direction: "download" | "upload",
  size: number,
  count: number,
  concurrency: number,
): Promise<void> {
  const ca = readFileSync(target.caCert);
  const block = Buffer.alloc(64 * 1024, "u");
  let begun = 0;
  const one = async (): Promise<void> => {
    const outgoing = request({
      port: target.port,
      host: "127.0.0.1",
      servername: "localhost",
      ca,
      agent: false,
      method: direction === "download" ? "GET" : "PUT",
      path: direction === "download" ? "/big" : "/upload",
      headers: {
        Host: target.host,
        Authorization: `Bearer ${placeholder}`,
        ...(direction === "upload" ? { "Content-Length": size } : {}),
      },
    });
    const answered = new Promise<{ status: number | undefined; received: number }>((resolve, reject) => {
      outgoing.once("error", reject);
      outgoing.once("response", (response) => {
        let received = 0;
        response.on("data", (data: Buffer) => (received += data.length));
        response.once("end", () => resolve({ status: response.statusCode, received }));
        response.once("error", reject);
      });
    });
    if (direction === "upload") {
      for (let sent = 0; sent < size; sent += block.length) {
        if (!outgoing.write(block)) await Promise.race([once(outgoing, "drain"), answered]);
      }
    }
    outgoing.end();
    const { status, received } = await answered;
    if (status !== 200 || (direction === "download" && received !== size)) {
      throw new Error(`errors in responses: ${direction} answered ${status} with ${received} bytes`);
    }
  };
  const worker = async (): Promise<void> => {
    while (begun < count) {
      begun++;
      await one();
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
}
