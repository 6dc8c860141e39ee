import { createHmac } from "node:crypto";
import type { Dispatcher } from "undici";
import { Secret, type SecretHandle } from "../sources/types.ts";
import type { FindingRecord } from "./types.ts";

/** Findings that wait for the receiver; more are dropped and counted. */
const maxWaiting = 256;
/** Pauses before further attempts in milliseconds; after the last one the finding is given up. */
const pausesMs: readonly number[] = [1000, 5000, 30_000];
/** Bytes of an answer that are read, to use its connection again. */
const maxAnswer = 4096;

export interface WebhookOptions {
  readonly url: string;
  /** Signs every message. */
  readonly secret: SecretHandle;
  readonly timeoutMs: number;
  /** Guards and resolves as all calls of the proxy's own (I11). */
  readonly dispatcher: Dispatcher;
  /** Turns a finding into the text that is posted. */
  readonly bodyOf: (record: FindingRecord) => string;
  /** Told once per outage. Holds no address and no credential. */
  readonly onProblem: (message: string) => void;
  readonly onRecovery: (message: string) => void;
  readonly pauses?: readonly number[];
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

export interface WebhookStats {
  readonly sent: number;
  readonly failed: number;
  readonly dropped: number;
  readonly waiting: number;
}

/**
 * Posts findings, one after the other, in their order. Nothing waits for it.
 *
 * `Sallyport-Signature: t=SECONDS,v1=HEX`: HMAC-SHA256 of `SECONDS.BODY` with the secret, so that the receiver knows who sends and when.
 */
export class Webhook {
  readonly #options: WebhookOptions;
  readonly #queue: FindingRecord[] = [];
  #working = false;
  #failing = false;
  #closed = false;
  /** Ends a pause. */
  #wake: (() => void) | undefined;
  #idle: (() => void) | undefined;
  #sent = 0;
  #failed = 0;
  #dropped = 0;

  constructor(options: WebhookOptions) {
    this.#options = options;
  }

  /** Queues one finding. */
  post(record: FindingRecord): void {
    if (this.#closed || this.#queue.length >= maxWaiting) {
      this.#dropped++;
      return;
    }
    this.#queue.push(record);
    if (!this.#working) void this.#work();
  }

  get stats(): WebhookStats {
    return {
      sent: this.#sent,
      failed: this.#failed,
      dropped: this.#dropped,
      waiting: this.#queue.length,
    };
  }

  /** Sends what waits, without pauses, for as long as this; takes no more. */
  async close(timeoutMs: number): Promise<void> {
    this.#closed = true;
    this.#wake?.();
    if (!this.#working) return;
    const timer = setTimeout(() => this.#idle?.(), timeoutMs);
    await new Promise<void>((resolve) => {
      this.#idle = resolve;
    });
    clearTimeout(timer);
    this.#dropped += this.#queue.length;
    this.#queue.length = 0;
  }

  async #work(): Promise<void> {
    this.#working = true;
    for (let record = this.#queue[0]; record !== undefined; record = this.#queue[0]) {
      const problem = await this.#deliver(record);
      // `close` may have emptied it.
      if (this.#queue[0] === record) this.#queue.shift();
      this.#settled(problem);
    }
    this.#working = false;
    this.#idle?.();
  }

  /** @returns why it was given up */
  async #deliver(record: FindingRecord): Promise<string | undefined> {
    const { bodyOf, pauses = pausesMs } = this.#options;
    const body = bodyOf(record);
    for (let attempt = 0; ; attempt++) {
      const outcome = await this.#attempt(body);
      if (outcome === undefined) return undefined;
      const pause = pauses[attempt];
      if (pause === undefined || !outcome.again || this.#closed) return outcome.problem;
      await this.#pause(pause);
    }
  }

  async #attempt(body: string): Promise<{ problem: string; again: boolean } | undefined> {
    const { url, timeoutMs, dispatcher } = this.#options;
    const key = await this.#key();
    if (key === undefined) return { problem: "its secret cannot be read", again: true };
    try {
      const { request } = await import("undici");
      const answer = await request(url, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          "user-agent": "sallyport",
          "sallyport-signature": this.#signature(body, key),
        },
        body,
        dispatcher,
        signal: AbortSignal.timeout(timeoutMs),
        headersTimeout: timeoutMs,
        bodyTimeout: timeoutMs,
      });
      const { statusCode } = answer;
      await answer.body.dump({ limit: maxAnswer });
      if (statusCode >= 200 && statusCode < 300) return undefined;
      const again = statusCode >= 500 || statusCode === 408 || statusCode === 429;
      return { problem: `it answers ${statusCode}`, again };
    } catch {
      // The text of the error may hold addresses.
      return { problem: "it cannot be reached or does not answer in time", again: true };
    }
  }

  #signature(body: string, key: Secret): string {
    const { now = Date.now } = this.#options;
    const seconds = Math.floor(now() / 1000);
    const hmac = createHmac("sha256", key.reveal()).update(`${seconds}.${body}`).digest("hex");
    return `t=${seconds},v1=${hmac}`;
  }

  async #key(): Promise<Secret | undefined> {
    try {
      return await this.#options.secret.get();
    } catch {
      // The cache has said why.
      return undefined;
    }
  }

  async #pause(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms).unref();
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = undefined;
  }

  #settled(problem: string | undefined): void {
    if (problem === undefined) {
      this.#sent++;
      if (this.#failing) this.#options.onRecovery("findings are delivered to findings.webhook again");
      this.#failing = false;
      return;
    }
    this.#failed++;
    if (this.#failing) return;
    this.#failing = true;
    this.#options.onProblem(
      `a finding was not delivered to findings.webhook: ${problem}. It is in the audit; ` +
        "those that are not delivered are counted in sallyport_finding_posts_total",
    );
  }
}
