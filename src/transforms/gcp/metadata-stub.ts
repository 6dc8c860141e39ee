import type { Exchange, Verdict } from "../../pipeline/types.ts";
import { tokenStub } from "../minting/stub.ts";
import { fakeIdToken, stubEmail } from "./fake-id-token.ts";
import { isUsualPort } from "./token-request.ts";

/** What one transform answers in the place of Google's metadata server. */
export interface MetadataFacts {
  /** Which tokens it has stubs for. */
  readonly tokens: "access" | "identity";
  /** Scopes that access tokens have; empty where it has none. */
  readonly scopes: readonly string[];
  readonly projectId: string | undefined;
  /** Milliseconds since 1970. */
  now(): number;
}

const hosts: ReadonlySet<string> = new Set(["metadata.google.internal", "169.254.169.254"]);
const root = "/computeMetadata/v1/";
const accounts = `${root}instance/service-accounts/`;

/** True for a request to the metadata server; it may still be one that is not answered here. */
export function isMetadataHost({ authority }: Exchange): boolean {
  return hosts.has(authority.host.name) && isUsualPort(authority.port);
}

interface Answer {
  readonly type: string;
  readonly body: string;
  /** Kind of stub, for the audit. */
  readonly kind: string;
  readonly audience?: string;
}

/**
 * Answers what SDKs ask the metadata server on their way to a token: whether it is there, which account it has, and the
 * token. All else is left to policy.
 * @returns `undefined` for a request that is not answered here
 */
export function metadataVerdict(exchange: Exchange, facts: MetadataFacts): Verdict {
  const { method, headers, canonicalPath } = exchange.request;
  if (method !== "GET" || !isMetadataHost(exchange)) return undefined;
  const answer = answerTo(canonicalPath, exchange.request.query ?? "", facts);
  if (answer === undefined) return undefined;
  // As the real server does: a page or a redirect that makes some client fetch this URL cannot set the header.
  if (canonicalPath !== "/" && headers.get("metadata-flavor")?.toLowerCase() !== "google") {
    exchange.annotate("rejected", "metadata_flavor_missing");
    return { kind: "reject", status: 403, reason: "metadata_flavor_missing" };
  }
  exchange.annotate("stubbed", answer.kind);
  if (answer.audience !== undefined) exchange.annotate("audience", answer.audience);
  return {
    kind: "stub",
    response: {
      status: 200,
      headers: [
        ["Content-Type", answer.type],
        ["Metadata-Flavor", "Google"],
        ["Server", "Metadata Server for VM"],
      ],
      body: answer.body,
    },
  };
}

function answerTo(path: string, query: string, facts: MetadataFacts): Answer | undefined {
  if (path.startsWith(accounts)) return accountAnswer(path.slice(accounts.length), query, facts);
  if (query !== "") return undefined;
  switch (path) {
    case "/":
      return text("computeMetadata/\n");
    case `${root}instance`: // what google-auth-library asks to see whether a metadata server is there
    case `${root}instance/`:
      return text("service-accounts/\n");
    case `${root}universe/universe-domain`:
      return text("googleapis.com");
    case `${root}project/project-id`:
      return facts.projectId === undefined ? undefined : text(facts.projectId);
    default:
      return undefined;
  }
}

/** @param rest of the path below `service-accounts/`; any name is the one account there is */
function accountAnswer(rest: string, query: string, facts: MetadataFacts): Answer | undefined {
  const isRecursive = /^(?:alt=json&)?recursive=true(?:&alt=json)?$/i.test(query);
  if (rest === "") {
    if (!isRecursive) return query === "" ? text(`default/\n${stubEmail}/\n`) : undefined;
    return json({ default: account(facts), [stubEmail]: account(facts) });
  }
  const [, field] = /^[^/]+\/([a-z]*)$/.exec(rest) ?? [];
  if (field === "token") return facts.tokens === "access" ? token() : undefined;
  if (field === "identity") return facts.tokens === "identity" ? identity(query, facts) : undefined;
  if (field === "" && isRecursive) return json(account(facts));
  if (query !== "") return undefined;
  if (field === "") return text("aliases\nemail\nidentity\nscopes\ntoken\n");
  if (field === "aliases") return text("default\n");
  if (field === "email") return text(stubEmail);
  if (field === "scopes") return text(facts.scopes.map((scope) => `${scope}\n`).join(""));
  return undefined;
}

function account({ scopes }: MetadataFacts) {
  return { aliases: ["default"], email: stubEmail, scopes };
}

function token(): Answer {
  return { type: "application/json", body: tokenStub.response.body, kind: "oauth2_token_endpoint" };
}

function identity(query: string, facts: MetadataFacts): Answer | undefined {
  const audience = new URLSearchParams(query).get("audience") ?? "";
  if (audience === "") return undefined;
  const body = fakeIdToken(audience, facts.now());
  return { type: "text/plain", body, kind: "gcp_metadata_identity_endpoint", audience };
}

function text(body: string): Answer {
  return { type: "application/text", body, kind: "gcp_metadata_endpoint" };
}

function json(body: object): Answer {
  return { type: "application/json", body: JSON.stringify(body), kind: "gcp_metadata_endpoint" };
}
