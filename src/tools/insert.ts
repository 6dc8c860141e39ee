/** Transforms that are rendered: a base that has them was rendered before. */
export const managedTransforms: readonly string[] = [
  "secrets",
  "gcp_auth",
  "oauth_token",
  "hmac_sign",
  "aws_auth",
];

/**
 * Where rendered transforms go in a list: after every policy, directly before the first `header_allowlist`, which then
 * sees the request as it goes out; at the end where there is none.
 */
export function insertionIndex(names: readonly (string | undefined)[]): number {
  const filter = names.indexOf("header_allowlist");
  return filter < 0 ? names.length : filter;
}
