/**
 * The command line as a process, without an engine: `node fake-weir.js serve SOCKET` is a switch of fixed numbers,
 * anything else is a command. For tests of what only a process has: pipes, signals, terminals, start-up time.
 */
import { startApi } from "../../src/api/server.ts";
import { exit, processDeps } from "../../src/cli/process.ts";
import { main } from "../../src/cli/program.ts";
import { feedOf } from "./fake-feed.ts";
import { fakeSwitch, NOW, replayed } from "./fake-switch.ts";

const [command, socket] = process.argv.slice(2);
if (command === "serve") {
  const view = fakeSwitch();
  const server = await startApi({
    view,
    socket: socket!,
    uid: process.getuid!(),
    now: () => NOW,
    live: feedOf(view),
    log: console.error,
  });
  setInterval(() => view.events.publish({ kind: "mac", port: "web1", message: "moved" }, NOW), 20);
  process.on("SIGTERM", () => void server.close().then(() => process.exit(0)));
  console.log("ready");
} else {
  const none = () => Promise.reject(new Error("no engine here"));
  const engine = {
    run: none,
    check: none,
    schema: none,
    replay: async () => replayed,
    observe: none,
    left: () => Promise.resolve([]),
    detach: () => Promise.resolve([]),
    demo: (_options: object, started: (api: string) => void): Promise<number> => {
      started(process.env.WEIR_API!);
      return new Promise((resolve) => process.once("SIGINT", () => resolve(0)));
    },
  };
  exit(await main(process.argv.slice(2), processDeps({ engine, version: "0.1.0", now: () => Date.now() })));
}
