// Connections that live from the beginning to the end, through every fault.
import { once } from "node:events";
import { pause, within } from "../harness/wait.ts";
import { openSession } from "./h2.ts";
import { open, type Stage } from "./stage.ts";
import { echo, echoStream, freeAuthority, upgrade, upgradeStream } from "./websocket.ts";

/** How often each of them is looked at. */
const everyMs = 250;

/** Opens them, and gives what looks after them until `isOver`. It throws where one does not live. */
export async function openResidents(stage: Stage, isOver: () => boolean): Promise<() => Promise<void>> {
  const { books } = stage;
  const idFor = (remote: string): string => {
    const id = books.next();
    books.sure("resident", id, remote);
    return id;
  };
  const plain = await open(stage, "connect", freeAuthority(stage));
  await upgrade(plain, idFor(plain.remote));
  const multiplexed = await openSession(stage, "redirected", freeAuthority(stage));
  const stream = await upgradeStream(multiplexed.session, idFor(multiplexed.client.remote));
  const ticking = await openSession(stage, "socks5", freeAuthority(stage));
  const events = ticking.session.request({ ":path": `/ticks/${idFor(ticking.client.remote)}` });
  events.on("error", () => {});
  await within("the first events", once(events, "data"));
  const alive = async (): Promise<void> => {
    await echo(plain, 100);
    await echoStream(stream, 100);
    await within("an event", once(events, "data"));
  };
  return async () => {
    try {
      for (; !isOver(); await pause(everyMs)) {
        await alive().catch((error: Error) => {
          throw new Error(`a connection that was open did not live: ${error.message}`);
        });
      }
    } finally {
      for (const one of [multiplexed, ticking]) {
        one.session.destroy();
        one.client.close();
      }
      plain.close();
    }
  };
}
