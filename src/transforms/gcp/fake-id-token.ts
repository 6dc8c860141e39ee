/** Name of the stub's identity: in ID tokens, and in the metadata server's place. */
export const stubEmail = "stub@iron-proxy.local";

const header = encode({ alg: "RS256", typ: "JWT" });
const signature = Buffer.from("stub-signature").toString("base64url");

/**
 * What a workload's SDK gets in place of an ID token: it reads as one and is overwritten on the way out. Claims and
 * their order are those workloads of the reference are used to.
 * @param now milliseconds since 1970
 */
export function fakeIdToken(audience: string, now: number): string {
  const iat = Math.floor(now / 1000);
  const claims = {
    aud: audience,
    azp: "iron-proxy-stub",
    email: stubEmail,
    email_verified: true,
    exp: iat + 3600,
    iat,
    iss: "https://accounts.google.com",
    sub: "iron-proxy-stub",
  };
  return `${header}.${encode(claims)}.${signature}`;
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}
