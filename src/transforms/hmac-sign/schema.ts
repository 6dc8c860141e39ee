import { z } from "zod";
import { scrubSchema } from "../exposure.ts";
import { rulesSchema, sourceSchema } from "../schemas.ts";
import { timestampFormats } from "./clock.ts";
import { algorithms } from "./keys.ts";

export const keyEncodings = ["raw", "base64", "hex"] as const;
export const outputEncodings = ["base64", "hex", "base64url"] as const;
export const ecdsaFormats = ["raw", "der"] as const;

/** A word of a list. The list is for editors; the transform itself says what is wrong with another word. */
function word(choices: Iterable<string>, description: string) {
  return z
    .string()
    .optional()
    .meta({ description, enum: [...choices] });
}

const templateSchema = z.string().optional();

const timestampSchema = z.strictObject({
  format: word(timestampFormats.keys(), "How `.Timestamp` is written; `unix_seconds` if absent."),
});

const signatureSchema = z.strictObject({
  algorithm: word(
    algorithms.keys(),
    "`sha256`, `sha512` and `sha1` are HMACs; the others sign with a private key. `sha256` if absent.",
  ),
  key_encoding: word(
    keyEncodings,
    "How the credential `secret` is written. `raw` (if absent): the bytes of the text themselves; for private keys, PEM or " +
      "base64.",
  ),
  output_encoding: word(outputEncodings, "How `.Signature` is written; `base64` if absent."),
  ecdsa_format: word(
    ecdsaFormats,
    "For ECDSA only: `raw` (r and s, as in a JWT; if absent) or `der` (as openssl writes it).",
  ),
  message: templateSchema.describe("Template of what is signed; required."),
});

const headerSchema = z.strictObject({
  name: z
    .string()
    .optional()
    .describe("Header that is set, in this spelling, whatever the workload sent in it."),
  value: templateSchema.describe("Template of its value."),
});

const parameterSchema = z.strictObject({
  name: z
    .string()
    .optional()
    .describe("Query parameter that is set; whatever the workload sent under this name is removed."),
  value: templateSchema.describe(
    "Template of its value. Without `.Signature` or `.Message` in it, the parameter is signed as well.",
  ),
});

export const hmacSignSchema = z.strictObject({
  timestamp: timestampSchema.optional().describe("The time a request is signed at."),
  signature: signatureSchema.optional().describe("What is signed, and how."),
  credentials: z
    .record(z.string(), sourceSchema)
    .optional()
    .describe("Where credentials are read from. `secret` is the signing key; templates may name the others."),
  headers: z.array(headerSchema).optional().describe("Headers to set, in order."),
  query: z.array(parameterSchema).optional().describe("Query parameters to put at the end, in order."),
  allow_chunked_body: z
    .boolean()
    .optional()
    .describe("Buffers and signs bodies without a Content-Length; otherwise they are refused."),
  scrub: scrubSchema,
  rules: rulesSchema.optional().describe("Requests to sign; at least one."),
});
