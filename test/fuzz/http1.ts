import type { Random } from "./random.ts";

// Messages for the HTTP/1.1 fuzz targets: mostly well formed, then damaged where parsers have been wrong before.

const methods = ["GET", "POST", "HEAD", "PUT", "OPTIONS", "DELETE", "CONNECT", "PRI", "BREW", "get"];
const targets = [
  "/",
  "/a?b=c",
  "/%2e%2e/x",
  "*",
  "http://h/p",
  "example.com:443",
  "/\x7f",
  "//a",
  "/[x]|{y}^",
];
const versions = [
  "HTTP/1.1",
  "HTTP/1.1",
  "HTTP/1.1",
  "HTTP/1.1",
  "HTTP/1.0",
  "HTTP/2.0",
  "http/1.1",
  "HTTP/1.10",
];
const names = [
  "Accept",
  "x-a",
  "X-A",
  "Cookie",
  "TE",
  "Trailer",
  "Via",
  "a'b",
  "Expect",
  "X-Long-Name-Of-A-Field",
];
const values = ["", "1", "a, b", " x ", "caf\xe9", '"q\\"x"', "\ta\t", "100-continue", "\xa0\x80", "a:b: c"];
const connections = ["close", "keep-alive", "Close, x", "upgrade", "x,keep-alive", "te"];
const codings = [
  "chunked",
  "chunked",
  "chunked",
  "Chunked",
  "CHUNKED",
  "gzip, chunked",
  "xchunked",
  "chunked,",
  "identity",
];
const lengths = ["0", "3", "3", "03", "+3", "0x3", "3, 3", "3 ", "99999999999999999999", "-1"];
const extensions = ["", "", "", ";a", ";a=b", ';a="b;c"', ';q="\\""', "; a", ";a=", " ", ';"x"'];
const statuses = [
  "200 OK",
  "200 OK",
  "200",
  "200 ",
  "404 Not Found",
  "204 No",
  "304 N",
  "100 C",
  "103 E",
  "101 S",
  "600 X",
  "099 X",
  "20",
];
const damage = [
  "\r",
  "\n",
  "\r\n",
  "\r\n\r\n",
  " ",
  "\t",
  "\0",
  ":",
  ";",
  "\x7f",
  "\x85",
  "\xa0",
  "0",
  "\r\n ",
  "=",
  '"',
  ",",
];

/** One to three requests, one after another. */
export function anyRequests(random: Random): Buffer {
  let text = random.once(8) ? "\r\n" : "";
  for (let left = random.between(1, 3); left > 0; left--) text += request(random);
  return Buffer.from(damaged(random, text), "latin1");
}

/** What a server sends for one request: any number of 1xx and a response, and the method it answers. */
export function anyResponse(random: Random): { method: string; input: Buffer } {
  let text = "";
  for (let left = random.between(0, 2); left > 0; left--)
    text += `HTTP/1.1 ${random.pick(["100 C", "103 E"])}\r\n\r\n`;
  const start = `${random.pick(versions)} ${random.pick(statuses)}`;
  text += message(random, start, []);
  return {
    method: random.pick(["GET", "GET", "HEAD", "POST", "CONNECT"]),
    input: Buffer.from(damaged(random, text), "latin1"),
  };
}

/** Lengths of pieces to cut an input into. */
export function anyCuts(random: Random): number[] {
  return Array.from({ length: random.between(1, 6) }, () => random.between(1, random.pick([2, 10, 100])));
}

function request(random: Random): string {
  const method = random.pick(random.once(3) ? methods : ["GET", "POST"]);
  const target = random.pick(random.once(3) ? targets : ["/", "/a"]);
  const fields = random.once(12) ? [] : ["Host: h"];
  return message(
    random,
    `${method} ${target} ${random.pick(random.once(4) ? versions : ["HTTP/1.1"])}`,
    fields,
  );
}

function message(random: Random, start: string, fields: string[]): string {
  const lines = [...fields];
  for (let left = random.between(0, 4); left > 0; left--) lines.push(field(random));
  if (random.once(4)) lines.push(`Connection: ${random.pick(connections)}`);
  let body = "";
  const kind = random.below(4);
  if (kind === 1 || random.once(20)) {
    lines.push(`Content-Length: ${random.pick(random.once(3) ? lengths : ["3"])}`);
    body = "abc";
  }
  if (kind === 2 || random.once(20)) {
    lines.push(`Transfer-Encoding: ${random.pick(random.once(3) ? codings : ["chunked"])}`);
    body = chunks(random);
  }
  lines.sort(() => random.between(-1, 1));
  return `${[start, ...lines].join("\r\n")}\r\n\r\n${body}`;
}

function field(random: Random): string {
  return `${random.pick(names)}:${random.pick(["", " ", "  ", "\t"])}${random.pick(values)}`;
}

function chunks(random: Random): string {
  let text = "";
  for (let left = random.between(0, 3); left > 0; left--) {
    const data = random.pick(["a", "0\r\n\r\n", "0123456789", "\r\n", "GET / HTTP/1.1"]);
    const size = data.length.toString(16).padStart(random.pick([1, 1, 2, 13, 14]), "0");
    text += `${random.once(2) ? size.toUpperCase() : size}${extension(random)}\r\n${data}\r\n`;
  }
  text += `0${extension(random)}\r\n`;
  if (random.once(3)) text += `${field(random)}\r\n`;
  return `${text}\r\n`;
}

function extension(random: Random): string {
  return random.once(3) ? random.pick(extensions) : "";
}

function damaged(random: Random, text: string): string {
  let result = text;
  if (random.once(2)) return result;
  for (let left = random.between(1, 3); left > 0; left--) {
    const at = random.below(result.length + 1);
    const until = at + random.below(4);
    switch (random.below(5)) {
      case 0:
        result = result.slice(0, at) + result.slice(until);
        break;
      case 1:
        result = result.slice(0, at) + random.pick(damage) + result.slice(at);
        break;
      case 2:
        result = result.slice(0, at) + random.pick(damage) + result.slice(at + 1);
        break;
      case 3:
        result = result.slice(0, at) + random.bytes(1).toString("latin1") + result.slice(at + 1);
        break;
      default: {
        const line = result.slice(result.lastIndexOf("\r\n", at) + 2, result.indexOf("\r\n", at) + 2);
        result = result.slice(0, at) + line + result.slice(at);
      }
    }
  }
  return result;
}
