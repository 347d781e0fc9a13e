/**
 * Clients of the feed in a process of their own, as they are: `fork(watchers.js, [SOCKET, COUNT])`. Told "on" they come
 * and answer when each has been told something; told "off" they leave and answer how many messages all of them got.
 */
import { setPriority } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";

const [socket, count] = process.argv.slice(2);
/** As many subscriptions as that; whoever has the same shares a stream. */
const WISHES = 10;
const TOP = 40;

// Elsewhere they would have a processor of their own; here they shall not take the sender's or the switch's.
setPriority(19);

let clients: WebSocket[] = [];
let messages = 0;

/** Those that left are still counted for a moment: who finds no place comes again. */
async function come(no: number): Promise<void> {
  for (let tries = 0; ; tries++)
    try {
      return await connect(no);
    } catch (error) {
      if (tries === 50) throw error;
      await sleep(100);
    }
}

async function connect(no: number): Promise<void> {
  const client = new WebSocket(`ws+unix:${socket}:/live`, { perMessageDeflate: false });
  await new Promise<void>((resolve, reject) => {
    client.on("open", () => {
      const where = no % WISHES === 0 ? {} : { where: `dstPort>${no % WISHES}` };
      client.send(JSON.stringify({ type: "subscribe", ...where, top: TOP, intervalMs: 1000 }));
    });
    client.on("message", () => {
      messages++;
      resolve();
    });
    client.on("error", reject);
  });
  clients.push(client);
}

process.on("message", (order) => {
  if (order === "off") {
    for (const client of clients) client.terminate();
    clients = [];
    process.send!(messages);
    messages = 0;
  } else
    Promise.all(Array.from({ length: Number(count) }, (_, no) => come(no))).then(
      () => {
        messages = 0;
        process.send!("on");
      },
      (error: Error) => {
        console.error(error);
        process.exit(1);
      },
    );
});
process.on("disconnect", () => process.exit(0));
