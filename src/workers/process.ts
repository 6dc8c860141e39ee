import cluster, { type Worker as ClusterWorker } from "node:cluster";
import type { AuditRecord } from "../audit/types.ts";
import type { Config } from "../config/types.ts";
import type { BoundAddresses } from "../proxy/proxy.ts";
import type { Learner } from "./commons.ts";
import type { Ask, AuditBatch, Boot, Grant, Lesson, Report, ToPrimary, ToWorker } from "./messages.ts";

/** What the first process does with what a worker says. */
export interface WorkerEvents {
  ask(ask: Ask): Promise<Grant>;
  /** @param known called when all others know, where the worker waits for that */
  learnt(lesson: Lesson, worker: WorkerProcess, known: (() => void) | undefined): void;
  audit(batch: AuditBatch): void;
  log(line: Extract<ToPrimary, { kind: "log" }>, worker: WorkerProcess): void;
  report(report: Report, worker: WorkerProcess): void;
  /** The process has ended, whatever the reason, and all that it sent was told. */
  exit(worker: WorkerProcess, how: string): void;
}

/** How long a worker may take to say what it was asked for before it counts as hung, in milliseconds. */
const answerMs = 5000;
/** The same for putting another configuration in force, which compiles its rules. */
const applyMs = 30_000;

/** How long others wait for a worker to say that it knows what they learnt, in milliseconds. */
const learnMs = 1000;

/** A worker that could not start; the message is that of the error it met. */
export class WorkerStartError extends Error {
  override readonly name = "WorkerStartError";
}

/** One of the processes that serve, as the first process sees it. */
export class WorkerProcess implements Learner {
  readonly startedAt = Date.now();
  /** Resolves when it serves. */
  readonly ready: Promise<BoundAddresses>;
  /** It said that it serves. */
  isReady = false;
  /** Exchanges that began there and have no record yet. */
  readonly begun = new Map<string, AuditRecord>();
  lastReport: Report | undefined;
  readonly #worker: ClusterWorker;
  readonly #events: WorkerEvents;
  readonly #exited = Promise.withResolvers<void>();
  readonly #stopped = Promise.withResolvers<void>();
  #ready = Promise.withResolvers<BoundAddresses>();
  #applied: ((generation: number) => void)[] = [];
  #reported: (() => void)[] = [];
  readonly #learning = new Map<number, () => void>();
  #lastLesson = 0;

  constructor(boot: Boot, events: WorkerEvents) {
    this.#events = events;
    this.#worker = cluster.fork();
    this.ready = this.#ready.promise;
    this.ready.catch(() => {}); // the first start waits for it; a later one is seen to end
    this.#worker.on("message", (message: ToPrimary) => this.#receive(message));
    this.#worker.on("exit", (code: number | null, signal: string | null) => {
      const how = signal === null ? `exit code ${code}` : signal;
      this.#ready.reject(new WorkerStartError(`a worker ended before it served (${how})`));
      // What it had sent is still read.
      if (this.#worker.isConnected()) this.#worker.once("disconnect", () => this.#end(how));
      else this.#end(how);
    });
    this.#send(boot);
  }

  get pid(): number {
    return this.#worker.process.pid ?? 0;
  }

  /** Puts another configuration in force; resolves when it is, or never will be. */
  async apply(generation: number, config: Config): Promise<void> {
    const applied = new Promise<void>((resolve) => {
      this.#applied.push((reached) => {
        if (reached >= generation) resolve();
      });
    });
    this.#send({ kind: "policy", generation, config });
    // One that hangs would decide by the old configuration for ever.
    if (!(await this.#within(applied, applyMs))) this.kill();
    this.#applied = [];
  }

  /** Resolves when it has told its counts, or is not going to. */
  async report(): Promise<void> {
    const reported = new Promise<void>((resolve) => {
      this.#reported.push(resolve);
    });
    this.#send({ kind: "report" });
    await this.#within(reported, answerMs);
  }

  learn(lesson: Lesson): void {
    this.#send({ kind: "learnt", id: 0, ...lesson });
  }

  async learnt(lesson: Lesson): Promise<void> {
    const id = ++this.#lastLesson;
    const learning = new Promise<void>((resolve) => {
      this.#learning.set(id, resolve);
    });
    this.#send({ kind: "learnt", id, ...lesson });
    await this.#within(learning, learnMs);
    this.#learning.delete(id);
  }

  auditHealth(healthy: boolean): void {
    this.#send({ kind: "audit_health", healthy });
  }

  /** Lets exchanges under way finish; resolves when it has ended. What takes longer is killed. */
  async stop(timeoutMs: number): Promise<void> {
    this.#send({ kind: "stop", timeoutMs });
    await this.#within(this.#stopped.promise, timeoutMs + answerMs);
    if (!(await this.#within(this.#exited.promise, answerMs))) this.kill();
    await this.#exited.promise;
  }

  kill(): void {
    this.#worker.process.kill("SIGKILL");
  }

  #end(how: string): void {
    this.#exited.resolve();
    this.#events.exit(this, how);
  }

  #receive(message: ToPrimary): void {
    switch (message.kind) {
      case "ready":
        this.isReady = true;
        this.#ready.resolve(message.addresses);
        return;
      case "failed":
        this.#ready.reject(new WorkerStartError(message.message));
        return;
      case "ask":
        void this.#events.ask(message).then((grant) => this.#send({ kind: "grant", id: message.id, grant }));
        return;
      case "learnt": {
        const { id, name, item } = message;
        const known = id === 0 ? undefined : () => this.#send({ kind: "known", id });
        this.#events.learnt({ name, item }, this, known);
        return;
      }
      case "known":
        this.#learning.get(message.id)?.();
        return;
      case "audit":
        for (const record of message.begun) this.begun.set(record.requestId, record);
        for (const id of message.ended) this.begun.delete(id);
        this.#events.audit(message);
        return;
      case "log":
        this.#events.log(message, this);
        return;
      case "applied":
        for (const done of this.#applied) done(message.generation);
        return;
      case "report":
        this.lastReport = message;
        this.#events.report(message, this);
        for (const done of this.#reported.splice(0)) done();
        return;
      case "stopped":
        this.#stopped.resolve();
        return;
    }
  }

  /** What cannot be sent any more needs no answer: the end of the process is told. */
  #send(message: ToWorker): void {
    if (this.#worker.isConnected()) this.#worker.process.send(message, undefined, undefined, () => {});
  }

  /** False when the time is over first; the end of the process counts as done. */
  async #within(done: Promise<void>, timeoutMs: number): Promise<boolean> {
    const late = Promise.withResolvers<boolean>();
    const timer = setTimeout(() => late.resolve(false), timeoutMs);
    const settled = Promise.race([done, this.#exited.promise]).then(() => true);
    const isDone = await Promise.race([settled, late.promise]);
    clearTimeout(timer);
    return isDone;
  }
}
