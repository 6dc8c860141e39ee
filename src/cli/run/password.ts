import { createHash, randomBytes, timingSafeEqual } from "node:crypto";

/** Lets in whoever knows a random password: the child, and what it starts (attack 54). */
export interface PasswordGate {
  /** URL of the proxy with user and password, for HTTPS_PROXY and the like. */
  urlFor(address: string): string;
  /** Checks the value of `Proxy-Authorization` (RFC 7617), in the same time whatever it is. */
  admits(proxyAuthorization: string | undefined): boolean;
}

const user = "sallyport";

export function passwordGate(): PasswordGate {
  const password = randomBytes(24).toString("base64url");
  const expected = digest(Buffer.from(`${user}:${password}`).toString("base64"));
  return {
    urlFor: (address) => `http://${user}:${password}@${address}`,
    admits(proxyAuthorization = "") {
      const credentials = proxyAuthorization.replace(/^basic +/i, "");
      return credentials !== proxyAuthorization && timingSafeEqual(digest(credentials), expected);
    },
  };
}

/** Comparing digests of one length tells nothing of the length either. */
function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
