/**
 * P10: a million flows held by a running switch: its memory, the longest time in which its control thread did not
 * answer, and (in this process, on memory of the same layout) a sweep over all of them.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { RecordLog } from "../../src/shm/log.ts";
import { attach, createFlowMemory } from "../../src/shm/memory.ts";
import { createFlow, hit, splitHigh, splitLow } from "../../src/flow/count.ts";
import { Outcomes } from "../../src/flow/outcomes.ts";
import { Sweeper } from "../../src/flow/sweep.ts";
import { get } from "./ask.ts";
import { Bed } from "./bed.ts";
import { weirServer } from "./peers.ts";
import { median, put, value, type Result } from "./table.ts";
import { keyOf } from "../helpers/flowbed.ts";

const FLOWS = 1_000_000;
const CAPACITY = 1 << 20;
const SECOND = 1e9;
const LOOKS = 6;

/** Time of one look at every slot of a full table, ms. */
function sweepOnce(): number {
  const views = attach(createFlowMemory({ capacity: CAPACITY, ports: 16 }));
  const sweeper = new Sweeper({
    slots: views.slots,
    free: views.free,
    retirer: { retire() {}, quiesced: () => 0, release() {} },
    log: RecordLog.create(1024),
    outcomes: new Outcomes(64, 16),
    ports: 16,
    timeouts: { activeNs: 3600 * SECOND, idleNs: 3600 * SECOND, tcpEndNs: 3600 * SECOND },
    boot: { ns: 0, unixMs: 0 },
  });
  for (let n = 0; n < FLOWS; n++) {
    const slot = createFlow(views.slots, views.free, keyOf(1, n), 0, 1, splitLow(SECOND), splitHigh(SECOND));
    hit(views.slots, slot, 1, 60, 46, 0, splitLow(SECOND), splitHigh(SECOND));
  }
  // The first looks are the compiler's.
  const times: number[] = [];
  for (let look = 1; look <= 2 * LOOKS; look++) {
    const from = process.hrtime.bigint();
    sweeper.sweep(look * 10 * SECOND, CAPACITY * 2);
    times.push(Number(process.hrtime.bigint() - from) / 1e6);
  }
  return median(times.slice(LOOKS));
}

/** Of the lines of loop-delay.ts since then. */
function longestDelay(path: string, fromMs: number): number {
  const lines = readFileSync(path, "utf8").trim().split("\n");
  const since = lines.map((line) => line.split(" ").map(Number)).filter(([at]) => at! >= fromMs);
  return Math.max(...since.map(([, ms]) => ms!));
}

export async function held(rounds: number): Promise<Result> {
  const result: Result = {
    part: "held",
    title: "A million flows held, userspace datapath",
    unit: "",
    cells: [],
    ratios: [],
    notes: [
      "control: the longest that its event loop did not turn while frames of all flows go on, waiting for a processor included (measured within). an answer: the longest of many answers of the API's socket (healthz, every 2 ms), with the asker's own waiting.",
    ],
  };
  const row = "Weir userspace";
  for (let round = 0; round < rounds; round++) put(result, row, "sweep, ms", sweepOnce());
  const bed = new Bed();
  try {
    const delays = join(bed.folder, "delays");
    const { lane, socket, child } = await weirServer(bed, "weir", {
      loopDelay: delays,
      flows: `{ max: ${CAPACITY}, maxPerPort: 100%, activeTimeout: 1h, idleTimeout: 1h }`,
    });
    let flows = 0;
    for (let tries = 0; flows < FLOWS && tries < 12; tries++) {
      await bed.frameRate(lane, FLOWS, 8);
      flows = (JSON.parse((await get(socket, "/api/v1/flows?limit=1")).body) as { total: number }).total;
    }
    if (flows < FLOWS) throw new Error(`only ${flows} flows were made`);
    for (let round = 0; round < rounds; round++) {
      let longest = 0;
      const from = Date.now();
      const load = { isOver: false };
      const over = bed.flood(lane, FLOWS, 2.5).finally(() => (load.isOver = true));
      while (!load.isOver) {
        longest = Math.max(longest, (await get(socket, "/healthz")).ms);
        await sleep(2);
      }
      await over;
      put(result, row, "an answer, ms", longest);
      put(result, row, "control, ms", longestDelay(delays, from));
      const status = readFileSync(`/proc/${child}/status`, "utf8");
      put(result, row, "resident, MB", Number(/VmRSS:\s+(\d+)/.exec(status)![1]) / 1000);
    }
  } finally {
    await bed.close();
  }
  const least = (what: string, column: string, unit: string, floor: number, goal: number): void =>
    void result.ratios.push({
      target: "P10",
      what,
      value: value(result, row, column),
      unit,
      floor,
      goal,
      atMost: true,
    });
  least("resident", "resident, MB", "MB", 400, 300);
  least("sweep of all", "sweep, ms", "ms", 15, 10);
  least("longest control-thread pause", "control, ms", "ms", 5, 2);
  return result;
}
