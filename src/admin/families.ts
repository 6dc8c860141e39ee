import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import { bounds, type Durations } from "./durations.ts";

/** One series of this moment: its labels and its value. */
export type Sample = readonly [labels: Readonly<Record<string, string>>, value: number];

export interface Family {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
  /** Asked at each scrape. */
  readonly samples: () => readonly Sample[];
}

/** Registers a family whose values are kept elsewhere. */
export function family(
  registry: Registry,
  type: "counter" | "gauge",
  { name, help, labels, samples }: Family,
): void {
  const common = { name, help, labelNames: [...labels], registers: [registry] };
  if (type === "counter") {
    const counter: Counter = new Counter({
      ...common,
      collect() {
        counter.reset();
        for (const [own, value] of samples()) counter.inc({ ...own }, value);
      },
    });
    return;
  }
  const gauge: Gauge = new Gauge({
    ...common,
    collect() {
      gauge.reset();
      for (const [own, value] of samples()) gauge.set({ ...own }, value);
    },
  });
}

/** Registers a histogram of durations that are counted elsewhere, one for each leg. */
export function durationsMetric(
  registry: Registry,
  options: {
    readonly name: string;
    readonly help: string;
    readonly legs: Readonly<Record<string, Durations>>;
  },
): void {
  void new DurationsMetric(registry, options);
}

/** A histogram of prom-client that shows counts of our own. */
class DurationsMetric extends Histogram<"leg" | "le"> {
  readonly #name: string;
  readonly #help: string;
  readonly #legs: Readonly<Record<string, Durations>>;

  constructor(
    registry: Registry,
    { name, help, legs }: { name: string; help: string; legs: Readonly<Record<string, Durations>> },
  ) {
    super({ name, help, labelNames: ["leg"], buckets: [...bounds], registers: [registry] });
    this.#name = name;
    this.#help = help;
    this.#legs = legs;
  }

  /** What the registry asks for when it writes text; prom-client's types leave it out. */
  getForPromString(): Promise<object> {
    const values = Object.entries(this.#legs).flatMap(([leg, durations]) => this.#valuesOf(leg, durations));
    return Promise.resolve({
      name: this.#name,
      help: this.#help,
      type: "histogram",
      aggregator: "sum",
      values,
    });
  }

  #valuesOf(leg: string, { counts, sumMs }: Durations): object[] {
    const sharedLabels = { leg };
    let total = 0;
    const buckets = counts.map((count, at) => {
      total += count;
      const labels = { le: bounds[at] ?? "+Inf" };
      return { metricName: `${this.#name}_bucket`, labels, sharedLabels, value: total };
    });
    return [
      ...buckets,
      { metricName: `${this.#name}_sum`, labels: {}, sharedLabels, value: sumMs / 1000 },
      { metricName: `${this.#name}_count`, labels: {}, sharedLabels, value: total },
    ];
  }
}
