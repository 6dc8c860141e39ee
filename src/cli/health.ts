import type { Command } from "commander";
import { nodeHttp } from "../http/node-http.ts";
import { CliError, type Io } from "./io.ts";

const standardUrl = "http://127.0.0.1:9090/healthz";
/** Bytes of an answer that are shown. */
const maxShownBytes = 2000;

export function register(program: Command, io: Io): void {
  program
    .command("health")
    .description("ask a running proxy, or API, whether it is well; for images without curl")
    .argument("[url]", "what to ask, over plain HTTP", standardUrl)
    .option("--timeout <seconds>", "how long to wait", "3")
    .addHelpText(
      "after",
      `
Exit codes: 0 well (a 2xx answer), 1 not well or no answer.

Examples:
  sallyport health
  sallyport health http://127.0.0.1:9090/readyz`,
    )
    .action(async (url: string, options: { timeout: string }) => {
      const seconds = Number(options.timeout);
      if (!(seconds > 0 && seconds <= 600)) {
        throw new CliError("--timeout: give seconds, more than 0 and at most 600", 2);
      }
      if (!url.startsWith("http://") || !URL.canParse(url)) {
        throw new CliError(`${url}: give an http:// URL, such as ${standardUrl}`, 2);
      }
      const { status, text } = await ask(url, seconds * 1000);
      if (text !== "") io.stdout(`${text}\n`);
      if (status >= 200 && status < 300) return;
      throw new CliError(`${url} answered ${status}`);
    });
}

/** Rejects with a CliError that says why there is no answer. */
function ask(url: string, timeoutMs: number): Promise<{ readonly status: number; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const fail = (why: string) => reject(new CliError(`${url}: ${why}`));
    // Not fetch: a proxy named in the environment has no part in this.
    const sent = nodeHttp.get(url, { agent: false, signal: AbortSignal.timeout(timeoutMs) }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        if (text.length < maxShownBytes) text = (text + chunk).slice(0, maxShownBytes);
      });
      response.on("error", () => fail("the answer broke off"));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text: text.trim() }));
    });
    sent.on("error", (error: NodeJS.ErrnoException) => {
      if (error.name === "TimeoutError" || error.name === "AbortError") {
        fail(`no answer within ${timeoutMs / 1000} s`);
      } else fail(`cannot be reached (${error.code ?? "error"})`);
    });
  });
}
