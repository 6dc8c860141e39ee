// The grammar of RFC 9112 and the refusals of I9 once more, as regular expressions over a whole input: slow,
// and written from the rules rather than from the parser. What it reads is what the parser must read, no more.

export interface GrammarMessage {
  start: string[];
  headers: [string, string][];
  /** `undefined` when nothing can be said about the body, because the head has none that HTTP frames. */
  body: string;
  trailers: [string, string][];
}

const token = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+";
const notControl = "[\\t\\x20-\\x7e\\x80-\\xff]";
const quoted = '"(?:[\\x20!#-\\[\\]-\\x7e\\x80-\\xff]|\\\\[\\x20-\\x7e\\x80-\\xff])*"';
const fieldLines = `((?:${token}:${notControl}*\\r\\n)*)\\r\\n`;
const requestHead = new RegExp(`^(?:\\r\\n)?(${token}) ([\\x21-\\x7e]+) HTTP/1\\.([01])\\r\\n${fieldLines}`);
const responseHead = new RegExp(`^HTTP/1\\.([01]) ([1-5]\\d\\d)(?: (${notControl}*))?\\r\\n${fieldLines}`);
const chunkHeader = new RegExp(`^([0-9a-fA-F]{1,13})((?:;${token}(?:=(?:${token}|${quoted}))?)*)\\r\\n`);
const trailerSection = new RegExp(`^${fieldLines}`);
const paddedCoding = /^transfer-encoding:.*[!-\xff][ \t]+$/im;
const badTrailer =
  /^(?:authorization|connection|content-length|cookie|expect|host|keep-alive|set-cookie|te|trailer|transfer-encoding|upgrade|www-authenticate|proxy-.*)$/i;

/** The first request of the input, or `undefined` when it is malformed or not complete. */
export function readRequest(input: string): GrammarMessage | undefined {
  const match = requestHead.exec(input);
  if (match === null) return undefined;
  const [all, method = "", target = "", minor, lines = ""] = match;
  if (paddedCoding.test(lines)) return undefined;
  const headers = readFields(lines);
  const hosts = valuesOf(headers, "host").length;
  if (hosts > 1 || (hosts === 0 && minor === "1")) return undefined;
  if (method === "CONNECT" && headers.some(([name, value]) => announcesBody(name, value))) return undefined;
  const body = readBody(input.slice(all.length), headers, minor === "1", "none");
  if (body === undefined || body.trailers.some(([name]) => badTrailer.test(name))) return undefined;
  return { start: [method, target], headers, ...body };
}

/** The response to a request of this method, 1xx before it passed over, or `undefined` as above. */
export function readResponse(input: string, method: string): GrammarMessage | undefined {
  const match = responseHead.exec(input);
  if (match === null) return undefined;
  const [all, minor, status = "", reason = "", lines = ""] = match;
  if (status < "200" && minor === "0") return undefined;
  if (paddedCoding.test(lines)) return undefined;
  const headers = readFields(lines);
  const bodiless =
    method === "HEAD" || /^(?:1..|204|304)$/.test(status) || (method === "CONNECT" && status < "300");
  const body = readBody(
    bodiless ? "" : input.slice(all.length),
    headers,
    minor === "1",
    bodiless ? "never" : "close",
  );
  if (body === undefined) return undefined;
  if (/^1(?!01)/.test(status)) return readResponse(input.slice(all.length), method);
  if (status === "101") return undefined;
  const trailers = body.trailers.filter(([name]) => !badTrailer.test(name));
  return { start: [status, reason], headers, body: body.body, trailers };
}

function announcesBody(name: string, value: string): boolean {
  return /^transfer-encoding$/i.test(name) || (/^content-length$/i.test(name) && !/^0+$/.test(value));
}

type Unframed = "none" | "close" | "never";

function readBody(
  rest: string,
  headers: [string, string][],
  isHttp11: boolean,
  unframed: Unframed,
): Pick<GrammarMessage, "body" | "trailers"> | undefined {
  const lengths = valuesOf(headers, "content-length");
  const codings = valuesOf(headers, "transfer-encoding");
  if (lengths.length + codings.length > 1) return undefined;
  if (codings.length === 1) {
    if (!isHttp11 || !/^chunked$/i.test(codings[0] as string)) return undefined;
    return unframed === "never" ? { body: "", trailers: [] } : readChunks(rest);
  }
  if (lengths.length === 1) {
    const length = lengths[0] as string;
    if (!/^\d+$/.test(length) || BigInt(length) >= 2n ** 53n) return undefined;
    if (unframed === "never") return { body: "", trailers: [] };
    return rest.length < Number(length) ? undefined : { body: rest.slice(0, Number(length)), trailers: [] };
  }
  return { body: unframed === "close" ? rest : "", trailers: [] };
}

function readChunks(input: string): Pick<GrammarMessage, "body" | "trailers"> | undefined {
  let rest = input;
  let body = "";
  for (;;) {
    const header = chunkHeader.exec(rest);
    if (header === null) return undefined;
    const size = Number.parseInt(header[1] as string, 16);
    rest = rest.slice(header[0].length);
    if (size === 0) break;
    if (rest.slice(size, size + 2) !== "\r\n") return undefined;
    body += rest.slice(0, size);
    rest = rest.slice(size + 2);
  }
  const trailers = trailerSection.exec(rest);
  return trailers === null ? undefined : { body, trailers: readFields(trailers[1] as string) };
}

function readFields(lines: string): [string, string][] {
  return lines
    .split("\r\n")
    .slice(0, -1)
    .map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon), line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, "")];
    });
}

function valuesOf(headers: [string, string][], key: string): string[] {
  return headers.filter(([name]) => name.toLowerCase() === key).map(([, value]) => value);
}
