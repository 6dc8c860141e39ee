import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { inspect } from "node:util";
import { Agent } from "undici";
import { SourceRegistry, type SourceRegistryOptions } from "../../src/sources/registry.ts";
import { SourceError } from "../../src/sources/types.ts";
import { fakeAccessKey, fakeAws, type FakeAws } from "../fakes/aws-secrets.ts";
import { fakeClock } from "./fake-clock.ts";

const secretKey = "canary-secret-access-key";
let aws: FakeAws;
before(async () => {
  aws = await fakeAws(secretKey);
  // The SDK looks around on its own, too: keep the machine's configuration and metadata service out of the tests.
  for (const name of Object.keys(process.env)) if (name.startsWith("AWS_")) delete process.env[name];
  process.env.AWS_CONFIG_FILE = process.env.AWS_SHARED_CREDENTIALS_FILE = "/dev/null";
  process.env.AWS_EC2_METADATA_DISABLED = "true";
});
after(() => aws.close());
beforeEach(() => {
  aws.calls.length = 0;
  aws.failure = undefined;
  aws.secrets = { "prod/key": { SecretString: "canary-sm" } };
  aws.parameters = { "/prod/key": { Parameter: { Name: "/prod/key", Value: "canary-ssm" } } };
});

const identity = () => ({
  AWS_ACCESS_KEY_ID: fakeAccessKey,
  AWS_SECRET_ACCESS_KEY: secretKey,
  AWS_REGION: "eu-west-1",
  AWS_ENDPOINT_URL: aws.url,
});

type Source = { type: string; [key: string]: unknown };

function scene(env: NodeJS.ProcessEnv = identity(), options: Partial<SourceRegistryOptions> = {}) {
  const warnings: string[] = [];
  const onWarning = (_: string, message: string) => warnings.push(message);
  const registry = new SourceRegistry({ env, onWarning, clock: fakeClock(), ...options });
  const handle = (source: Source) =>
    registry.handle(source, (path, message) => assert.fail(`${path.join()}: ${message}`));
  const read = async (source: Source) => (await handle(source).get()).reveal();
  const failure = async (source: Source): Promise<SourceError> => {
    const reason: unknown = await read(source).catch((error: unknown) => error);
    assert.ok(reason instanceof SourceError, `no failure, or not a proper one: ${inspect(reason)}`);
    const output = inspect(reason, { depth: 9 }) + warnings.join("");
    assert.ok(!output.includes("canary") && !output.includes(fakeAccessKey), output);
    return reason;
  };
  return { handle, read, failure };
}

const sm = (more: Record<string, unknown> = {}): Source => ({
  type: "aws_sm",
  secret_id: "prod/key",
  ...more,
});
const ssm = (more: Record<string, unknown> = {}): Source => ({ type: "aws_ssm", name: "/prod/key", ...more });

describe("R-04 reading", () => {
  test("a text secret, with a signed request, once", async () => {
    const { read } = scene();
    assert.equal(await read(sm()), "canary-sm");
    assert.equal(await read(sm()), "canary-sm");
    const call = {
      target: "secretsmanager.GetSecretValue",
      region: "eu-west-1",
      body: { SecretId: "prod/key" },
    };
    assert.deepEqual(aws.calls, [call]);
  });

  test("R-05 a parameter, decrypted unless told otherwise", async () => {
    const { read } = scene();
    assert.equal(await read(ssm()), "canary-ssm");
    assert.equal(await read(ssm({ with_decryption: false })), "canary-ssm");
    assert.deepEqual(aws.calls, [
      {
        target: "AmazonSSM.GetParameter",
        region: "eu-west-1",
        body: { Name: "/prod/key", WithDecryption: true },
      },
      {
        target: "AmazonSSM.GetParameter",
        region: "eu-west-1",
        body: { Name: "/prod/key", WithDecryption: false },
      },
    ]);
  });

  test("a chosen stage and version", async () => {
    await scene().read(sm({ version_stage: "AWSPREVIOUS", version_id: "v-1" }));
    assert.deepEqual(aws.calls[0]?.body, {
      SecretId: "prod/key",
      VersionStage: "AWSPREVIOUS",
      VersionId: "v-1",
    });
  });

  test("R-07 fields of one secret with one request", async () => {
    aws.secrets["prod/key"] = { SecretString: '{"id":"a","secret":"b"}' };
    const { handle } = scene();
    const pair = [handle(sm({ json_key: "id" })), handle(sm({ json_key: "secret" }))];
    const values = await Promise.all(pair.map(async (field) => (await field.get()).reveal()));
    assert.deepEqual(values, ["a", "b"]);
    assert.equal(aws.calls.length, 1);
  });

  test("the endpoint of the source, and the service's own variable, come before the common one", async () => {
    const dead = "http://127.0.0.1:1";
    await scene({ ...identity(), AWS_ENDPOINT_URL: dead }).read(sm({ endpoint: aws.url }));
    await scene({ ...identity(), AWS_ENDPOINT_URL: dead, AWS_ENDPOINT_URL_SSM: aws.url }).read(ssm());
    await scene({ ...identity(), AWS_ENDPOINT_URL: dead, AWS_ENDPOINT_URL_SECRETS_MANAGER: aws.url }).read(
      sm(),
    );
    assert.equal(aws.calls.length, 3);
  });

  test("requests go through the dialler that the registry was given", async () => {
    const agent = new Agent();
    let dispatched = 0;
    const dispatcher = agent.compose((dispatch) => (options, handler) => {
      dispatched++;
      return dispatch(options, handler);
    });
    await scene(identity(), { dispatcher }).read(sm());
    assert.equal(dispatched, 1);
    await agent.close();
  });
});

describe("R-05 the region", () => {
  const arn = "arn:aws:secretsmanager:ap-south-1:123456789012:secret:prod/key-AbCdEf";
  const cases: readonly [what: string, env: NodeJS.ProcessEnv, source: () => Source, region: string][] = [
    ["is that of the source", {}, () => sm({ region: "us-east-2" }), "us-east-2"],
    [
      "is that of the source rather than of the ARN",
      {},
      () => sm({ region: "us-east-2", secret_id: arn }),
      "us-east-2",
    ],
    ["is that of the ARN", {}, () => sm({ secret_id: arn }), "ap-south-1"],
    ["is AWS_REGION", { AWS_REGION: "eu-north-1" }, () => sm(), "eu-north-1"],
    ["is AWS_DEFAULT_REGION", { AWS_REGION: "", AWS_DEFAULT_REGION: "eu-south-1" }, () => sm(), "eu-south-1"],
  ];
  for (const [what, env, source, region] of cases) {
    test(what, async () => {
      aws.secrets[arn] = { SecretString: "s" };
      await scene({ ...identity(), ...env }).read(source());
      assert.equal(aws.calls[0]?.region, region);
    });
  }

  test("has to come from somewhere", async () => {
    const { message } = await scene({ ...identity(), AWS_REGION: undefined }).failure(sm());
    assert.equal(
      message,
      'aws_sm secret "prod/key": no AWS region: set "region" on the source, or AWS_REGION in the environment of the proxy',
    );
  });
});

describe("what fails, in our own words (I14)", () => {
  const cases: readonly [what: string, source: Source, message: RegExp][] = [
    [
      "no such secret",
      sm({ secret_id: "nope" }),
      /^aws_sm secret "nope": secret not found; .* \(ResourceNotFoundException\)$/,
    ],
    [
      "no such parameter",
      ssm({ name: "/nope" }),
      /^aws_ssm parameter "\/nope": parameter not found; .*\(ParameterNotFound\)$/,
    ],
  ];
  for (const [what, source, message] of cases) {
    test(`R-04 ${what}`, async () => assert.match((await scene().failure(source)).message, message));
  }

  const kinds: readonly [status: number, type: string, message: RegExp][] = [
    [400, "AccessDeniedException", /access denied; .* \(AccessDeniedException\)$/],
    [400, "com.amazonaws.secretsmanager#DecryptionFailure", /KMS could not decrypt it/],
    [400, "InvalidRequestException", /marked for deletion/],
    [403, "ExpiredTokenException", /session has expired/],
    [400, "SomethingNewException", /AWS refused \(SomethingNewException, status 400\)$/],
  ];
  for (const [status, type, message] of kinds) {
    test(`R-04 ${type}`, async () => {
      aws.failure = { status, type };
      assert.match((await scene().failure(sm())).message, message);
    });
  }

  test("a rejected signature", async () => {
    const { message } = await scene({ ...identity(), AWS_SECRET_ACCESS_KEY: "other-canary" }).failure(sm());
    assert.match(
      message,
      /credentials were rejected; check the secret key and the clock \(InvalidSignatureException\)$/,
    );
  });

  test("no credentials at all", async () => {
    const { AWS_REGION, AWS_ENDPOINT_URL } = identity();
    const { message } = await scene({ AWS_REGION, AWS_ENDPOINT_URL }).failure(sm());
    assert.match(message, /no AWS credentials found for the proxy .*\(CredentialsProviderError\)$/);
  });

  test("nobody listening", async () => {
    const { message } = await scene().failure(sm({ endpoint: "http://127.0.0.1:1" }));
    assert.match(message, /cannot reach AWS: connection refused \(ECONNREFUSED\)$/);
  });

  test("a rate limit is named and backs off for as long as AWS asks, at least a minute", async () => {
    for (const [field, ms] of [
      ["120", 120_000],
      ["1", 60_000],
      ["", 60_000],
    ] as const) {
      aws.failure = { status: 400, type: "ThrottlingException", headers: { "retry-after": field } };
      const error = await scene().failure(ssm());
      assert.match(error.message, /rate limited by AWS \(ThrottlingException\)/);
      assert.equal(error.retryAfterMs, ms);
    }
    assert.equal(aws.calls.length, 3, "no attempt is repeated at once");
  });

  test("a fault of the service is tried again within the read", async () => {
    aws.failure = { status: 500, type: "InternalServiceError" };
    assert.match((await scene().failure(sm())).message, /AWS failed \(InternalServiceError\)$/);
    assert.equal(aws.calls.length, 3);
  });

  test("a binary secret is refused by that name", async () => {
    aws.secrets["prod/key"] = { SecretBinary: Buffer.from("canary").toString("base64") };
    assert.match((await scene().failure(sm())).message, /it is a binary secret \(SecretBinary\)/);
  });

  for (const [what, held] of [
    ["no parameter", {}],
    ["a parameter without value", { Parameter: { Name: "/prod/key" } }],
  ] as const) {
    test(`R-04 ${what}`, async () => {
      aws.parameters["/prod/key"] = held;
      assert.match((await scene().failure(ssm())).message, /resolved without a value$/);
    });
  }

  test("R-04 an empty value", async () => {
    aws.secrets["prod/key"] = { SecretString: "" };
    assert.match((await scene().failure(sm())).message, /resolved to empty value$/);
  });
});

describe("load errors", () => {
  const cases: readonly [what: string, source: Source, error: string][] = [
    ["R-03 aws_sm without secret_id", { type: "aws_sm" }, 'aws_sm source requires "secret_id" field'],
    ["R-03 aws_ssm without name", { type: "aws_ssm" }, 'aws_ssm source requires "name" field'],
    [
      "a bad endpoint",
      sm({ endpoint: "localhost:4566" }),
      '"endpoint" must be an http or https URL without a path',
    ],
    [
      "a decryption that is no boolean",
      ssm({ with_decryption: "yes" }),
      '"with_decryption" must be true or false',
    ],
  ];
  for (const [what, source, expected] of cases) {
    test(what, () => {
      const errors: string[] = [];
      new SourceRegistry({ env: {}, onWarning: () => {} }).handle(source, (_, message) =>
        errors.push(message),
      );
      assert.equal(errors.length, 1);
      assert.ok(errors[0]?.startsWith(expected), errors.join());
    });
  }

  test("the variables of the identity are named, so that a child process can be kept from them", () => {
    const { variables } = scene().handle(sm());
    for (const name of ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]) {
      assert.ok(variables.includes(name), name);
    }
  });
});
