// The operations of the control service, each described where it is done.
import { bearerCheck } from "../admin/bearer.ts";
import { json, type Received, type Reply, type Route } from "../admin/server.ts";
import type { SigningKeys } from "../callers/keys.ts";
import { defaultTtl, TokenError } from "../callers/token.ts";
import type { Entry, Problem, Tool } from "../tools/index.ts";
import type { Catalog } from "./catalog.ts";
import { placeholdersFor, toolNames } from "./declared.ts";
import { type Described, openApi, type Operation } from "./openapi.ts";
import { environmentOf, LeakError, type SandboxSettings, tokenFor } from "./sandbox.ts";
import {
  errorAnswer,
  healthAnswer,
  sandboxAnswer,
  sandboxRequest,
  toolsAnswer,
  toolsHealthAnswer,
  ttlSeconds,
} from "./schemas.ts";

export interface ServiceOptions {
  /** What requests must have as `Authorization: Bearer`. */
  readonly key: string;
  readonly version: string;
  readonly catalog: Catalog;
  readonly settings: SandboxSettings;
  /** PEM of the proxy's CA, and with all roots that a sandbox is to trust. Read anew each time: it may be replaced. */
  readonly ca: (roots: "none" | "system") => string;
  /** Read anew each time, so that a key in a file can change. Throws SigningKeyError. */
  readonly keys: () => SigningKeys;
  readonly env: NodeJS.ProcessEnv;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** An operation and how it is done. */
interface Done extends Operation {
  readonly maxBody?: number;
  readonly handle: (received: Received) => Reply;
}

/** A request is a few lines of JSON (I12). */
const maxBodyBytes = 65_536;
const jsonType = "application/json";
const pemType = "application/x-pem-file";

/** Every route of the control service, its own description among them. */
export function serviceRoutes(options: ServiceOptions): Route[] {
  const isAuthorized = bearerCheck(options.key);
  const guard: NonNullable<Route["guard"]> = ({ headers }) => {
    if (isAuthorized(headers.authorization)) return undefined;
    const error = "the request needs Authorization: Bearer with the management key";
    return json(401, { error }, { "WWW-Authenticate": 'Bearer realm="sallyport"' });
  };
  const operations = operationsOf(options);
  const document = openApi(
    operations.map((one) => ({ ...one, answers: { ...one.answers, ...refusals(one) } })),
    options.version,
  );
  const described: Route = { path: "/openapi.json", method: "GET", handle: () => json(200, document) };
  return [
    ...operations.map(
      ({ path, method, secured, maxBody, handle }): Route => ({
        path,
        method,
        ...(secured ? { guard } : {}),
        ...(maxBody === undefined ? {} : { maxBody }),
        handle,
      }),
    ),
    described,
  ];
}

/** Answers that an operation shares with others of its kind. */
function refusals({ secured, request }: Operation): Record<number, Described> {
  const refusal = (description: string): Described => ({ description, content: errorAnswer });
  return {
    ...(secured ? { 401: refusal("No management key, or a wrong one.") } : {}),
    405: refusal("Another method; `Allow` names the right one."),
    ...(request === undefined
      ? {}
      : {
          413: refusal(`The body is larger than ${maxBodyBytes} bytes.`),
          415: refusal("The body is not JSON by its Content-Type."),
        }),
    500: refusal("A defect of the service."),
  };
}

function operationsOf(options: ServiceOptions): Done[] {
  const { catalog } = options;
  return [
    {
      path: "/health",
      method: "GET",
      id: "health",
      summary: "Whether the service answers",
      secured: false,
      answers: { 200: { description: "It does.", content: healthAnswer } },
      handle: () => json(200, { status: "ok" }),
    },
    {
      path: "/health/tools",
      method: "GET",
      id: "toolsHealth",
      summary: "Which tools were left out, and why",
      secured: true,
      answers: { 200: { description: "Also where some were left out.", content: toolsHealthAnswer } },
      handle: () => json(200, toolsHealth(catalog)),
    },
    {
      path: "/v1/tools",
      method: "GET",
      id: "listTools",
      summary: "Tools that sandboxes can be limited to, and what each declares",
      secured: true,
      answers: { 200: { description: "Sorted by name, harnesses at the end.", content: toolsAnswer } },
      handle: () => json(200, { tools: listTools(catalog) }),
    },
    {
      path: "/v1/sandboxes",
      method: "POST",
      id: "createSandbox",
      summary: "A token and an environment for one sandbox; nothing is kept",
      secured: true,
      request: sandboxRequest,
      answers: {
        201: { description: "What to start the sandbox with.", content: sandboxAnswer },
        400: { description: "The request asks for what there is not.", content: errorAnswer },
      },
      maxBody: maxBodyBytes,
      handle: (received) => createSandbox(received, options),
    },
    {
      path: "/v1/ca.pem",
      method: "GET",
      id: "caCertificate",
      summary: "The certificate of the proxy's CA, never its key",
      secured: true,
      query: {
        roots: {
          description:
            "With `system`, the bundle that a sandbox's variables point to: all other roots as well.",
          values: ["none", "system"],
        },
      },
      answers: {
        200: { description: "PEM.", content: pemType },
        400: { description: "Another value of `roots`.", content: errorAnswer },
      },
      handle: ({ query }) => caCertificate(query.get("roots") ?? "none", options),
    },
  ];
}

function toolsHealth(catalog: Catalog): unknown {
  const { tools, problems } = catalog.current();
  const isDegraded = catalog.problem !== undefined || problems.some(({ severity }) => severity === "error");
  return {
    status: isDegraded ? "degraded" : "ok",
    tools: tools.length,
    problems: problems.map(({ severity, tool, file, line, message }: Problem) => {
      return { severity, tool: tool ?? null, file, line, message };
    }),
    error: catalog.problem ?? null,
  };
}

function listTools(catalog: Catalog): unknown {
  const declared = catalog.current();
  return declared.tools.map((tool: Tool) => {
    const held = new Map(placeholdersFor(declared, [tool.name]).map((one) => [one.name, one.placeholder]));
    return {
      name: tool.name,
      description: tool.description ?? null,
      secrets: tool.secrets.map((entry: Entry) => ({
        name: entry.name,
        type: entry.type,
        mode: entry.type === "http" ? entry.mode : null,
        optional: entry.optional,
        hosts: "hosts" in entry ? entry.hosts : [],
        placeholder: entry.type === "http" ? (held.get(entry.name) ?? null) : null,
      })),
    };
  });
}

function createSandbox({ type, body }: Received, options: ServiceOptions): Reply {
  const { catalog, settings, env, now = Date.now } = options;
  if (type !== jsonType)
    return json(415, { error: `write the request as JSON, with Content-Type: ${jsonType}` });
  const parsed = sandboxRequest.safeParse(parseJson(body));
  if (!parsed.success) return json(400, { error: parsed.error.issues.map(issueText).join("; ") });
  const { name, tools, ttl = defaultTtl, env: added = {} } = parsed.data;
  const seconds = ttlSeconds(ttl);
  if (seconds === undefined) {
    return json(400, { error: "ttl: write a duration from 1s to 720h such as 30m, or a number of seconds" });
  }
  const declared = catalog.current();
  const known = toolNames(declared);
  const unknown = tools?.filter((tool) => !known.includes(tool)) ?? [];
  if (unknown.length > 0) {
    const list = unknown
      .slice(0, 10)
      .map((tool) => JSON.stringify(tool))
      .join(", ");
    return json(400, { error: `tools: there is no ${list}; GET /v1/tools lists them` });
  }
  try {
    const { token, expiresAt } = tokenFor({ name, tools, ttl: seconds }, options.keys(), now());
    const extra = new Map([...settings.extra, ...Object.entries(added)]);
    const made = environmentOf(declared, { ...settings, extra }, { limit: tools, token, env });
    return json(201, {
      name,
      tools: tools ?? null,
      env: Object.fromEntries(made.variables),
      token,
      expires_at: expiresAt.toISOString(),
      warnings: made.warnings,
    });
  } catch (error) {
    if (error instanceof TokenError || error instanceof LeakError) return json(400, { error: error.message });
    throw error;
  }
}

/** `undefined` for what is no JSON, which the schema refuses. */
function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    return undefined;
  }
}

function issueText({
  path,
  message,
}: {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}): string {
  return path.length === 0 ? `the body: ${message}` : `${path.map(String).join(".")}: ${message}`;
}

function caCertificate(roots: string, { ca }: ServiceOptions): Reply {
  if (roots !== "none" && roots !== "system") return json(400, { error: "roots: write none or system" });
  return { status: 200, type: pemType, body: ca(roots) };
}
