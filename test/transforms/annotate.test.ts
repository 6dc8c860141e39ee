import assert from "node:assert/strict";
import { test } from "node:test";
import { annotate } from "../../src/transforms/annotate.ts";
import { secrets } from "../../src/transforms/secrets/index.ts";
import { buildTransform } from "../helpers/build-transform.ts";
import { fakeExchange } from "../helpers/exchange.ts";

const rules = [{ host: "*.example.com", methods: ["POST"], paths: ["/v1/*"] }];

function record(annotations: unknown[], headers: [string, string][], url = "https://api.example.com/v1") {
  const built = buildTransform(annotate, { annotations });
  assert.deepEqual(built.errors, []);
  const exchange = fakeExchange({ method: "POST", url, headers });
  assert.equal(built.transform.onRequest?.(exchange), undefined);
  return { ...built, annotations: exchange.annotations };
}

test("records the first value under the canonical name, and skips what is missing or empty", () => {
  const { annotations } = record(
    [{ rules, headers: ["x-request-ID", "X-Empty", "X-Missing"] }],
    [
      ["X-REQUEST-id", "one"],
      ["x-request-id", "two"],
      ["X-Empty", ""],
    ],
  );
  assert.deepEqual(annotations, { "header:X-Request-Id": "one" });
});

test("every group whose rules match adds its headers", () => {
  const groups = [
    { rules, headers: ["X-A"] },
    { rules: [{ host: "api.example.com" }], headers: ["X-B"] },
    { rules: [{ host: "other.com" }], headers: ["X-C"] },
  ];
  const headers: [string, string][] = [
    ["X-A", "a"],
    ["X-B", "b"],
    ["X-C", "c"],
  ];
  assert.deepEqual(record(groups, headers).annotations, { "header:X-A": "a", "header:X-B": "b" });
  assert.deepEqual(record(groups, headers, "https://api.example.com:443/v2").annotations, {
    "header:X-B": "b",
  });
});

test("I14: headers that carry credentials are never recorded, and naming one is warned of", () => {
  const { annotations, warnings } = record(
    [{ rules, headers: ["authorization", "Proxy-Authorization", "Cookie"] }],
    [
      ["Authorization", "canary"],
      ["Proxy-Authorization", "canary"],
      ["Cookie", "canary"],
    ],
  );
  assert.deepEqual(annotations, {
    "header:Authorization": "[redacted]",
    "header:Proxy-Authorization": "[redacted]",
    "header:Cookie": "[redacted]",
  });
  assert.equal(warnings.length, 3);
});

test("I14: a header that a credential transform has written is not recorded", () => {
  const source = { type: "test", name: "A" };
  const credentials = buildTransform(
    secrets,
    {
      secrets: [
        { source, rules: [{ host: "api.example.com" }], inject: { header: "X-Injected" } },
        { source, rules: [{ host: "api.example.com" }], replace: { proxy_value: "placeholder-1" } },
      ],
    },
    { A: "canary" },
  );
  const recorder = buildTransform(annotate, {
    annotations: [{ rules: [{ host: "api.example.com" }], headers: ["x-injected", "x-swapped", "x-plain"] }],
  });
  const exchange = fakeExchange({
    headers: [
      ["X-Swapped", "placeholder-1"],
      ["X-Plain", "plain"],
    ],
  });
  assert.equal(credentials.transform.onRequest?.(exchange), undefined);
  assert.equal(recorder.transform.onRequest?.(exchange), undefined);
  assert.equal(exchange.annotations["header:X-Injected"], "[redacted]");
  assert.equal(exchange.annotations["header:X-Swapped"], "[redacted]");
  assert.equal(exchange.annotations["header:X-Plain"], "plain");
  assert.ok(!JSON.stringify(exchange.annotations).includes("canary"));
});

test("three mistakes, three errors", () => {
  const errors = (config: unknown) => buildTransform(annotate, config).errors;
  assert.deepEqual(errors({}), ["annotations: annotate: at least one annotation group is required"]);
  assert.deepEqual(errors({ annotations: [{ headers: ["a"] }, { rules }] }), [
    "annotations.0: annotate: annotations[0]: at least one rule is required",
    "annotations.1: annotate: annotations[1]: at least one header is required",
  ]);
  assert.match(
    errors({ annotations: [{ rules, headers: ["a b"] }] })[0] ?? "",
    /^annotations\.0\.headers\.0: "a b"/,
  );
});
