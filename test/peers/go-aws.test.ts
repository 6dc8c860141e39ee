// The AWS SDK for Go as the workload, and the AWS of npm test, which computes every signature with another implementation.
import assert from "node:assert/strict";
import { test } from "node:test";
import { run } from "../e2e/harness/programs.ts";
import { allowlist, openWorld } from "../e2e/harness/world.ts";
import { startAwsCloud } from "../e2e/mechanisms/aws-cloud.ts";
import { buildGo, noGo, workloadEnv } from "./peers.ts";

const modules = [
  "github.com/aws/aws-sdk-go-v2@v1.47.7",
  "github.com/aws/aws-sdk-go-v2/credentials@v1.20.15",
  "github.com/aws/aws-sdk-go-v2/service/s3@v1.114.8",
];

test("the AWS SDK for Go puts an object and gets it back", { skip: noGo }, async (t) => {
  const built = await buildGo("s3-client", new URL("clients/s3_client.go", import.meta.url), modules);
  if ("missing" in built) return t.skip(built.missing);
  const hosts = ["s3.eu-west-1.amazonaws.com:*", "*.s3.eu-west-1.amazonaws.com:*"];
  const world = await openWorld({
    config: () => ({
      transforms: [
        allowlist(hosts),
        {
          name: "aws_auth",
          config: {
            access_key_id: { type: "env", var: "KEY_ID" },
            secret_access_key: { type: "env", var: "E2E_KEY" },
            allowed_actions: ["s3:PutObject", "s3:GetObject"],
            rules: hosts.map((host) => ({ host })),
          },
        },
      ],
    }),
    env: { KEY_ID: "AKIAPEERS" },
  });
  const cloud = await startAwsCloud(world, {
    accessKeyId: "AKIAPEERS",
    secretAccessKey: world.credential,
  });
  const endpoint = `https://s3.eu-west-1.amazonaws.com:${cloud.port}`;
  const ran = await run(built.program, [endpoint], { env: workloadEnv(world) });
  assert.equal(ran.stdout, "by the SDK for Go", ran.stderr + JSON.stringify(cloud.refused));
});
