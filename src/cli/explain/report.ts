import { formatIssue, type Issue } from "../../config/issues.ts";
import { printable } from "../../log/terminal.ts";
import type { Finding } from "../../findings/types.ts";
import type { Answer, Attached, Pass, Refusal, Step } from "./decide.ts";

/** What `explain` found out about one request. */
export interface Explanation {
  readonly method: string;
  readonly scheme: "http" | "https";
  /** Absent where the host or the request itself is refused. */
  readonly authority?: string;
  readonly canonicalPath?: string;
  /** How the tunnel ends, if not open; absent over plain HTTP, which needs none. */
  readonly tunnel?: "open" | Refusal | Answer;
  readonly steps: readonly Step[];
  /** Placeholders in places they are not for; absent where it is not got as far as that. */
  readonly findings?: readonly Finding[];
  readonly credentials: readonly Attached[];
  readonly verdict: { readonly kind: "forward"; readonly to: string } | Pass | Refusal | Answer;
  /** Why the request is refused before any policy. */
  readonly detail?: string;
  readonly warnings: readonly Issue[];
}

/** For people. Warnings are not in it: they are about the file and go elsewhere. */
export function explanationText(explanation: Explanation): string {
  const { method, authority, canonicalPath, tunnel, steps, findings = [], detail = "" } = explanation;
  const lines = [
    `method     ${method}`,
    `authority  ${authority ?? "(refused)"}`,
    `path       ${canonicalPath ?? "(not looked at)"}`,
    `tunnel     ${tunnelText(tunnel)}`,
    ...steps.flatMap((step, index) => stepLines(step, index)),
    ...findings.map(findingText),
    `verdict    ${verdictText(explanation)}${detail === "" ? "" : ` (${detail})`}`,
  ];
  return lines.map((line) => `${printable(line)}\n`).join("");
}

/** The sentence that everything comes to. */
export function verdictText({ verdict, credentials }: Explanation): string {
  switch (verdict.kind) {
    case "forward":
      return `would be forwarded to ${verdict.to} ${credentialsText(credentials)}`;
    case "pass":
      return `would be passed to ${verdict.to} unopened, by ${verdict.by}: no request is seen, no credential attached`;
    case "answer":
      return `would be answered by ${verdict.by} with ${verdict.status}; nothing is forwarded`;
    case "refuse":
      return `would be refused: ${refusalText(verdict)}`;
  }
}

function credentialsText(credentials: readonly Attached[]): string {
  if (credentials.length === 0) return "without a credential";
  const texts = credentials.map(({ name, places }) =>
    places.length === 0 ? `credential of ${name}` : `credential ${name} in ${places.join(", ")}`,
  );
  return `with ${texts.join(" and ")}`;
}

function refusalText({ status, reason, by }: Refusal): string {
  const what = status === undefined ? reason : `${status} ${reason}`;
  return by === undefined ? what : `${what}, by ${by}`;
}

function tunnelText(tunnel: Explanation["tunnel"]): string {
  if (tunnel === undefined) return "none is needed";
  if (tunnel === "open") return "would be opened";
  return tunnel.kind === "refuse" ? `would be refused: ${refusalText(tunnel)}` : `answered by ${tunnel.by}`;
}

function stepLines({ name, lines, reached }: Step, index: number): string[] {
  const shown = lines.length === 0 ? [`${name}: nothing to say`] : lines;
  const note = reached ? "" : " [not reached]";
  return shown.map(
    (line, at) => `${at === 0 ? `step ${index + 1}`.padEnd(10) : " ".repeat(10)} ${line}${note}`,
  );
}

function findingText({ kind, secret = "", where, action }: Finding): string {
  return `finding    ${kind}: the placeholder of ${secret} in ${where.replace(":", " ")}; ${action}`;
}

/** For programs; one object, keys in snake case as in the audit. */
export function explanationJson(explanation: Explanation): string {
  const { method, scheme, authority, canonicalPath, tunnel, steps, credentials, verdict } = explanation;
  const data = {
    request: { method, scheme, authority: authority ?? null, path: canonicalPath ?? null },
    tunnel: tunnel ?? null,
    transforms: steps,
    findings: explanation.findings ?? [],
    verdict: { ...verdict, text: verdictText(explanation), detail: explanation.detail },
    credentials,
    warnings: explanation.warnings.map(formatIssue),
  };
  return `${JSON.stringify(data, undefined, 2)}\n`;
}
