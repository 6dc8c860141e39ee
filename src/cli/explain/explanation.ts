// One request led through the transforms of a configuration, without a connection or a credential.
import type { Config } from "../../config/types.ts";
import { defaultPorts } from "../../http/authority.ts";
import type { Transform } from "../../pipeline/types.ts";
import { Secret, type SecretHandle } from "../../sources/types.ts";
import { compilePassthrough, unopenedBy } from "../../proxy/passthrough.ts";
import { type Attached, decideRequest, decideTunnel, deniedAddress, type Pass, type Step } from "./decide.ts";
import { searchForMisuse } from "./misuse.ts";
import type { Explanation } from "./report.ts";
import { type AskedRequest, type Destination, destinationOf, EarlyRefusal, exchangeOf } from "./request.ts";

const standInValue = new Secret("stand-in");

/** A handle that gives a text in place of the credential. */
export function standIn({ name, variables }: SecretHandle): SecretHandle {
  return { name, variables, get: () => standInValue };
}

/**
 * What would become of a request.
 * @param transforms built on handles of {@link standIn}
 * @throws {CliError} exit code 2, where the URL or a header is none
 */
export async function explanationOf(
  asked: AskedRequest,
  config: Config,
  transforms: readonly Transform[],
): Promise<Omit<Explanation, "warnings">> {
  const { method } = asked;
  const scheme = /^http:/i.test(asked.url) ? "http" : "https";
  let known: Pick<Explanation, "method" | "scheme" | "authority" | "tunnel"> = { method, scheme };
  try {
    const destination = destinationOf(asked.url);
    known = { ...known, authority: destination.authority.text };
    const refused =
      scheme === "https" ? await decideTunnel(destination, transforms, asked.caller) : undefined;
    if (scheme === "https") known = { ...known, tunnel: refused ?? "open" };
    const passed = refused === undefined && scheme === "https" ? passOf(destination, config) : undefined;
    const exchange = exchangeOf(asked, destination, config);
    const { canonicalPath } = exchange.request;
    if (method === "CONNECT" || method === "TRACE") {
      throw new EarlyRefusal(405, "method_not_allowed", "this method is never forwarded");
    }
    const misuse = searchForMisuse(exchange, transforms);
    const { steps, end, credentials } = await decideRequest(exchange, transforms);
    if (passed !== undefined) {
      const verdict = deniedAddress(destination, config) ?? passed;
      return { ...known, canonicalPath, steps: steps.map(unreached), credentials: noCredentials, verdict };
    }
    const { findings, refusal } =
      refused === undefined && end === undefined ? await misuse() : { findings: [], refusal: undefined };
    const last = refused ?? end ?? refusal ?? deniedAddress(destination, config);
    return {
      ...known,
      canonicalPath,
      findings,
      steps: refused === undefined ? steps : steps.map(unreached),
      credentials: last === undefined ? credentials : noCredentials,
      verdict: last ?? { kind: "forward", to: `${originOf(destination)}${canonicalPath}` },
    };
  } catch (error) {
    if (!(error instanceof EarlyRefusal)) throw error;
    const { status, reason, message } = error;
    const end = typeof known.tunnel === "object" ? known.tunnel : undefined;
    const verdict = end ?? ({ kind: "refuse", status, reason } as const);
    return { ...known, steps: [], credentials: noCredentials, verdict, ...(end ? {} : { detail: message }) };
  }
}

function passOf({ authority }: Destination, config: Config): Pass | undefined {
  const mode = unopenedBy(config, compilePassthrough(config, () => {}).rules)(authority);
  if (mode === undefined) return undefined;
  return {
    kind: "pass",
    to: authority.text,
    by: mode === "sni-only" ? "tls.mode: sni-only" : "tls.passthrough",
  };
}

/** As people write it: without the port that the scheme stands for. */
function originOf({ scheme, authority }: Destination): string {
  const { text, port } = authority;
  const host = port === defaultPorts[scheme] ? text.slice(0, text.lastIndexOf(":")) : text;
  return `${scheme}://${host}`;
}

const noCredentials: readonly Attached[] = [];

function unreached(step: Step): Step {
  return { ...step, reached: false };
}
