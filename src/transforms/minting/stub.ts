import type { Stub } from "../../pipeline/types.ts";

/** `grant_type` of the JWT bearer grant (RFC 7523 section 2.1). */
export const jwtBearerGrant = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/** What a workload's SDK gets in place of an access token; it is sent along and overwritten on the way out. */
export const stubToken = "iron-proxy-stub-token";

/** The answer to a token request of a workload: byte for byte what workloads of the reference are used to. */
export const tokenStub: Stub = {
  kind: "stub",
  response: {
    status: 200,
    headers: [["Content-Type", "application/json"]],
    body: `{"access_token":"${stubToken}","expires_in":3600,"token_type":"Bearer"}`,
  },
};
