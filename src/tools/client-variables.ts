// What programs read to find their way through a proxy and to trust its CA.

/** Set to the proxy's URL. Programs disagree about the case; curl reads HTTP_PROXY in lower case only. */
const proxyVariables = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] as const;

/** Loopback in the spellings that curl, Go, Python and node compare with. */
const loopback = ["localhost", "127.0.0.1", "::1", "[::1]"] as const;

/** Set to the bundle, one for each program that has a variable of its own. */
const bundleVariables = [
  "SSL_CERT_FILE", // OpenSSL, Go except on macOS, Ruby, Rust, uv
  "NODE_EXTRA_CA_CERTS",
  "REQUESTS_CA_BUNDLE",
  "PIP_CERT",
  "CURL_CA_BUNDLE",
  "GIT_SSL_CAINFO",
  "AWS_CA_BUNDLE",
  "DENO_CERT",
  "CARGO_HTTP_CAINFO",
  "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
  "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
  "NIX_SSL_CERT_FILE",
] as const;

export interface ClientVariables {
  /** URL of the proxy, with what it wants as proof. */
  readonly proxyUrl: string;
  /**
   * Path of a PEM bundle: the proxy's CA and all the roots that are trusted besides, because most of these variables
   * replace the system's roots and hosts in NO_PROXY have certificates too.
   */
  readonly bundle: string;
  /** Hosts that are reached directly, besides this machine's own names. */
  readonly direct?: readonly string[];
}

/** Variables that lead programs to the proxy and let them trust its CA, in the order they are shown. */
export function clientVariables({ proxyUrl, bundle, direct = [] }: ClientVariables): Map<string, string> {
  const variables = new Map<string, string>();
  for (const name of proxyVariables) {
    variables.set(name, proxyUrl);
    variables.set(name.toLowerCase(), proxyUrl);
  }
  const noProxy = [...new Set([...loopback, ...direct])].join(",");
  for (const name of ["NO_PROXY", "no_proxy"]) variables.set(name, noProxy);
  variables.set("NODE_USE_ENV_PROXY", "1");
  for (const name of bundleVariables) variables.set(name, bundle);
  return variables;
}
