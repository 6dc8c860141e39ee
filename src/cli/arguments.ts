/** Commands whose options may be spelt as Go's flag package has them: `-config FILE`, `-config=FILE`. */
const goSpelling: ReadonlySet<string> = new Set(["start", "generate-ca"]);

/** Options that iron-proxy takes without a command. */
const startOption = /^(?:-c|--?config|--?token)(?:=|$)/;

/**
 * Brings command lines written for iron-proxy into the form of this program's: `-config FILE` alone means
 * `start --config FILE`, `-v` and `--version` mean `version`.
 */
export function normalizeArguments(argv: readonly string[]): string[] {
  const [first] = argv;
  if (first === undefined) return [];
  if (["-v", "-version", "--version"].includes(first)) return ["version"];
  if (["-h", "-help", "--help"].includes(first)) return ["--help", ...argv.slice(1)];
  const args = startOption.test(first) ? ["start", ...argv] : [...argv];
  if (!goSpelling.has(args[0] ?? "")) return args;
  const end = args.indexOf("--");
  return args.map((arg, index) => (end >= 0 && index > end ? arg : longOption(arg)));
}

/** `-name` and `-name=value` with two dashes; one letter stays a short option. */
function longOption(arg: string): string {
  return /^-[a-z][a-z-]+(?:=|$)/.test(arg) ? `-${arg}` : arg;
}
