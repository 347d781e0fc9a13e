/**
 * Clients of the feed in a process of their own, as they are: `fork(watchers.js, [SOCKET, COUNT, WISHES])`. They stay
 * connected. Told "on" each asks for everything once a second, in WISHES different ways; told "off", for events once a
 * minute. They answer, when each has been told something, how many messages all of them got since the answer before.
 */
import { setPriority } from "node:os";
import { WebSocket } from "ws";

const [socket, count, wishes] = process.argv.slice(2);
const TOP = 40;
const SILENCE = { parts: ["events"], intervalMs: 60_000 };

// Elsewhere they would have a processor of their own; here they shall not take the sender's or the switch's.
setPriority(19);

let messages = 0;
/** By client: what is waiting for its next message. */
const waiting: (() => void)[] = [];

async function connect(no: number): Promise<WebSocket> {
  const client = new WebSocket(`ws+unix:${socket}:/live`, { perMessageDeflate: false });
  client.on("message", () => {
    messages++;
    waiting[no]?.();
  });
  await new Promise<void>((resolve, reject) => client.on("open", resolve).on("error", reject));
  return client;
}

function wish(no: number): object {
  const kind = no % Number(wishes);
  return { ...(kind > 0 && { where: `dstPort>${kind}` }), top: TOP, intervalMs: 1000 };
}

const connected = Promise.all(Array.from({ length: Number(count) }, (_, no) => connect(no)));

async function obey(order: unknown): Promise<void> {
  const clients = await connected;
  const got = messages;
  await Promise.all(
    clients.map(
      (client, no) =>
        new Promise<void>((resolve) => {
          waiting[no] = resolve;
          client.send(JSON.stringify({ type: "subscribe", ...(order === "on" ? wish(no) : SILENCE) }));
        }),
    ),
  );
  messages = 0;
  process.send!(got);
}

process.on("message", (order) => {
  obey(order).catch((error: Error) => {
    console.error(error);
    process.exit(1);
  });
});
process.on("disconnect", () => process.exit(0));
