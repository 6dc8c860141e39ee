// HTTP/1.1 by every way in: ordinary exchanges, and everything that either side can do wrong.
import type { Client } from "../harness/client.ts";
import { type Answer, valueOf } from "../harness/message.ts";
import { pause } from "../harness/wait.ts";
import { placeholder } from "../harness/world.ts";
import { exchange, oneOf, open, pick, type Scene, type SoakWay, type Stage } from "./stage.ts";
import { large } from "./upstreams.ts";

const ways: readonly SoakWay[] = ["connect", "absolute", "redirected", "socks5"];
const requestsPerConnection = 12;

/** One kind of exchange, with one audit record. It says whether the connection can be used again. */
interface Kind {
  readonly name: string;
  /** How often, compared with the others. */
  readonly weight: number;
  /** False where the proxy does not get to know the path. */
  readonly named?: boolean;
  run(client: Client, id: string, stage: Stage): Promise<"kept" | "over">;
}

export function expectAnswer(answer: Answer | undefined, status: number, complete = true): Answer {
  if (answer === undefined) throw new Error(`closed in place of ${status}`);
  if (answer.status !== status || answer.complete !== complete) {
    const reason = valueOf(answer.fields, "sallyport-reason") ?? "";
    throw new Error(
      `${answer.status} ${reason} ${answer.status >= 400 ? answer.body.toString() : ""}, complete: ${answer.complete}, in place of ${status}, ${complete}`,
    );
  }
  return answer;
}

export const auth = [`Authorization: Bearer ${placeholder}`];
const body = "x".repeat(3000);
const uploaded = "upload ".repeat(30_000);

const kinds: readonly Kind[] = [
  {
    name: "get",
    weight: 40,
    async run(client, id) {
      expectAnswer(await client.request("GET", `/ok/${id}`, { fields: auth }), 200);
      return "kept";
    },
  },
  {
    name: "post",
    weight: 20,
    async run(client, id) {
      expectAnswer(await client.request("POST", `/ok/${id}`, { fields: auth, body }), 200);
      return "kept";
    },
  },
  {
    name: "chunked both ways, with trailers",
    weight: 8,
    async run(client, id) {
      client.send(client.text("POST", `/chunks/${id}`, { fields: ["Transfer-Encoding: chunked"] }));
      client.send(`bb8\r\n${body}\r\n0\r\nX-Check: 1\r\n\r\n`);
      const answer = expectAnswer(await client.answer(), 200);
      if (answer.trailers.length !== 1) throw new Error("no trailer");
      return "kept";
    },
  },
  {
    name: "large answer",
    weight: 2,
    async run(client, id) {
      const answer = expectAnswer(await client.request("GET", `/large/${id}`), 200);
      if (answer.body.length !== large.length)
        throw new Error(`${answer.body.length} bytes of a large answer`);
      return "kept";
    },
  },
  {
    name: "slow reader",
    weight: 2,
    async run(client, id) {
      client.send(client.text("GET", `/large/${id}`));
      client.socket.pause();
      await pause(50);
      client.socket.resume();
      const answer = expectAnswer(await client.answer(), 200);
      if (answer.body.length !== large.length) throw new Error(`${answer.body.length} bytes, read slowly`);
      return "kept";
    },
  },
  {
    name: "upload",
    weight: 2,
    async run(client, id) {
      const answer = expectAnswer(await client.request("POST", `/count/${id}`, { body: uploaded }), 200);
      if (answer.body.toString() !== String(uploaded.length))
        throw new Error(`${answer.body.toString()} bytes`);
      return "kept";
    },
  },
  {
    name: "events",
    weight: 2,
    async run(client, id) {
      const answer = expectAnswer(await client.request("GET", `/events/${id}`), 200);
      if (answer.body.toString().split("data: ").length !== 6) throw new Error(answer.body.toString());
      return "kept";
    },
  },
  {
    name: "refused for its path",
    named: false,
    weight: 4,
    async run(client, id) {
      expectAnswer(await client.request("GET", `/a/../${id}`), 400);
      return "kept";
    },
  },
  {
    name: "malformed",
    named: false,
    weight: 4,
    async run(client, id) {
      const fields = ["Content-Length: 3", "Transfer-Encoding: chunked"];
      client.send(client.text("POST", `/ok/${id}`, { fields }));
      expectAnswer(await client.answer(), 400);
      return "over";
    },
  },
  {
    name: "slow client",
    weight: 3,
    async run(client, id, stage) {
      const text = client.text("GET", `/ok/${id}`, { fields: auth });
      const cut = 1 + Math.floor(stage.random() * (text.length - 2));
      client.send(text.slice(0, cut));
      await pause(stage.random() * 20);
      client.send(text.slice(cut));
      expectAnswer(await client.answer(), 200);
      return "kept";
    },
  },
  {
    name: "slow upstream",
    weight: 3,
    async run(client, id) {
      expectAnswer(await client.request("GET", `/slow/${id}`), 200);
      return "kept";
    },
  },
  {
    name: "upstream ends with its connection",
    weight: 3,
    async run(client, id) {
      expectAnswer(await client.request("GET", `/until-close/${id}`), 200);
      return "kept";
    },
  },
  {
    name: "upstream resets",
    weight: 3,
    async run(client, id) {
      expectAnswer(await client.request("POST", `/reset/${id}`, { body }), 502);
      return "kept";
    },
  },
  {
    name: "upstream sends garbage",
    weight: 2,
    async run(client, id) {
      expectAnswer(await client.request("GET", `/garbage/${id}`), 502);
      return "kept";
    },
  },
  {
    name: "upstream sends too much",
    weight: 2,
    async run(client, id) {
      expectAnswer(await client.request("GET", `/extra/${id}`), 200);
      return "kept";
    },
  },
  {
    name: "upstream breaks off",
    weight: 2,
    async run(client, id) {
      expectAnswer(await client.request("GET", `/short/${id}`), 200, false);
      return "over";
    },
  },
  {
    name: "client leaves in the answer",
    weight: 2,
    async run(client, id) {
      client.send(client.text("GET", `/large/${id}`));
      const head = await client.reader.until("\r\n\r\n");
      if (head?.startsWith("HTTP/1.1 200 ") !== true) throw new Error(head?.split("\r\n")[0] ?? "closed");
      client.reset();
      return "over";
    },
  },
  {
    name: "client leaves in its upload",
    weight: 2,
    async run(client, id) {
      client.send(`${client.text("POST", `/ok/${id}`, { fields: ["Content-Length: 100000"] })}${body}`);
      client.socket.end();
      // 400, or nothing where the proxy met the end before it had anything to say.
      const [said = ""] = (await client.reader.rest()).toString("latin1").split("\r\n");
      if (said !== "" && !said.startsWith("HTTP/1.1 400 ")) throw new Error(said);
      return "over";
    },
  },
  {
    name: "client leaves in its head",
    named: false,
    weight: 2,
    async run(client, id) {
      client.send(client.text("GET", `/ok/${id}`).slice(0, -2));
      client.socket.end();
      expectAnswer(await client.answer(), 400);
      return "over";
    },
  },
];

export const h1: Scene = {
  name: "HTTP/1.1",
  weight: 40,
  async play(stage) {
    const way = oneOf(stage, ways);
    const authority = way === "absolute" ? stage.world.plainAuthority : stage.world.secureAuthority;
    const client = await open(stage, way, authority);
    try {
      for (let left = requestsPerConnection; left > 0; left--) {
        const kind = pick(stage.random, kinds);
        const { named = true } = kind;
        const end = await exchange(stage, kind.name, client, (id) => kind.run(client, id, stage), { named });
        if (end === "over") break;
      }
    } finally {
      client.close();
    }
  },
};

/** What goes to an upstream that may be dead: an answer, a 502, or one that is cut. */
export const mortal: Scene = {
  name: "HTTP/1.1 to an upstream that is killed",
  weight: 6,
  async play(stage) {
    const client = await open(stage, "connect", stage.upstreams.mortal);
    try {
      for (let left = 6; left > 0; left--) {
        const over = await exchange(stage, "an upstream that is killed", client, async (id) => {
          const answer = await client.request("GET", `/${oneOf(stage, ["ok", "large", "slow"])}/${id}`);
          if (![200, 502].includes(answer.status)) throw new Error(`${answer.status}`);
          return !answer.complete;
        });
        if (over) break;
      }
    } finally {
      client.close();
    }
  },
};
