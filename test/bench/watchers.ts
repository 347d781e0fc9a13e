/**
 * Clients of the feed in a process of their own, as they are: `fork(watchers.js, [SOCKET, COUNT])`. Told "on" they come
 * and answer when each has been told something; told "off" they leave and answer how many messages all of them got.
 */
import { setPriority } from "node:os";
import { WebSocket } from "ws";

const [socket, count] = process.argv.slice(2);
/** As many subscriptions as that; whoever has the same shares a stream. */
const WISHES = 10;
const TOP = 40;

// Elsewhere they would have a processor of their own; here they shall not take the sender's or the switch's.
setPriority(19);

let clients: WebSocket[] = [];
let messages = 0;

async function come(no: number): Promise<void> {
  const client = new WebSocket(`ws+unix:${socket}:/live`, { perMessageDeflate: false });
  clients.push(client);
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
