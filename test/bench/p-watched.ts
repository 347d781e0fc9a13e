/**
 * What 200 clients of the live feed cost the frames: the sender never stops, and the clients are told everything or
 * nothing, in blocks of four seconds: nothing, everything twice, nothing. What gets slower or faster in a block meets both
 * alike. How many blocks is fixed before, and so is which do not count: by what others took, never by what came out.
 */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { setPriority } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { projectRoot } from "../helpers/captures.ts";
import { Bed, run } from "./bed.ts";
import { weirServer } from "./peers.ts";
import { flowsLabel, middle, put, type Result } from "./table.ts";
import { receivedIn } from "./turns.ts";

const CLIENTS = 200;
const FLOWS = 1000;
/** The clients' interval: each is told once in a window. */
const WINDOW_MS = 1000;
/** After the clients have their first answer. */
const SETTLE_MS = 150;
/** Percent. */
const FLOOR = 3;
/** The sender's processor, on and off: where the kernel puts it moves the rate more than what is measured. */
const SENDER_CPU = 0;

/** What others may take of the processors in a second, ms: a block with more is measured again, whatever it said. */
const MOST_OTHERS_MS = 60;
const TICK_MS = 10;

/** How clients ask, and how many blocks of two pairs that is measured in: an interval needs them, whatever the number of rounds. */
const KINDS = [
  { name: `${CLIENTS} clients, all alike`, wishes: 1, blocks: 46 },
  { name: `${CLIENTS} clients, ${CLIENTS} filters`, wishes: CLIENTS, blocks: 4 },
];

/** What anybody, the host's other guests too, took of all processors so far, ms: /proc/stat without idle, iowait, guests. */
function taken(): number {
  const [user, nice, system, , , irq, softirq, steal] = readFileSync("/proc/stat", "utf8")
    .slice("cpu ".length)
    .trim()
    .split(/\s+/, 8)
    .map(Number) as [number, number, number, number, number, number, number, number];
  return (user + nice + system + irq + softirq + steal) * TICK_MS;
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

  /** Messages since it was told before. At the lowest priority it would take a second to hear. */
  async tell(order: "on" | "off"): Promise<number> {
    setPriority(this.pid, 0);
    this.child.send(order);
    const [got] = (await Promise.race([once(this.child, "message"), this.ended])) as [number];
    setPriority(this.pid, 19);
    return got;
  }

  end(): void {
    if (this.child.connected) this.child.disconnect();
  }
}

interface Second {
  /** Thousand frames a second. */
  readonly frames: number;
  /** Of a processor, ms a second: the switch's threads but the forwarding one; the clients' process; who has no part in this. */
  readonly serving: number;
  readonly clients: number;
  readonly others: number;
}

type Receiver = ReturnType<Bed["watcher"]>;

interface Parts {
  readonly weir: number;
  readonly sender: number;
  readonly receiver: Receiver;
  readonly watchers: Watchers;
}

/** Frames are read without a program's start, which would be in the figure. */
async function second({ weir, sender, receiver, watchers }: Parts): Promise<Second> {
  const look = (): number[] => {
    const clients = sum(threads(watchers.pid));
    const ours = sum(threads(weir)) + sum(threads(sender)) + sum(threads(process.pid)) + clients;
    const frames = receivedIn(receiver.pid, receiver.device);
    return [Number(process.hrtime.bigint()) / 1e9, frames, serving(weir), clients, taken() - ours];
  };
  const before = look();
  await sleep(WINDOW_MS);
  const after = look();
  const [seconds, ...grown] = after.map((value, n) => value - before[n]!);
  const [frames, served, clients, others] = grown.map((value) => value / seconds!);
  if (frames === 0) throw new Error("no frame came through");
  return { frames: frames! / 1000, serving: served!, clients: clients!, others: others! };
}

export async function watched(): Promise<Result> {
  const result: Result = {
    part: "watched",
    title: `Frames of 60 bytes, ${flowsLabel(FLOWS)}, with ${CLIENTS} clients of the live feed and without (userspace datapath)`,
    unit: "thousand frames/s",
    cells: [],
    ratios: [],
    notes: [
      `Pairs of seconds, in blocks off, on, on, off; cost is the middle of the pairs (Hodges and Lehmann), with its 95 % interval. Clients stay connected; without, they are told nothing. They are a process of the lowest priority on the same two cores, the sender stays on one of them: what they take is in the cost. A block is measured again where others took more than ${MOST_OTHERS_MS} ms of a second.`,
    ],
  };
  const bed = new Bed();
  let watchers: Watchers | undefined;
  try {
    const weir = await weirServer(bed, "watched");
    const sender = bed.sender(weir.lane, FLOWS);
    const receiver = bed.watcher(weir.lane);
    for (const { name, wishes, blocks } of KINDS) {
      watchers = new Watchers(weir.socket, wishes);
      const parts: Parts = { weir: weir.child, sender: sender.pid!, receiver, watchers };
      let expected = 0;
      /** Two in a row. */
      const seconds = async (isOn: boolean, count = 2): Promise<Second[]> => {
        const messages = await watchers!.tell(isOn ? "on" : "off");
        if (messages < expected * 0.9) throw new Error(`${CLIENTS} clients got ${messages} messages, not ${expected}`);
        expected = isOn ? CLIENTS * count : 0;
        await sleep(SETTLE_MS);
        const found: Second[] = [];
        while (found.length < count) found.push(await second(parts));
        return found;
      };
      // Code that is new to the switch is compiled beside it.
      await seconds(true, 6);
      run("taskset", ["-pc", String(SENDER_CPU), String(sender.pid)]);
      const costs: number[] = [];
      const more: { serving: number[]; clients: number[] } = { serving: [], clients: [] };
      let disturbed = 0;
      let off = await seconds(false);
      while (costs.length < 2 * blocks) {
        const on = await seconds(true);
        const next = await seconds(false);
        const without = [off[1]!, next[0]!];
        off = next;
        if ([...on, ...without].some(({ others }) => others > MOST_OTHERS_MS) && disturbed < blocks) {
          disturbed++;
          continue;
        }
        for (const [n, one] of without.entries()) {
          put(result, "Weir userspace", `without ${name}`, one.frames);
          put(result, "Weir userspace", name, on[n]!.frames);
          costs.push(Math.log(one.frames / on[n]!.frames));
          more.serving.push(on[n]!.serving - one.serving);
          more.clients.push(on[n]!.clients - one.clients);
        }
      }
      watchers.end();
      watchers = undefined;
      // The middle of logarithms: that of ratios would take noise for a gain.
      const { mid, low, high } = middle(costs);
      const [cost, least, most] = [mid, low, high].map((value) => (1 - Math.exp(-value)) * 100) as [
        number,
        number,
        number,
      ];
      const [switchMs, clientsMs] = [more.serving, more.clients].map((ms) => {
        const { mid, low, high } = middle(ms);
        return `${mid.toFixed(1)} (${low.toFixed(1)} to ${high.toFixed(1)})`;
      });
      result.notes!.push(
        `${name} (${costs.length} pairs; ${disturbed} blocks again): ${cost.toFixed(2)} % (${least.toFixed(2)} to ${most.toFixed(2)}). Of a second of a processor the switch takes ${switchMs} ms more beside forwarding, the clients' process ${clientsMs} ms.`,
      );
      // What different filters cost is told; what was promised is of clients that see the page as it opens.
      if (wishes > 1) continue;
      result.ratios.push({
        target: "watched",
        what: `cost of ${CLIENTS} clients (95 %: ${least.toFixed(2)} to ${most.toFixed(2)} %)`,
        // An interval wider than the floor says nothing: the machine was busy with something else.
        value: most - least > 2 * FLOOR ? NaN : Number(cost.toFixed(2)),
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
