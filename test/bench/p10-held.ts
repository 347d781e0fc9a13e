/**
 * P10: a million flows held by a running switch: its memory, the longest time in which its control thread did not
 * answer, and (in this process, on memory of the same layout) a sweep over all of them.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { KernelDatapath } from "../../src/datapath/kernel/index.ts";
import { RecordLog } from "../../src/shm/log.ts";
import { attach, createFlowMemory } from "../../src/shm/memory.ts";
import type { WordRing } from "../../src/shm/ring.ts";
import type { FlowSlots } from "../../src/shm/slots.ts";
import { createFlow, hit, splitHigh, splitLow } from "../../src/flow/count.ts";
import { Outcomes } from "../../src/flow/outcomes.ts";
import { Sweeper } from "../../src/flow/sweep.ts";
import { ask, get } from "./ask.ts";
import { Bed } from "./bed.ts";
import { LOOP_DELAY, weirServer } from "./peers.ts";
import { put, value, type Result } from "./table.ts";
import { keyOf } from "../helpers/flowbed.ts";

const FLOWS = 1_000_000;
const CAPACITY = 1 << 20;
const SECOND = 1e9;
const LOOKS = 6;
/** Often enough to meet a pause, and not so often that what the answers leave behind is what makes them. */
const ASK_MS = 20;
const BPF_F_MMAPABLE = 1 << 10;

type Kind = "userspace" | "kernel";

/** A full table of flows, of either datapath. */
interface Table {
  readonly slots: FlowSlots;
  readonly free: WordRing;
  close(): Promise<void>;
}

const TABLES: Readonly<Record<Kind, () => Table>> = {
  userspace: () => ({ ...attach(createFlowMemory({ capacity: CAPACITY, ports: 16 })), close: async () => {} }),
  kernel: () =>
    new KernelDatapath({
      capacity: CAPACITY,
      onAttention: () => {},
      onFailure: (error) => {
        throw error;
      },
    }),
};

/** Times of looks at every slot of a full table, ms; the first ones, which are the compiler's, left out. */
async function sweeps(kind: Kind, looks: number): Promise<number[]> {
  const table = TABLES[kind]();
  const sweeper = new Sweeper({
    slots: table.slots,
    free: table.free,
    retirer: { retire() {}, quiesced: () => 0, release() {} },
    log: RecordLog.create(1024),
    outcomes: new Outcomes(64, 16),
    ports: 16,
    timeouts: { activeNs: 3600 * SECOND, idleNs: 3600 * SECOND, tcpEndNs: 3600 * SECOND },
    boot: { ns: 0, unixMs: 0 },
  });
  for (let n = 0; n < FLOWS; n++) {
    const slot = createFlow(table.slots, table.free, keyOf(1, n), 0, 1, splitLow(SECOND), splitHigh(SECOND));
    hit(table.slots, slot, 1, 60, 46, 0, splitLow(SECOND), splitHigh(SECOND));
  }
  const times: number[] = [];
  for (let look = 1; look <= LOOKS + looks; look++) {
    const from = process.hrtime.bigint();
    sweeper.sweep(look * 10 * SECOND, CAPACITY * 2);
    times.push(Number(process.hrtime.bigint() - from) / 1e6);
  }
  await table.close();
  return times.slice(LOOKS);
}

/** Memory of a process's BPF maps that it has not mapped, bytes: what is mapped is in its resident memory. */
function bpfBytes(pid: number): number {
  let bytes = 0;
  const seen = new Set<string>();
  for (const fd of readdirSync(`/proc/${pid}/fdinfo`)) {
    const text = readFileSync(`/proc/${pid}/fdinfo/${fd}`, "utf8");
    const [id, flags, memory] = ["map_id", "map_flags", "memlock"].map(
      (name) => new RegExp(`^${name}:\\s*(\\S+)$`, "m").exec(text)?.[1],
    );
    if (id === undefined || memory === undefined || seen.has(id)) continue;
    seen.add(id);
    if ((Number(flags) & BPF_F_MMAPABLE) === 0) bytes += Number(memory);
  }
  return bytes;
}

/** The longest of loop-delay.ts's lines since then. */
function longest(path: string, fromMs: number): { busy: number; turn: number } {
  const lines = readFileSync(path, "utf8").trim().split("\n");
  const since = lines.map((line) => line.split(" ").map(Number)).filter(([at]) => at! >= fromMs);
  return { busy: Math.max(...since.map(([, busy]) => busy!)), turn: Math.max(...since.map(([, , turn]) => turn!)) };
}

const NAMES: Readonly<Record<Kind, string>> = { userspace: "Weir userspace", kernel: "Weir kernel" };

async function holdOn(kind: Kind, rounds: number, result: Result): Promise<void> {
  const row = NAMES[kind];
  for (const ms of await sweeps(kind, Math.max(LOOKS, rounds))) put(result, row, "sweep, ms", ms);
  const bed = new Bed();
  try {
    const [delays, bare] = [join(bed.folder, "delays"), join(bed.folder, "bare")];
    const { lane, socket, child } = await weirServer(bed, "weir", {
      datapath: kind,
      loopDelay: delays,
      flows: `{ max: ${CAPACITY}, maxPerPort: 100%, activeTimeout: 1h, idleTimeout: 1h }`,
    });
    bed.start("bare", undefined, process.execPath, ["--import", LOOP_DELAY, "-e", "setInterval(() => {}, 1e9)"], {
      WEIR_LOOP_DELAY: bare,
    });
    let flows = 0;
    for (let tries = 0; flows < FLOWS && tries < 30; tries++) {
      await bed.frameRate(lane, FLOWS, 4);
      // Not a list of flows: the switch would keep their rates for half a minute.
      flows = (await ask<{ items: readonly { flows: number }[] }>(socket, "/api/v1/bridges")).items[0]!.flows;
    }
    if (flows < FLOWS) throw new Error(`only ${flows} flows were made`);
    for (let round = 0; round < rounds; round++) {
      let answer = 0;
      const from = Date.now();
      const load = { isOver: false };
      const over = bed.flood(lane, FLOWS, 2.5).finally(() => (load.isOver = true));
      while (!load.isOver) {
        answer = Math.max(answer, (await get(socket, "/healthz")).ms);
        await sleep(ASK_MS);
      }
      await over;
      const control = longest(delays, from);
      put(result, row, "control busy, ms", control.busy);
      put(result, row, "its loop, ms", control.turn);
      put(result, row, "a bare loop, ms", longest(bare, from).turn);
      put(result, row, "an answer, ms", answer);
      const status = readFileSync(`/proc/${child}/status`, "utf8");
      put(result, row, "resident, MB", Number(/VmRSS:\s+(\d+)/.exec(status)![1]) / 1000);
      if (kind === "kernel") put(result, row, "BPF beside it, MB", bpfBytes(child) / 1e6);
    }
  } finally {
    await bed.close();
  }
  const least = (what: string, column: string, unit: string, floor: number, goal: number): void =>
    void result.ratios.push({
      target: "P10",
      what: `${what}, ${kind}`,
      value: value(result, row, column),
      unit,
      floor,
      goal,
      atMost: true,
    });
  least("resident", "resident, MB", "MB", 400, 300);
  if (kind === "kernel") least("BPF memory beside it", "BPF beside it, MB", "MB", 200, 160);
  least("sweep of all", "sweep, ms", "ms", 15, 10);
  least("longest control-thread pause", "control busy, ms", "ms", 5, 2);
}

/** `part`: "held" or "held-kernel". */
async function heldBy(kind: Kind, part: string, rounds: number): Promise<Result> {
  const result: Result = {
    part,
    title: `A million flows held, ${kind} datapath`,
    unit: "",
    cells: [],
    ratios: [],
    notes: [
      "control busy: the longest that its control thread worked, or waited for a processor, between two turns of its event loop, while frames of all flows go on (measured within). its loop: the longest between two turns, sleep with nothing to do and a timer that came late included. a bare loop: the same of a process that does nothing else, at the same time. an answer: the longest of many answers of the API's socket (healthz, every 20 ms), with the asker's own waiting.",
    ],
  };
  if (kind === "kernel")
    result.notes!.push(
      "resident holds the flow slots, which are the kernel's maps; beside it: maps that the process has not mapped.",
    );
  await holdOn(kind, rounds, result);
  return result;
}

export const held = (rounds: number): Promise<Result> => heldBy("userspace", "held", rounds);
export const heldByKernel = (rounds: number): Promise<Result> => heldBy("kernel", "held-kernel", rounds);
