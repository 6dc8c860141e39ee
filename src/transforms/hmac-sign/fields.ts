import { defaultPorts } from "../../http/authority.ts";
import type { Exchange } from "../../pipeline/types.ts";
import { decodePercent } from "../secrets/occurrences.ts";

/** A request as it will be sent, while its signature is made. Texts are byte strings. */
export interface Draft {
  /** Without what the workload put where the signature goes. */
  query: string | undefined;
  body: Buffer;
  /** Empty until it was rendered. */
  message: string;
  /** Empty until the message was signed. */
  signature: string;
}

/** What a request's templates are rendered with, besides its own parts. */
export interface FieldSources {
  readonly timestamp: string;
  readonly counter: () => string;
  readonly nonce: () => string;
  readonly credentials: ReadonlyMap<string, string>;
}

/** Fields that the message may name, and `Credentials` besides. */
export const requestFields = {
  Timestamp: "string",
  Nonce: "string",
  Counter: "string",
  Method: "string",
  Host: "string",
  URL: "string",
  Path: "string",
  RawPath: "string",
  Query: "string",
  PathWithQuery: "string",
  RawPathWithQuery: "string",
  Body: "string",
} as const;

/** Fields that exist once the message was rendered and signed. */
export const signatureFields = { Message: "string", Signature: "string" } as const;

/**
 * The data of one request's templates, as byte strings. What takes work is made when a template asks for it: most
 * schemes name three or four of these.
 */
export class SigningFields {
  // Keeps the class assignable to a template's data.
  readonly [name: string]: string | ReadonlyMap<string, string>;
  readonly Timestamp: string;
  readonly Credentials: ReadonlyMap<string, string>;
  readonly #exchange: Exchange;
  readonly #sources: FieldSources;
  readonly #draft: Draft;
  #text: string | undefined;
  #nonce: string | undefined;
  #counter: string | undefined;

  constructor(exchange: Exchange, draft: Draft, sources: FieldSources) {
    this.Timestamp = sources.timestamp;
    this.Credentials = sources.credentials;
    this.#exchange = exchange;
    this.#draft = draft;
    this.#sources = sources;
  }

  get Nonce(): string {
    this.#nonce ??= this.#sources.nonce();
    return this.#nonce;
  }

  get Counter(): string {
    this.#counter ??= this.#sources.counter();
    return this.#counter;
  }

  get Method(): string {
    return this.#exchange.request.method;
  }

  /** Without the port. */
  get Host(): string {
    return this.#exchange.authority.host.name;
  }

  /** As it is sent; a default port is left out. */
  get URL(): string {
    const { scheme, authority } = this.#exchange;
    const port = `:${defaultPorts[scheme]}`;
    const { text } = authority;
    return `${scheme}://${text.endsWith(port) ? text.slice(0, -port.length) : text}${this.RawPathWithQuery}`;
  }

  /** Percent-decoded, as Go's `URL.Path` is. */
  get Path(): string {
    return decodePercent(this.RawPath, false);
  }

  get RawPath(): string {
    return this.#exchange.request.path;
  }

  get Query(): string {
    return this.#draft.query ?? "";
  }

  get PathWithQuery(): string {
    return this.Query === "" ? this.Path : `${this.Path}?${this.Query}`;
  }

  get RawPathWithQuery(): string {
    const { query } = this.#draft;
    return query === undefined ? this.RawPath : `${this.RawPath}?${query}`;
  }

  get Body(): string {
    this.#text ??= this.#draft.body.toString("latin1");
    return this.#text;
  }

  get Message(): string {
    return this.#draft.message;
  }

  get Signature(): string {
    return this.#draft.signature;
  }
}
