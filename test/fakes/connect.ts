// Stands in for a 1Password Connect server, which needs an account and cannot be had freely. It answers as the
// published REST interface does: vaults and items by id or by a `title eq "..."` filter, lists without fields,
// errors as JSON with status and message.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface FakeItem {
  readonly id: string;
  readonly title: string;
  readonly sections?: readonly { readonly id: string; readonly label?: string }[];
  readonly fields?: readonly {
    readonly id: string;
    readonly label?: string;
    readonly value?: string;
    readonly section?: { readonly id: string; readonly label?: string };
  }[];
}

export interface FakeVault {
  readonly id: string;
  readonly name: string;
  items: FakeItem[];
}

/** What a test may have the server do in place of its proper answer. */
export type Misbehaviour = (request: IncomingMessage, response: ServerResponse) => boolean;

export interface FakeConnect {
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
  /** Path and query of every request, in order. */
  readonly requests: string[];
  vaults: FakeVault[];
  /** The one token that is accepted. */
  token: string;
  /** Answers a request itself if it gives true. */
  misbehave: Misbehaviour | undefined;
  /** Every answer waits for this. */
  gate: Promise<void> | undefined;
  close(): Promise<void>;
}

/** Starts a fake Connect server on a free port of the loopback interface. */
export async function fakeConnect(vaults: FakeVault[], token = "connect-token-1"): Promise<FakeConnect> {
  const reply = (request: IncomingMessage, response: ServerResponse): void => {
    if (fake.misbehave?.(request, response) === true) return;
    const { status, body } = answer(fake, request);
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  };
  const server = createServer((request, response) => {
    fake.requests.push(request.url ?? "");
    if (fake.gate === undefined) reply(request, response);
    else void fake.gate.then(() => reply(request, response));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const fake: FakeConnect = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests: [],
    vaults,
    token,
    misbehave: undefined,
    gate: undefined,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return fake;
}

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

const failure = (status: number, message: string): Answer => ({ status, body: { status, message } });

function answer(fake: FakeConnect, request: IncomingMessage): Answer {
  const { pathname, searchParams } = new URL(request.url ?? "", "http://connect");
  if (request.headers.authorization !== `Bearer ${fake.token}`)
    return failure(401, "Invalid token signature");
  if (request.method !== "GET") return failure(405, "Method not allowed");
  // Clients exist that write a slash behind the name of a list.
  const [, version, what, vaultId, items, itemId, ...more] = pathname.replace(/\/$/, "").split("/");
  if (version !== "v1" || what !== "vaults" || more.length > 0) return failure(404, "Not found");
  const title = titleOf(searchParams.get("filter"));
  if (title === "malformed") return failure(400, "Invalid filter");
  if (vaultId === undefined) {
    const found = fake.vaults.filter((vault) => title === undefined || vault.name === title.eq);
    return { status: 200, body: found.map(({ id, name }) => ({ id, name })) };
  }
  const vault = fake.vaults.find(({ id }) => id === vaultId);
  if (vault === undefined) return failure(404, `vault "${vaultId}" not found`);
  if (items === undefined) return { status: 200, body: { id: vault.id, name: vault.name } };
  if (items !== "items") return failure(404, "Not found");
  if (itemId === undefined) {
    const found = vault.items.filter((item) => title === undefined || item.title === title.eq);
    return {
      status: 200,
      body: found.map(({ id, title: name }) => ({ id, title: name, vault: { id: vaultId } })),
    };
  }
  const item = vault.items.find(({ id }) => id === itemId);
  return item === undefined ? failure(404, `item "${itemId}" not found`) : { status: 200, body: item };
}

/** Reads a filter such as `title eq "a \"quoted\" name"`. */
function titleOf(filter: string | null): { eq: string } | undefined | "malformed" {
  if (filter === null) return undefined;
  const quoted = /^(?:title|name) eq "((?:[^"\\]|\\.)*)"$/.exec(filter)?.[1];
  return quoted === undefined ? "malformed" : { eq: quoted.replace(/\\(.)/g, "$1") };
}
