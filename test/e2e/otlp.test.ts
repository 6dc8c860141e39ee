// Audit records of the real executable in a collector.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Collector, startGrpcCollector, startHttpCollector } from "../fakes/collector.ts";
import { openAbsolute } from "./harness/client.ts";
import type { Address } from "./harness/sallyport.ts";
import { eventually, within } from "./harness/wait.ts";
import { openWorld, placeholder } from "./harness/world.ts";

const world = await openWorld();

/** Everything a collector got is searched for credentials, as all other output is. */
function search(collector: Collector): void {
  const text = JSON.stringify(collector.records, (_, value: unknown) =>
    typeof value === "bigint" ? String(value) : value,
  );
  world.canary.listen("the collector")(Buffer.from(text));
}

for (const [protocol, start] of [
  ["http/protobuf", startHttpCollector],
  ["grpc", startGrpcCollector],
] as const) {
  test(`I13 I14: ${protocol}: every record is in the collector when the process has ended, and no credential`, async () => {
    const collector = await start();
    const proxy = await world.another(`otlp-${protocol.replace("/", "-")}`, {
      env: {
        OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
        OTEL_EXPORTER_OTLP_PROTOCOL: protocol,
        // Nothing is sent before the end, except by the end.
        OTEL_BLRP_SCHEDULE_DELAY: "600000",
      },
    });
    assert.equal((await proxy.line("OTEL audit export enabled"))["protocol"], protocol);
    const client = await openAbsolute(world.context, proxy.addresses.http as Address, world.plainAuthority);
    const fields = [`Authorization: Bearer ${placeholder}`];
    for (let at = 0; at < 20; at++) {
      assert.equal((await client.request("GET", `/${protocol}/${at}`, { fields })).status, 200);
    }
    client.close();
    assert.equal(collector.records.length, 0);
    proxy.signal("SIGTERM");
    assert.equal(await within("the end", proxy.exited), 0);
    search(collector);
    const lines = proxy.audit.read();
    assert.deepEqual(
      collector.records.map(({ attributes }) => String(attributes["request_id"])).sort(),
      lines.map(({ audit }) => audit.request_id).sort(),
    );
    const paths = collector.records.map(({ attributes }) => String(attributes["path"]));
    assert.ok(
      Array.from({ length: 20 }, (_, at) => `/${protocol}/${at}`).every((path) => paths.includes(path)),
    );
    await collector.close();
  });
}

test("a collector that is not there is reported once; requests and the end do not wait for it", async () => {
  const collector = await startHttpCollector();
  await collector.close();
  const proxy = await world.another("otlp-gone", {
    env: {
      OTEL_EXPORTER_OTLP_LOGS_ENDPOINT: `${collector.url}/v1/logs`,
      OTEL_BLRP_SCHEDULE_DELAY: "10",
      OTEL_EXPORTER_OTLP_TIMEOUT: "300",
    },
  });
  const client = await openAbsolute(world.context, proxy.addresses.http as Address, world.plainAuthority);
  const problems = () => proxy.log.filter(({ msg }) => /cannot be delivered to the collector/.test(msg));
  for (let at = 0; at < 3; at++) {
    assert.equal((await client.request("GET", "/gone")).status, 200);
    await eventually("the report", () => problems().length > 0);
  }
  client.close();
  const since = performance.now();
  proxy.signal("SIGTERM");
  assert.equal(await within("the end", proxy.exited), 0);
  assert.ok(performance.now() - since < 6000);
  assert.equal(problems().length, 1);
  assert.match(String(problems()[0]?.msg), /OTEL_EXPORTER_OTLP_LOGS_ENDPOINT: ECONNREFUSED/);
  assert.ok(!JSON.stringify(proxy.log).includes(collector.url), "no address in the log");
});
