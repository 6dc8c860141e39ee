// moto, which others wrote, as AWS: it checks the signature and the policy of every request. boto3 and the AWS CLI are the
// workloads; Secrets Manager, Parameter Store and the token service are where the proxy's own credentials come from.
import assert from "node:assert/strict";
import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, test } from "node:test";
import { valueOf } from "../e2e/harness/message.ts";
import { run } from "../e2e/harness/programs.ts";
import { allowlist, openWorld, secrets, swap } from "../e2e/harness/world.ts";
import { startAwsCloud } from "../e2e/mechanisms/aws-cloud.ts";
import { freePort } from "../helpers/free-port.ts";
import { makeCa, makeLeaf } from "../helpers/pki.ts";
import { folder, noPython, pythonProgram, startServer, workloadEnv } from "./peers.ts";

const client = (name: string) => fileURLToPath(new URL(`clients/${name}`, import.meta.url));
const region = "eu-west-1.amazonaws.com";

describe("moto, boto3 and the AWS CLI", { skip: noPython }, async () => {
  if (noPython !== false) return;
  const ca = makeCa();
  const port = await startMoto();
  const values = { sm: "canary-of-secrets-manager", ssm: "canary-of-parameter-store" };
  const endpoint = `https://127.0.0.1:${port}`;
  const setup = await run(pythonProgram("python"), [
    "-W",
    "ignore",
    client("setup_moto.py"),
    endpoint,
    values.sm,
    values.ssm,
  ]);
  assert.equal(setup.code, 0, setup.stderr);
  const keys = JSON.parse(setup.stdout) as {
    readonly id: string;
    readonly secret: string;
    readonly role: string;
  };
  const profile = join(folder, "aws-config");
  writeFileSync(
    profile,
    `[profile user]\naws_access_key_id = ${keys.id}\naws_secret_access_key = ${keys.secret}\n` +
      `[profile proxy]\nrole_arn = ${keys.role}\nsource_profile = user\nregion = eu-west-1\n`,
  );
  const world = await openWorld({
    env: {
      KEY_ID: keys.id,
      KEY: keys.secret,
      AWS_PROFILE: "proxy",
      AWS_CONFIG_FILE: profile,
      AWS_SHARED_CREDENTIALS_FILE: "/dev/null",
      AWS_ENDPOINT_URL: endpoint,
      AWS_REGION: "eu-west-1",
    },
    config: ({ securePort, folder: files }) => {
      appendFileSync(join(files, "upstream-ca.crt"), ca.certPem);
      return { transforms: transforms(securePort) };
    },
  });
  for (const [name, value] of Object.entries({ ...values, secret: keys.secret })) {
    world.canary.watch(name, value);
  }
  for (const service of ["s3", "bucket.s3", "secretsmanager", "sts"]) {
    world.dns.set(`${service}.${region}`, ["127.0.0.1"]);
  }

  function transforms(securePort: number): object[] {
    const env = (name: string) => ({ type: "env", var: name });
    const rules = (...services: string[]) => services.map((service) => ({ host: `${service}.${region}:*` }));
    const api = [`api.e2e.test:${securePort}`];
    return [
      allowlist(["api.e2e.test:*", `*.${region}:*`]),
      secrets([
        { ...swap("", "ph-of-sm", api), source: { type: "aws_sm", secret_id: "prod/key" } },
        { ...swap("", "ph-of-ssm", api), source: { type: "aws_ssm", name: "/prod/key" } },
      ]),
      {
        name: "aws_auth",
        config: {
          access_key_id: env("KEY_ID"),
          secret_access_key: env("KEY"),
          rules: rules("s3", "*.s3", "secretsmanager"),
        },
      },
      {
        name: "aws_auth",
        config: {
          credentials_provider: { type: "workload_identity", region: "eu-west-1" },
          rules: rules("sts"),
        },
      },
    ];
  }

  async function startMoto(): Promise<number> {
    const names = [`*.${region}`, `*.s3.${region}`, "127.0.0.1"];
    const leaf = makeLeaf(ca, names);
    const [certificate, key] = [join(folder, "moto.crt"), join(folder, "moto.key")];
    writeFileSync(certificate, leaf.certPem);
    writeFileSync(key, leaf.keyPem);
    const free = await freePort();
    const tls = ["--ssl", "--ssl-cert", certificate, "--ssl-key", key];
    await startServer(
      pythonProgram("moto_server"),
      ["-H", "127.0.0.1", "-p", String(free), ...tls],
      /Running on https:/,
    );
    return free;
  }

  const cloud = await startAwsCloud(world, { accessKeyId: keys.id, secretAccessKey: keys.secret });
  const workload = { ...workloadEnv(world), PYTHONWARNINGS: "ignore" };

  test("a signature of the placeholder keys is refused", async () => {
    const args = [
      "--endpoint-url",
      endpoint,
      "secretsmanager",
      "get-secret-value",
      "--secret-id",
      "prod/key",
    ];
    const direct = { ...workload, HTTPS_PROXY: "", AWS_CA_BUNDLE: join(world.folder, "upstream-ca.crt") };
    const ran = await run(pythonProgram("aws"), args, { env: direct });
    assert.notEqual(ran.code, 0);
    assert.match(ran.stderr, /security token|signature/i);
  });

  test("secrets from Secrets Manager and Parameter Store, as a role that the proxy assumed", async () => {
    for (const name of ["sm", "ssm"] as const) {
      const connection = await world.connect();
      const fields = [`Authorization: Bearer ph-of-${name}`];
      const answer = await connection.request("GET", `/${name}`, { fields });
      assert.equal(answer.status, 200, answer.body.toString());
      const received = await world.secure.request(`/${name}`);
      assert.equal(valueOf(received.fields, "authorization"), `Bearer ${values[name]}`);
    }
  });

  test("boto3 with placeholder keys: put, multipart, presigned, list, Secrets Manager", async () => {
    const ran = await run(
      pythonProgram("python"),
      [client("boto3_client.py"), String(port), String(cloud.port)],
      {
        env: workload,
      },
    );
    assert.equal(ran.code, 0, ran.stderr);
    assert.deepEqual(JSON.parse(ran.stdout), {
      put: true,
      multipart: true,
      presigned: true,
      secret: values.sm,
      listed: ["a b/é(1)+~.txt"],
    });
  });

  test("the AWS CLI copies a file to S3 and back", async () => {
    const [from, to] = [join(folder, "from"), join(folder, "to")];
    writeFileSync(from, Buffer.alloc(9 << 20, "by the CLI "));
    const s3 = ["--endpoint-url", `https://s3.${region}:${port}`, "s3", "cp", "--no-progress"];
    const up = await run(pythonProgram("aws"), [...s3, from, "s3://bucket/cli"], { env: workload });
    assert.equal(up.code, 0, up.stderr + up.stdout);
    const down = await run(pythonProgram("aws"), [...s3, "s3://bucket/cli", to], { env: workload });
    assert.equal(down.code, 0, down.stderr + down.stdout);
    assert.ok(readFileSync(to).equals(readFileSync(from)));
  });

  test("workload_identity: the token service sees the role that the proxy assumed", async () => {
    const args = ["--endpoint-url", `https://sts.${region}:${port}`, "sts", "get-caller-identity"];
    const ran = await run(pythonProgram("aws"), args, { env: workload });
    assert.equal(ran.code, 0, ran.stderr);
    const { Arn } = JSON.parse(ran.stdout) as { readonly Arn: string };
    assert.match(Arn, /:assumed-role\/egress\//);
  });
});
