import { BodyFilter } from "../http/body-filter.ts";
import { BodyAbortedError, type BodySource } from "../http/body.ts";
import type { Headers } from "../http/headers.ts";
import type { Automaton } from "../scrub/automaton.ts";
import type { Coding } from "../scrub/codings.ts";
import type { Exposed } from "../scrub/forms.ts";
import { DecodedCopy } from "./decoded-copy.ts";
import { MessageScanner } from "./messages.ts";
import { type OnForm, scanAll, StreamScanner } from "./scan.ts";

/** Who decides about what is found behind a head. */
export interface Finder {
  /** @returns true when nothing more may be sent */
  found(exposed: Exposed, where: string): boolean;
  /** Tells of what was found. */
  report(): void;
}

/** What takes the bytes of a body and says what is in them. */
interface Scanner {
  write(bytes: Uint8Array): void;
  end(): void;
}

/**
 * A request's body that is searched as it passes. Nothing is held back: what completes a credential is not sent, and so the request
 * neither. For {@link Body.wrap}.
 */
export class WatchedBody extends BodyFilter {
  protected readonly scanner: Scanner;
  readonly #finder: Finder;
  readonly #automaton: Automaton;
  #blocked = false;

  /** @param messages coding of the messages that are compressed one by one, as those of gRPC are */
  constructor(source: BodySource, finder: Finder, automaton: Automaton, messages?: Coding) {
    super(source);
    this.#finder = finder;
    this.#automaton = automaton;
    const onForm: OnForm = (exposed) => this.#found(exposed, "body");
    this.scanner =
      messages === undefined
        ? new StreamScanner(automaton, onForm)
        : new MessageScanner(automaton, onForm, messages);
  }

  protected override take(bytes: Uint8Array): void {
    this.scanner.write(bytes);
    this.pass(bytes);
  }

  protected override complete(trailers: Headers | undefined): void {
    this.scanner.end();
    if (trailers !== undefined) this.#scanTrailers(trailers);
    if (this.#blocked) this.#stop();
    else this.finish(trailers);
  }

  protected override release(): void {
    this.#finder.report();
  }

  /** Sends what was searched. @returns whether the reader has room for more */
  protected pass(bytes: Uint8Array): boolean {
    if (!this.#blocked) return this.send(bytes);
    this.#stop();
    return false;
  }

  #found(exposed: Exposed, where: string): void {
    if (this.#finder.found(exposed, where)) this.#blocked = true;
  }

  #scanTrailers(trailers: Headers): void {
    for (let index = 0; index < trailers.size; index++) {
      const value = Buffer.from(trailers.valueAt(index), "latin1");
      scanAll(this.#automaton, value, value.length, (exposed) =>
        this.#found(exposed, `trailer:${trailers.keyAt(index)}`),
      );
    }
  }

  #stop(): void {
    this.fail(new BodyAbortedError("the request holds a credential"));
  }
}

/** The same for a body in a content coding: a copy is decoded and searched before the bytes that it came in go on, as they are. */
export class WatchedCodedBody extends WatchedBody {
  readonly #copy: DecodedCopy;
  readonly #waiting: Uint8Array[] = [];
  #end: { readonly trailers: Headers | undefined } | undefined;
  #busy = false;
  #hasRoom = true;

  constructor(source: BodySource, finder: Finder, automaton: Automaton, coding: Coding) {
    super(source, finder, automaton);
    this.#copy = new DecodedCopy(coding, this.scanner);
  }

  override resume(): void {
    this.#hasRoom = true;
    this.#next();
  }

  protected override take(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    // A copy: the bytes belong to whoever reads the connection.
    this.#waiting.push(Uint8Array.from(bytes));
    this.ready = false;
    this.#next();
  }

  protected override complete(trailers: Headers | undefined): void {
    this.#end = { trailers };
    this.#next();
  }

  protected override release(): void {
    this.#copy.close();
    super.release();
  }

  #next(): void {
    if (this.#busy || this.over) return;
    const bytes = this.#waiting.shift();
    const end = this.#end;
    if (bytes !== undefined)
      this.#search(
        (done) => this.#copy.write(bytes, done),
        () => this.#onSearched(bytes),
      );
    else if (end !== undefined)
      this.#search(
        (done) => this.#copy.end(done),
        () => super.complete(end.trailers),
      );
    else if (this.#hasRoom) super.resume();
  }

  #search(begin: (done: () => void) => void, then: () => void): void {
    this.#busy = true;
    begin(() => {
      this.#busy = false;
      if (!this.over) then();
    });
  }

  #onSearched(bytes: Uint8Array): void {
    this.#hasRoom = this.pass(bytes);
    this.#next();
  }
}
