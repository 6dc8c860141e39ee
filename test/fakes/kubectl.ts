// Stands in for kubectl, and for the cluster behind it: the calls that `bootstrap` makes, by the real program's words.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface FakeKubectl {
  /** Path of the program. */
  readonly program: string;
  /** Command line of every call so far. */
  readonly calls: () => readonly (readonly string[])[];
  /** What a Secret holds, decoded; `undefined` where there is none. */
  readonly secret: (name: string) => Readonly<Record<string, string>> | undefined;
  readonly namespaces: () => readonly string[];
  /** Makes every call that creates a Secret end with an error that quotes what it got. */
  refuseSecrets(): void;
  close(): void;
}

// A shell starts fast, and a test makes a dozen calls. Secrets are kept as they came, one file each.
const program = `#!/bin/sh
cd '@folder@' || exit 9
printf '%s\\t' "$@" >>calls
echo >>calls
while [ $# -gt 0 ]; do
  case "$1" in
    --namespace | --context) shift 2 ;;
    --request-timeout=*) shift ;;
    *) break ;;
  esac
done
case "$1 $2" in
  "get namespace") [ ! -f "namespace.$3" ] || echo "namespace/$3" ;;
  "get secret") [ ! -f "secret.$3" ] || cat "secret.$3" ;;
  "delete secret") rm -f "secret.$3" ;;
  "create -f" | "replace -f")
    cat >input
    name=$(sed -n 's/.*"name":"\\([^"]*\\)".*/\\1/p' input)
    kind=$(sed -n 's/.*"kind":"\\([A-Z][a-z]*\\)".*/\\1/p' input | tr A-Z a-z)
    if [ "$kind" = secret ] && [ -f refuses ]; then
      echo "Error from server (Forbidden): cannot take $(cat input)" >&2
      exit 1
    fi
    if [ "$1" = create ] && [ -f "$kind.$name" ]; then
      echo "Error from server (AlreadyExists): $kind \\"$name\\" already exists" >&2
      exit 1
    fi
    mv input "$kind.$name" ;;
  *) echo "error: unknown command" >&2; exit 1 ;;
esac
`;

export function fakeKubectl(): FakeKubectl {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-kubectl-"));
  const path = join(folder, "kubectl");
  writeFileSync(path, program.replace("@folder@", folder), { mode: 0o755 });
  const calls = join(folder, "calls");
  writeFileSync(calls, "");
  return {
    program: path,
    calls() {
      const lines = readFileSync(calls, "utf8").split("\n").slice(0, -1);
      return lines.map((line) => line.split("\t").slice(0, -1));
    },
    secret(name) {
      const file = join(folder, `secret.${name}`);
      if (!existsSync(file)) return undefined;
      const { data } = JSON.parse(readFileSync(file, "utf8")) as { data: Record<string, string> };
      const entries = Object.entries(data);
      return Object.fromEntries(entries.map(([key, text]) => [key, Buffer.from(text, "base64").toString()]));
    },
    namespaces() {
      const names = readdirSync(folder).filter((name) => name.startsWith("namespace."));
      return names.map((name) => name.slice("namespace.".length));
    },
    refuseSecrets: () => writeFileSync(join(folder, "refuses"), ""),
    close: () => rmSync(folder, { recursive: true }),
  };
}
