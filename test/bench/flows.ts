/**
 * Flow table, counting and sweep alone, on one thread: `node dist/js/test/bench/flows.js [table|sweep]`. Prints the best
 * of 7.
 */
import { RecordLog } from "../../src/shm/log.ts";
import { attach, createFlowMemory, releaseSlot } from "../../src/shm/memory.ts";
import { createFlow, hit, splitHigh, splitLow } from "../../src/flow/count.ts";
import { Outcomes } from "../../src/flow/outcomes.ts";
import { Sweeper } from "../../src/flow/sweep.ts";
import { createTable, find, hashKey, insert } from "../../src/flow/table.ts";
import { KEY_WORDS } from "../../src/shm/slots.ts";
import { keyOf, SECOND } from "../helpers/flowbed.ts";

/** Best of 7: what the code costs where nobody else uses the core. */
function best(run: () => number): number {
  return Math.min(...Array.from({ length: 7 }, run));
}

/** CPU time of this process. */
function milliseconds(run: () => void): number {
  const start = process.cpuUsage();
  run();
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1000;
}

function tableBench(flows: number): void {
  const views = attach(createFlowMemory({ capacity: 262144, ports: 16 }));
  const table = createTable(views.slots, () => (Math.random() * 2 ** 32) | 0);
  const keys = new Uint32Array(flows * KEY_WORDS);
  const key = new Uint32Array(KEY_WORDS);
  for (let n = 0; n < flows; n++) {
    key.set(keyOf(1 + (n % 8), n));
    keys.set(key, n * KEY_WORDS);
    insert(table, createFlow(views.slots, views.free, key, 0, 1, 1, 1), hashKey(table, key));
  }
  const rounds = 2_000_000;
  const order = Uint32Array.from({ length: rounds }, () => Math.random() * flows);
  let sum = 0;
  // The datapath's key is one array that the parser fills: so here, by copying (the first line says what that costs).
  const load = (n: number): Uint32Array => {
    const at = order[n]! * KEY_WORDS;
    for (let w = 0; w < KEY_WORDS; w++) key[w] = keys[at + w]!;
    return key;
  };
  const copy = (): void => {
    for (let n = 0; n < rounds; n++) sum += load(n)[3]!;
  };
  const hash = (): void => {
    for (let n = 0; n < rounds; n++) sum += hashKey(table, load(n));
  };
  const hashAndFind = (): void => {
    for (let n = 0; n < rounds; n++) sum += find(table, load(n), hashKey(table, key));
  };
  const count = (): void => {
    for (let n = 0; n < rounds; n++) hit(views.slots, order[n]!, 1, 64, 50, 0x10, n | 0, 7);
  };
  for (const [name, run] of Object.entries({
    copy,
    "copy, hash": hash,
    "copy, hash, find": hashAndFind,

    hit: count,
  })) {
    run();
    const ms = best(() => milliseconds(run));
    console.log(
      `${flows} flows, ${name}: ${(rounds / ms / 1000).toFixed(1)} M/s (${((ms * 1e6) / rounds).toFixed(1)} ns)`,
    );
  }
  if (sum === 0.5) console.log();
}

function sweepBench(flows: number): void {
  const memory = createFlowMemory({ capacity: flows, ports: 16, sampleWords: 16, noticeWords: 16, missWords: 16 });
  const views = attach(memory);
  const { slots, free } = views;
  const retirer = {
    list: [] as number[],
    retire(some: readonly number[]) {
      this.list.push(...some);
    },
    quiesced(out: number[]) {
      const count = this.list.length;
      for (let n = 0; n < count; n++) out[n] = this.list[n]!;
      this.list.length = 0;
      return count;
    },
    release(some: readonly number[]) {
      for (const slot of some) releaseSlot(slots, free, slot);
    },
  };
  const outcomes = new Outcomes(65536, 16);
  outcomes.set(0, 1, { disposition: 0, reason: 0, outputs: 1, outputPort: 2 }, 0);
  const timeouts = { activeNs: 600 * SECOND, idleNs: 100 * SECOND, tcpEndNs: 2 * SECOND };
  const boot = { unixMs: 0, ns: 0 };
  const options = { slots, free, retirer, log: RecordLog.create(65536), outcomes, ports: 16, timeouts, boot };
  const sweeper = new Sweeper(options);
  const start = 1000 * SECOND;
  const table = createTable(slots, () => (Math.random() * 2 ** 32) | 0);
  const used = Math.floor(flows * 0.741);
  for (let n = 0; n < flows; n++) {
    const key = keyOf(1 + (n % 8), n);
    const slot = n < used ? createFlow(slots, free, key, 0, 1, splitLow(start), splitHigh(start)) : -1;
    if (slot < 0) continue;
    insert(table, slot, hashKey(table, key));
    hit(slots, slot, 1, 64, 50, 0, splitLow(start), splitHigh(start));
    hit(slots, slot, 1, 64, 50, 0, splitLow(start), splitHigh(start));
  }
  let now = start;
  let longest = 0;
  const pass = (): number => {
    now += 2 * SECOND;
    let total = 0;
    for (;;) {
      let work = 0;
      const ms = milliseconds(() => (work = sweeper.sweep(now)));
      if (now > start + 2 * SECOND) longest = Math.max(longest, ms);
      if (work === 0) return total;
      total += ms;
    }
  };
  pass();
  console.log(
    `${used} flows, a sweep of all, nothing due: ${best(pass).toFixed(1)} ms, longest slice ${longest.toFixed(2)} ms`,
  );
  longest = 0;
  now = start + 100 * SECOND;
  const all = pass();
  console.log(
    `${used} flows all idle: ${all.toFixed(0)} ms, longest slice ${longest.toFixed(2)} ms, in the log: ${options.log.head}; rss ${(process.memoryUsage.rss() / 1e6).toFixed(0)} MB`,
  );
}

const what = process.argv[2];
if (what !== "sweep") [1, 1000, 10_000, 50_000].forEach(tableBench);
if (what !== "table") [262_144, 1_350_000].forEach(sweepBench);
