import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { CaError, pemBlocks } from "./ca.ts";
import { toPem } from "./x509.ts";

/**
 * The certificate of a CA as PEM, for those who are to trust it. A file may hold the key beside it: nothing but the first
 * certificate is ever given away (L2).
 * @throws {CaError}
 */
export function readCaCertificate(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, "latin1");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new CaError(`CA certificate ${path} cannot be read (${code})`);
  }
  const block = pemBlocks(text).find(({ label }) => label === "CERTIFICATE");
  if (block === undefined) throw new CaError(`${path} holds no CERTIFICATE in PEM`);
  try {
    return toPem("CERTIFICATE", new X509Certificate(block.text).raw);
  } catch {
    throw new CaError(`${path} holds a CERTIFICATE block that is not a certificate`);
  }
}
