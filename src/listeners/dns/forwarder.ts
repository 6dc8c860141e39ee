// a query we may not answer ourselves ──▶ UDP, new socket and id each time ──▶ resolver; cut answers again over TCP

import { randomInt } from "node:crypto";
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { connect, isIPv6, type Socket } from "node:net";
import { type Asked, flagBits, headerLength, largestDatagram, recordTypes } from "./message.ts";
import { isSameName, readAnswer, type ResolverAnswer } from "./resolver-answer.ts";

/** Where a resolver is. */
export interface ResolverAddress {
  readonly host: string;
  readonly port: number;
}

export interface ForwarderOptions {
  /** Asked in this order; read for every query. */
  servers(): readonly ResolverAddress[];
}

/** Asks other resolvers. */
export interface Forwarder {
  /**
   * @returns the answer as it came, for this very question
   * @throws {ForwardError}
   */
  ask(asked: Asked): Promise<ResolverAnswer>;
  close(): void;
}

/** No resolver gave an answer; the message is for the operator. */
export class ForwardError extends Error {
  override readonly name = "ForwardError";
}

/** Different questions asked of resolvers at a time (I12); more are answered SERVFAIL. */
const maxPending = 256;
/** Resolvers that are tried for one question. */
const maxServers = 2;
/** How long one resolver has, in milliseconds: stub resolvers ask again after five seconds. */
const attemptMs = 2000;

export function createForwarder(options: ForwarderOptions): Forwarder {
  const pending = new Map<string, Promise<ResolverAnswer>>();
  const open = new Set<{ destroy(): void }>();

  const ask = async (asked: Asked): Promise<ResolverAnswer> => {
    const known = options.servers().slice(0, maxServers);
    if (known.length === 0) throw new ForwardError("there is no resolver but this server itself");
    let problem: unknown;
    for (const server of known) {
      try {
        const answer = await askUdp(asked, server, open);
        if (answer !== "respelled" && !answer.truncated) return answer;
        return await askTcp(asked, server, open);
      } catch (error) {
        problem = error;
      }
    }
    throw problem instanceof ForwardError ? problem : new ForwardError(textOf(problem));
  };

  return {
    ask(asked) {
      // One flight for the same question also ends a loop: a resolver that asks us back waits for itself.
      const kept = flagBits.recursionDesired | flagBits.checkingDisabled;
      const key = `${asked.flags & kept} ${asked.edns?.dnssecOk === true} ${asked.question.toString("latin1")}`;
      const flight = pending.get(key);
      if (flight !== undefined) return flight;
      if (pending.size >= maxPending)
        return Promise.reject(new ForwardError("too many questions are under way"));
      const started = ask(asked).finally(() => pending.delete(key));
      pending.set(key, started);
      return started;
    },
    close() {
      for (const one of open) one.destroy();
    },
  };
}

function textOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code ?? message;
}

/** A query of ours with an id of its own: the question in the client's spelling, and the flags that are the client's to set. */
function ourQuery(asked: Asked): { id: number; message: Buffer } {
  const id = randomInt(0x10000);
  const head = Buffer.alloc(headerLength);
  head.writeUInt16BE(id, 0);
  head.writeUInt16BE(asked.flags & (flagBits.recursionDesired | flagBits.checkingDisabled), 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(1, 10);
  const opt = Buffer.alloc(11);
  opt.writeUInt16BE(recordTypes.OPT, 1);
  opt.writeUInt16BE(largestDatagram, 3);
  opt.writeUInt16BE(asked.edns?.dnssecOk === true ? 0x8000 : 0, 7);
  return { id, message: Buffer.concat([head, asked.question, opt]) };
}

/**
 * A socket for each question: its port is one more number that a forger has to guess, and being connected it
 * takes datagrams of the resolver only (RFC 5452 section 9.2).
 */
function askUdp(
  asked: Asked,
  server: ResolverAddress,
  open: Set<{ destroy(): void }>,
): Promise<ResolverAnswer | "respelled"> {
  return attempt(open, (settle) => {
    const { id, message } = ourQuery(asked);
    const socket: UdpSocket = createSocket(isIPv6(server.host) ? "udp6" : "udp4");
    socket.on("error", (error) => settle.reject(error));
    socket.on("message", (datagram) => {
      try {
        const answer = readAnswer(datagram, id, asked.question);
        // Anything else came from a forger or too late: the answer may still be on its way.
        if (answer !== undefined) settle.resolve(answer);
      } catch {
        settle.reject(new ForwardError("the resolver's answer cannot be read"));
      }
    });
    socket.connect(server.port, server.host, () => {
      socket.send(message, (error) => {
        if (error) settle.reject(error);
      });
    });
    return () => socket.close();
  });
}

/** The same over TCP (RFC 7766). */
function askTcp(
  asked: Asked,
  server: ResolverAddress,
  open: Set<{ destroy(): void }>,
): Promise<ResolverAnswer> {
  return attempt(open, (settle) => {
    const { id, message } = ourQuery(asked);
    const length = Buffer.alloc(2);
    length.writeUInt16BE(message.length);
    const socket: Socket = connect(server.port, server.host);
    let received: Buffer = Buffer.alloc(0);
    socket.on("error", (error) => settle.reject(error));
    socket.on("close", () => settle.reject(new ForwardError("the resolver closed the connection")));
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
      try {
        const answer = readAnswer(
          asAsked(received.subarray(2, 2 + received.readUInt16BE(0)), asked),
          id,
          asked.question,
        );
        if (answer !== undefined && answer !== "respelled" && !answer.truncated) settle.resolve(answer);
        else settle.reject(new ForwardError("the resolver answered another question"));
      } catch {
        settle.reject(new ForwardError("the resolver's answer cannot be read"));
      }
    });
    socket.write(Buffer.concat([length, message]));
    return () => socket.destroy();
  });
}

/** Over TCP nobody can forge an answer from afar, so a server that does not keep the spelling is put right. */
function asAsked(message: Buffer, { question }: Asked): Buffer {
  const end = headerLength + question.length;
  if (!isSameName(message.subarray(headerLength, end), question)) return message;
  return Buffer.concat([message.subarray(0, headerLength), question, message.subarray(end)]);
}

interface Settle<Value> {
  resolve(value: Value): void;
  reject(error: Error): void;
}

/** Runs one attempt to its answer, its failure or its end in time; `begin` gives what closes its socket. */
function attempt<Value>(
  open: Set<{ destroy(): void }>,
  begin: (settle: Settle<Value>) => () => void,
): Promise<Value> {
  const { promise, resolve, reject } = Promise.withResolvers<Value>();
  let over = false;
  const end = (): void => {
    over = true;
    clearTimeout(timer);
    open.delete(handle);
    close();
  };
  const settle: Settle<Value> = {
    resolve(value) {
      if (over) return;
      end();
      resolve(value);
    },
    reject(error) {
      if (over) return;
      end();
      reject(error);
    },
  };
  const handle = { destroy: () => settle.reject(new ForwardError("stopping")) };
  const timer = setTimeout(
    () => settle.reject(new ForwardError("the resolver did not answer in time")),
    attemptMs,
  );
  const close = begin(settle);
  open.add(handle);
  return promise;
}
