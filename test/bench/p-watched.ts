/**
 * What 200 clients of the live feed cost the frames: the sender never stops, and second by second the clients are told
 * everything or nothing, in pairs of alternating order.
 */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { projectRoot } from "../helpers/captures.ts";
import { Bed } from "./bed.ts";
import { weirServer, type WeirServer } from "./peers.ts";
import { flowsLabel, median, put, type Result } from "./table.ts";

const CLIENTS = 200;
const FLOWS = 1000;
/** A round of the feed falls into each window. */
const WINDOW_MS = 1000;
const SETTLE_MS = 250;
/** Percent. */
const FLOOR = 3;
const FOREVER_S = 3600;

/** How clients ask, and how many pairs that is measured in: an interval needs them, whatever the number of rounds. */
const KINDS = [
  { name: `${CLIENTS} clients, all alike`, wishes: 1, pairs: 30 },
  { name: `${CLIENTS} clients, ${CLIENTS} filters`, wishes: CLIENTS, pairs: 8 },
];

/** Median, and the 95 % interval of its order statistics: a second in which the machine did something else weighs as one. */
function middle(values: readonly number[]): { mid: number; low: number; high: number } {
  const sorted = values.toSorted((a, b) => a - b);
  const rank = Math.max(0, Math.floor((sorted.length - 1.96 * Math.sqrt(sorted.length)) / 2) - 1);
  return { mid: median(sorted), low: sorted[rank]!, high: sorted[sorted.length - 1 - rank]! };
}

/** Processor time of a process so far, ms, by thread. */
function threads(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).map(
    (task) => Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ")[0]) / 1e6,
  );
}
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
/** Without the thread that forwards: it never rests. */
const serving = (pid: number): number =>
  sum(
    threads(pid)
      .toSorted((a, b) => b - a)
      .slice(1),
  );

/** A process of clients, obeying. */
class Watchers {
  readonly pid: number;
  private readonly child: ChildProcess;
  private readonly ended: Promise<never>;

  constructor(socket: string, wishes: number) {
    const args = [socket, String(CLIENTS), String(wishes)];
    this.child = fork(join(projectRoot, "dist/js/test/bench/watchers.js"), args);
    this.pid = this.child.pid!;
    this.ended = once(this.child, "exit").then(() => Promise.reject(new Error("the clients' process ended")));
    this.ended.catch(() => {});
  }

  /** Messages since it was told before. */
  async tell(order: "on" | "off"): Promise<number> {
    this.child.send(order);
    const [got] = (await Promise.race([once(this.child, "message"), this.ended])) as [number];
    return got;
  }

  end(): void {
    if (this.child.connected) this.child.disconnect();
  }
}

interface Second {
  /** Thousand frames a second. */
  readonly frames: number;
  /** Of a processor, ms a second: the switch's threads but the forwarding one; the clients' process. */
  readonly serving: number;
  readonly clients: number;
}

async function second(bed: Bed, { lane, child }: WeirServer, watchers: Watchers): Promise<Second> {
  await sleep(SETTLE_MS);
  const look = (): [bigint, number, number, number] => [
    process.hrtime.bigint(),
    bed.received(lane),
    serving(child),
    sum(threads(watchers.pid)),
  ];
  const before = look();
  await sleep(WINDOW_MS);
  const after = look();
  const seconds = Number(after[0] - before[0]) / 1e9;
  const [frames, served, clients] = [1, 2, 3].map((n) => (Number(after[n]) - Number(before[n])) / seconds);
  if (frames === 0) throw new Error("no frame came through");
  return { frames: frames! / 1000, serving: served!, clients: clients! };
}

export async function watched(): Promise<Result> {
  const result: Result = {
    part: "watched",
    title: `Frames of 60 bytes, ${flowsLabel(FLOWS)}, with ${CLIENTS} clients of the live feed and without (userspace datapath)`,
    unit: "thousand frames/s",
    cells: [],
    ratios: [],
    notes: [
      `Pairs of seconds; cost is the median of the pairs, with its 95 % interval. Clients stay connected; without, they are told nothing. They are a process of the lowest priority on the same two cores: what it takes is in the cost.`,
    ],
  };
  const bed = new Bed();
  let watchers: Watchers | undefined;
  try {
    const weir = await weirServer(bed, "watched");
    // Ended with the bed.
    bed.flood(weir.lane, FLOWS, FOREVER_S).catch((error: Error) => console.error(error.message));
    for (const { name, wishes, pairs } of KINDS) {
      watchers = new Watchers(weir.socket, wishes);
      const measured = async (isOn: boolean): Promise<Second> => {
        await watchers!.tell(isOn ? "on" : "off");
        const found = await second(bed, weir, watchers!);
        if (!isOn) return found;
        const messages = await watchers!.tell("off");
        if (messages < CLIENTS * 0.5) throw new Error(`${CLIENTS} clients got ${messages} messages`);
        return found;
      };
      // Code that is new to the switch is compiled beside it.
      for (let pair = 0; pair < 3; pair++) await measured(true);
      const costs: number[] = [];
      const more: { serving: number[]; clients: number[] } = { serving: [], clients: [] };
      for (let pair = 0; pair < pairs; pair++) {
        const isFirst = pair % 2 === 0;
        const first = await measured(isFirst);
        const other = await measured(!isFirst);
        const [on, off] = isFirst ? [first, other] : [other, first];
        put(result, "Weir userspace", `without ${name}`, off.frames);
        put(result, "Weir userspace", name, on.frames);
        costs.push((1 - on.frames / off.frames) * 100);
        more.serving.push(on.serving - off.serving);
        more.clients.push(on.clients - off.clients);
      }
      watchers.end();
      watchers = undefined;
      const { mid, low, high } = middle(costs);
      const [switchMs, clientsMs] = [median(more.serving), median(more.clients)].map((ms) => ms.toFixed(1));
      result.notes!.push(
        `${name} (${pairs} pairs): ${mid.toFixed(2)} % (${low.toFixed(2)} to ${high.toFixed(2)}). Of a second of a processor the switch takes ${switchMs} ms more beside forwarding, the clients' process ${clientsMs} ms.`,
      );
      // What different filters cost is told; what was promised is of clients that see the page as it opens.
      if (wishes > 1) continue;
      result.ratios.push({
        target: "watched",
        what: `cost of ${CLIENTS} clients (95 %: ${low.toFixed(2)} to ${high.toFixed(2)} %)`,
        // An interval wider than the floor says nothing: the machine was busy with something else.
        value: (high - low) / 2 > FLOOR ? NaN : Number(mid.toFixed(2)),
        unit: "%",
        floor: FLOOR,
        goal: 1,
        atMost: true,
      });
    }
  } finally {
    watchers?.end();
    await bed.close();
  }
  return result;
}
