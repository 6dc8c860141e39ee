import type { FindingRecord } from "../findings/types.ts";
import { clock, type Paint, printable } from "../log/terminal.ts";

/** A finding as one line of JSON, newline included; `docs/findings.md` has the fields. Findings are rare: this is not the request path. */
export function findingLine(record: FindingRecord): string {
  const line = { time: new Date(record.time).toISOString(), level: "WARN", msg: "finding" };
  return `${printable(JSON.stringify({ ...line, finding: findingFields(record) }))}\n`;
}

/** The fields of a finding, as the audit line and the webhook have them. */
export function findingFields(record: FindingRecord): Record<string, string | number> {
  const { kind, action, secret, where, count, repeated, host, method, remoteAddress, caller, requestId } =
    record;
  return {
    kind,
    action,
    ...(secret === undefined ? {} : { secret }),
    where,
    count,
    ...(repeated === 0 ? {} : { repeated }),
    host,
    method,
    remote_addr: remoteAddress,
    ...(caller === undefined ? {} : { caller }),
    request_id: requestId,
  };
}

/** The same for a person at a terminal. */
export function describeFinding(record: FindingRecord, paint: Paint): string {
  const { kind, action, secret, where, host, caller } = record;
  const parts = [
    paint("gray", clock(record.time)),
    paint(action === "blocked" ? "red" : "yellow", "finding"),
    paint("bold", kind),
    ...(secret === undefined ? [] : [printable(secret)]),
    `in ${printable(where)}`,
    `of ${printable(host)}`,
    action,
    ...(caller === undefined ? [] : [paint("gray", `caller=${printable(caller)}`)]),
  ];
  return parts.join(" ");
}
