// Every way the tests know to write a value, made with the encoders of the platform: nothing here is shared with the scrubber.

/** Takes and gives byte strings. */
export interface Encoder {
  readonly name: string;
  encode(value: string): string;
  /** Undoes it for a replacement, where it can be undone without knowing what stood around. */
  decode?(text: string): string;
}

const bytes = (text: string): Buffer => Buffer.from(text, "latin1");
const each = (text: string, write: (code: number) => string): string =>
  Array.from(text)
    .map((character) => write(character.charCodeAt(0)))
    .join("");
const hex = (code: number, digits: number): string => code.toString(16).padStart(digits, "0");
const decodePercent = (text: string): string =>
  text.replace(/%([0-9a-f]{2})/gi, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
const decodeHtml = (text: string): string =>
  text.replace(/&#(\d+);/g, (_, digits: string) => String.fromCharCode(Number(digits)));

const htmlNames: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&apos;",
  "/": "&sol;",
};

/** Forms that hold the whole value, for values of ASCII. */
export const encoders: readonly Encoder[] = [
  { name: "raw", encode: (value) => value, decode: (text) => text },
  { name: "percent", encode: encodeURIComponent, decode: decodePercent },
  {
    name: "percent, lower case",
    encode: (value) => encodeURIComponent(value).replace(/%../g, (escape) => escape.toLowerCase()),
    decode: decodePercent,
  },
  { name: "percent, twice", encode: (value) => encodeURIComponent(encodeURIComponent(value)) },
  {
    name: "percent, every byte",
    encode: (value) => each(value, (code) => `%${hex(code, 2)}`),
    decode: decodePercent,
  },
  { name: "form", encode: (value) => new URLSearchParams({ "": value }).toString().slice(1) },
  { name: "URL", encode: encodeURI, decode: decodePercent },
  { name: "hex", encode: (value) => bytes(value).toString("hex"), decode: (text) => bytes2(text, "hex") },
  {
    name: "HEX",
    encode: (value) => bytes(value).toString("hex").toUpperCase(),
    decode: (text) => bytes2(text, "hex"),
  },
  {
    name: "JSON",
    encode: (value) => JSON.stringify(value).slice(1, -1),
    decode: (text) => JSON.parse(`"${text}"`) as string,
  },
  {
    name: "JSON with escaped slashes",
    encode: (value) => JSON.stringify(value).slice(1, -1).replaceAll("/", "\\/"),
  },
  {
    name: "JSON in JSON",
    encode: (value) => JSON.stringify(JSON.stringify(value).slice(1, -1)).slice(1, -1),
  },
  {
    name: "JSON, every character",
    encode: (value) => each(value, (code) => `\\u${hex(code, 4)}`),
    decode: (text) => JSON.parse(`"${text}"`) as string,
  },
  {
    name: "JSON, every character, upper case",
    encode: (value) => each(value, (code) => `\\u${hex(code, 4).toUpperCase()}`),
  },
  { name: "JavaScript", encode: (value) => each(value, (code) => `\\x${hex(code, 2)}`) },
  { name: "HTML", encode: (value) => value.replace(/[&<>"'/]/g, (byte) => htmlNames[byte] as string) },
  {
    name: "HTML in HTML",
    encode: (value) => value.replace(/[&<>"'/]/g, (byte) => `&amp;${(htmlNames[byte] as string).slice(1)}`),
  },
  { name: "HTML, decimal", encode: (value) => each(value, (code) => `&#${code};`), decode: decodeHtml },
  { name: "HTML, decimal, zeros", encode: (value) => each(value, (code) => `&#0${code};`) },
  { name: "HTML, hexadecimal", encode: (value) => each(value, (code) => `&#x${hex(code, 2)};`) },
  {
    name: "HTML, hexadecimal, upper case",
    encode: (value) => each(value, (code) => `&#X${hex(code, 2).toUpperCase()};`),
  },
  { name: "percent-encoded base64", encode: (value) => encodeURIComponent(bytes(value).toString("base64")) },
  { name: "base64 in JSON", encode: (value) => bytes(value).toString("base64").replaceAll("/", "\\/") },
  {
    name: "hex of HTML digits",
    encode: (value) => each(bytes(value).toString("hex"), (code) => `&#${code};`),
  },
  ...["base64", "base64url"].flatMap((alphabet) =>
    ["", "u", "us", "user:", "a longer name:"].map(
      (before): Encoder => ({
        name: `${alphabet} behind ${before.length} bytes`,
        encode: (value) => bytes(before + value).toString(alphabet as "base64"),
        decode: (text) => bytes2(text, alphabet as "base64").slice(before.length),
      }),
    ),
  ),
  { name: "base64 before text", encode: (value) => bytes(`us:${value} and more`).toString("base64") },
  {
    name: "base64 in lines",
    encode: (value) => bytes(`user:${value} and more`).toString("base64").replace(/.{16}/g, "$&\r\n"),
  },
  {
    name: "base64 in lines in JSON",
    encode: (value) => bytes(`user:${value} and more`).toString("base64").replace(/.{19}/g, "$&\\n"),
  },
];

function bytes2(text: string, encoding: "hex" | "base64" | "base64url"): string {
  return Buffer.from(text, encoding).toString("latin1");
}

/**
 * What may be in no output: the texts of {@link encoders}, of base64 the letters that only the value decides.
 * @param value of ASCII
 */
export function forbidden(value: string): string[] {
  const whole = encoders.filter(({ name }) => !/base64/.test(name)).map(({ encode }) => encode(value));
  const base64 = [0, 1, 2].flatMap((before) => {
    const letters = bytes("x".repeat(before) + value).toString("base64url");
    const first = Math.ceil((before * 8) / 6);
    const end = Math.floor(((before + value.length) * 8) / 6);
    const middle = letters.slice(first, end);
    return [middle, middle.replaceAll("-", "+").replaceAll("_", "/")];
  });
  return [...new Set([...whole, ...base64])];
}
