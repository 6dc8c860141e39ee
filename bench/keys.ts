import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

/** Files with the keys of one run. */
export interface Keys {
  readonly caCert: string;
  readonly caKey: string;
  /** For `localhost`, signed by the CA. */
  readonly cert: string;
  readonly key: string;
}

/** Makes a CA and a server certificate for `localhost`, both P-256. */
export function makeKeys(directory: string): Keys {
  const file = (name: string): string => join(directory, name);
  const openssl = (...args: string[]): void => void execFileSync("openssl", args, { stdio: "pipe" });
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  const keys = {
    caCert: file("ca.pem"),
    caKey: file("ca.key"),
    cert: file("leaf.pem"),
    key: file("leaf.key"),
  };
  const ca = ["-subj", "/CN=bench CA", "-days", "2", "-addext", "keyUsage=critical,keyCertSign,cRLSign"];
  openssl("req", "-x509", ...curve, ...ca, "-keyout", keys.caKey, "-out", keys.caCert);
  openssl("req", "-new", ...curve, "-subj", "/CN=localhost", "-keyout", keys.key, "-out", file("leaf.csr"));
  writeFileSync(
    file("leaf.ext"),
    "subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\nkeyUsage=critical,digitalSignature\n",
  );
  const sign = ["-CA", keys.caCert, "-CAkey", keys.caKey, "-CAcreateserial", "-days", "2"];
  openssl("x509", "-req", "-in", file("leaf.csr"), ...sign, "-extfile", file("leaf.ext"), "-out", keys.cert);
  return keys;
}
