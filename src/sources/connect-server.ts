import { ask, networkProblem, retryAfter } from "./http.ts";
import { parseJson } from "./json.ts";
import type { SourceContext } from "./kind.ts";
import { SourceError } from "./types.ts";

const notJson =
  "the Connect server's answer (status 200) is not JSON; does OP_CONNECT_HOST point at Connect?";

/** The REST interface of a 1Password Connect server, as far as reading goes. */
export interface ConnectServer {
  /**
   * The JSON at a path; `undefined` for 404.
   * @throws {SourceError} for anything else, naming what to mend
   */
  get(path: string): Promise<unknown>;
}

/**
 * The server that OP_CONNECT_HOST and OP_CONNECT_TOKEN name.
 * @throws {SourceError} when one is not set, or is not what its name says
 */
export function connectServer(
  { env, dispatcher }: Pick<SourceContext, "env" | "dispatcher">,
  signal: AbortSignal,
): ConnectServer {
  const host = baseOf(variable(env, "OP_CONNECT_HOST"));
  const token = variable(env, "OP_CONNECT_TOKEN");
  if (!/^[\x21-\x7e]+$/.test(token)) {
    throw new SourceError(
      "OP_CONNECT_TOKEN has a line break, a space or another character that no token has",
      { fault: "token" },
    );
  }
  const headers = { authorization: `Bearer ${token}`, accept: "application/json", "user-agent": "sallyport" };
  return {
    async get(path) {
      const answer = await ask({
        method: "GET",
        url: host + path,
        headers,
        signal,
        dispatcher,
        body: undefined,
      }).catch((error: unknown) => {
        if (error instanceof SourceError) throw error;
        const problem = networkProblem(error) ?? "unexpected error";
        throw new SourceError(`cannot reach the Connect server: ${problem}; check OP_CONNECT_HOST`, {
          fault: "server",
        });
      });
      if (answer.status === 404) return undefined;
      if (answer.status !== 200) throw refusal(answer.status, answer.headers["retry-after"]);
      const json = parseJson(answer.body);
      if (json === undefined) throw new SourceError(notJson, { fault: "server" });
      return json;
    },
  };
}

function variable(env: NodeJS.ProcessEnv, name: string): string {
  const value = env[name]?.trim(); // a secret mounted from a file often ends in a line break
  if (value === undefined || value === "") {
    throw new SourceError(`env var "${name}" is not set or empty`, { fault: "variable" });
  }
  return value;
}

/** Scheme, host and path prefix without the slash at the end, which would give `//v1`. */
function baseOf(host: string): string {
  const url = URL.canParse(host) ? new URL(host) : undefined;
  if (url?.protocol !== "http:" && url?.protocol !== "https:") {
    throw new SourceError(
      'OP_CONNECT_HOST is not an http or https URL such as "http://onepassword-connect:8080"',
      { fault: "server" },
    );
  }
  return url.origin + url.pathname.replace(/\/+$/, "");
}

function refusal(status: number, retryAfterField: string | undefined): SourceError {
  switch (status) {
    case 401:
      return new SourceError("the Connect server rejected the token (401); check OP_CONNECT_TOKEN", {
        fault: "token",
      });
    case 403:
      return new SourceError("the token may not read this vault (403); give the Connect token access to it", {
        fault: "vault",
      });
    case 429: {
      const retryAfterMs = retryAfter(retryAfterField);
      const message = "rate limited by the Connect server (429); a longer ttl means fewer reads";
      return new SourceError(message, { retryAfterMs, fault: "rate_limit" });
    }
    default:
      return new SourceError(`the Connect server answered with status ${status}`, { fault: "server" });
  }
}
