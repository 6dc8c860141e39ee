// Node's own tools show, print or write down what is in memory, and with it every credential (I14).

/** Options of node that do, each with what it does. */
const revealing: readonly (readonly [RegExp, string])[] = [
  [/^--inspect(-brk|-wait)?(?==|$)/, "opens node's inspector"],
  [/^--heapsnapshot-(signal|near-heap-limit(?!=0$))(?==|$)/, "writes the whole heap into a file"],
  [/^--(tls-keylog|trace-tls)(?==|$)/, "writes down what decrypts TLS"],
  [/^--abort-on-uncaught-exception$/, "leaves a core dump after an error"],
];

/** How node was started. */
export interface NodeOptions {
  readonly execArgv: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** Of the inspector, where it is open. */
  readonly inspectorUrl: string | undefined;
}

/**
 * What of node's own tools is on that would show credentials, in a sentence; `undefined` when nothing is.
 */
export function revealingOption({ execArgv, env, inspectorUrl }: NodeOptions): string | undefined {
  const ofVariable = (env["NODE_OPTIONS"] ?? "").split(/[\s"]+/);
  for (const [where, options] of [
    ["on node's command line", execArgv],
    ["in NODE_OPTIONS", ofVariable],
  ] as const) {
    for (const option of options) {
      // Node takes underscores for hyphens.
      const plain = option.replace(/^[^=]+/, (name) => name.replaceAll("_", "-"));
      const found = revealing.find(([pattern]) => pattern.test(plain));
      if (found === undefined) continue;
      return `${plain.split("=")[0]} ${where} ${found[1]}, which would show every credential; take it away`;
    }
  }
  if ((env["NODE_DEBUG"] ?? "") !== "") {
    return "NODE_DEBUG makes node print what it sends, which would show every credential; unset it";
  }
  if (inspectorUrl === undefined) return undefined;
  return "node's inspector is open, which would show every credential; start without a debugger";
}
