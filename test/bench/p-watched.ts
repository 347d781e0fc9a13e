/** What 200 clients of the live feed cost the frames: forwarding with them against without, in alternating pairs. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { projectRoot } from "../helpers/captures.ts";
import { Bed } from "./bed.ts";
import { interval } from "./p8-telemetry.ts";
import { weirServer } from "./peers.ts";
import { flowsLabel, put, type Result } from "./table.ts";

const CLIENTS = 200;
const FLOWS = 1000;
/** Whatever the number of rounds: an interval needs them. */
const PAIRS = 20;
const SECONDS = 1;
/** Percent. */
const FLOOR = 3;

export async function watched(): Promise<Result> {
  const result: Result = {
    part: "watched",
    title: `Frames of 60 bytes, ${flowsLabel(FLOWS)}, with ${CLIENTS} clients of the live feed and without (userspace datapath)`,
    unit: "thousand frames/s",
    cells: [],
    ratios: [],
    notes: [],
  };
  const bed = new Bed();
  const costs: number[] = [];
  let clients: ReturnType<typeof fork> | undefined;
  try {
    const { lane, socket } = await weirServer(bed, "watched");
    clients = fork(join(projectRoot, "dist/js/test/bench/watchers.js"), [socket, String(CLIENTS)]);
    const ended = once(clients, "exit").then(() => Promise.reject(new Error("the clients' process ended")));
    ended.catch(() => {});
    const tell = async (order: "on" | "off"): Promise<unknown> => {
      clients!.send(order);
      const [answer] = (await Promise.race([once(clients!, "message"), ended])) as [unknown];
      return answer;
    };
    const rate = async (isWatched: boolean): Promise<number> => {
      if (!isWatched) return (await bed.frameRate(lane, FLOWS, SECONDS)) / 1000;
      await tell("on");
      const frames = (await bed.frameRate(lane, FLOWS, SECONDS)) / 1000;
      const messages = (await tell("off")) as number;
      if (messages < CLIENTS * SECONDS * 0.5) throw new Error(`${CLIENTS} clients got ${messages} messages`);
      await sleep(200);
      return frames;
    };
    await bed.frameRate(lane, FLOWS, SECONDS);
    for (let pair = 0; pair < PAIRS; pair++) {
      const isFirst = pair % 2 === 0;
      const first = await rate(isFirst);
      const second = await rate(!isFirst);
      const [on, off] = isFirst ? [first, second] : [second, first];
      put(result, "Weir userspace", "no client", off);
      put(result, "Weir userspace", `${CLIENTS} clients`, on);
      costs.push((1 - on / off) * 100);
    }
  } finally {
    clients?.disconnect();
    await bed.close();
  }
  const { mean, half } = interval(costs);
  result.notes!.push(
    `Cost: the mean of ${PAIRS} pairs, with half of its 95 % interval. The clients have 10 subscriptions, a message a second each, and a process of their own with the lowest priority.`,
  );
  result.ratios.push({
    target: "watched",
    what: `cost of ${CLIENTS} clients (± ${half.toFixed(2)} %)`,
    // An interval wider than the floor says nothing: the machine was busy with something else.
    value: half > FLOOR ? NaN : Number(mean.toFixed(2)),
    unit: "%",
    floor: FLOOR,
    goal: 1,
    atMost: true,
  });
  return result;
}
