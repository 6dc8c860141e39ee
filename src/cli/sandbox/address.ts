import { addressOf, type ProxyAddress, proxyAddress, ProxyAddressError } from "../../api/proxy-address.ts";
import type { Config } from "../../config/types.ts";
import { CliError } from "../io.ts";

/** Where the proxy is when nothing says so: the embedded default's tunnel. */
const standardAddress = "http://127.0.0.1:8080";

/**
 * The proxy's address, as sandboxes are told it: `--proxy`, else the tunnel of the file that was given.
 * @throws {CliError}
 */
export function addressFor(
  { proxy, config: file }: { readonly proxy?: string; readonly config?: string },
  config: Config,
): ProxyAddress {
  try {
    if (proxy !== undefined) return proxyAddress(proxy);
    return file === undefined ? proxyAddress(standardAddress) : addressOf(config);
  } catch (error) {
    if (error instanceof ProxyAddressError) throw new CliError(`--proxy: ${error.message}`, 2);
    throw error;
  }
}
