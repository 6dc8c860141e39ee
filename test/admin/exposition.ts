// A parser of Prometheus' text format 0.0.4 that refuses what a scraper would: it knows nothing of prom-client.
import assert from "node:assert/strict";

export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly samples: {
    readonly name: string;
    readonly labels: ReadonlyMap<string, string>;
    readonly value: number;
  }[];
}

const metricName = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;

/** Families in order. Throws for a text that is not valid, for repeated series and for histograms that do not add up. */
export function parseExposition(text: string): Family[] {
  assert.ok(text.endsWith("\n"), "the last line has no newline");
  const families: Family[] = [];
  const seen = new Set<string>();
  let help: { name: string; text: string } | undefined;
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const [, kind, name = "", rest = ""] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? [];
    if (kind === "HELP") help = { name, text: rest };
    else if (kind === "TYPE") {
      assert.match(name, metricName);
      assert.equal(help?.name, name, `${name}: TYPE without HELP`);
      assert.ok(!families.some((family) => family.name === name), `${name} is there twice`);
      families.push({ name, help: help?.text ?? "", type: rest, samples: [] });
    } else addSample(line, families, seen);
  }
  for (const family of families) if (family.type === "histogram") checkHistogram(family);
  return families;
}

function addSample(line: string, families: readonly Family[], seen: Set<string>): void {
  const parts = /^([^\s{]+)(?:\{(.*)\})? (\S+)$/.exec(line);
  assert.ok(parts, `not a sample: ${line}`);
  const [, name = "", labelText = "", number = ""] = parts;
  const family = families.at(-1);
  const base = family?.type === "histogram" ? name.replace(/_(?:bucket|sum|count)$/, "") : name;
  assert.equal(base, family?.name, `${line}: outside of its family`);
  const value = number === "+Inf" ? Number.POSITIVE_INFINITY : Number(number);
  // Prometheus reads numbers as Go's ParseFloat does, which does not mind case.
  assert.ok(/^nan$/i.test(number) || !Number.isNaN(value), line);
  const series = `${name}{${labelText}}`;
  assert.ok(!seen.has(series), `twice: ${series}`);
  seen.add(series);
  family?.samples.push({ name, labels: parseLabels(labelText), value });
}

function parseLabels(text: string): ReadonlyMap<string, string> {
  const labels = new Map<string, string>();
  let rest = text;
  while (rest !== "") {
    const found = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/.exec(rest);
    assert.ok(found, `labels: ${text}`);
    const [all, name = "", value = ""] = found;
    assert.ok(!labels.has(name), `label twice: ${text}`);
    labels.set(
      name,
      value.replaceAll(/\\(.)/g, (_, char: string) => (char === "n" ? "\n" : char)),
    );
    rest = rest.slice(all.length);
  }
  return labels;
}

function checkHistogram({ name, samples }: Family): void {
  const groups = Map.groupBy(samples, ({ labels }) =>
    JSON.stringify([...labels].filter(([label]) => label !== "le")),
  );
  for (const [group, own] of groups) {
    const buckets = own.filter((sample) => sample.name === `${name}_bucket`);
    const counts = buckets.map(({ value }) => value);
    assert.deepEqual(
      counts,
      counts.toSorted((one, other) => one - other),
      `${name} ${group}: not cumulative`,
    );
    assert.equal(buckets.at(-1)?.labels.get("le"), "+Inf");
    const count = own.find((sample) => sample.name === `${name}_count`);
    assert.equal(count?.value, counts.at(-1), `${name} ${group}: count`);
    assert.ok(own.some((sample) => sample.name === `${name}_sum`));
  }
}
