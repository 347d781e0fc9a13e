/** The userspace writer alone: no frames, no ports. As a worker it hammers random keys until it is told to stop. */
import { isMainThread, parentPort, workerData } from "node:worker_threads";
import { createFlow, hit, splitHigh, splitLow } from "../../../src/flow/count.ts";
import { createTable, find, hashKey, insert, remove } from "../../../src/flow/table.ts";
import { attach, type FlowMemory, type FlowViews } from "../../../src/shm/memory.ts";
import type { FrameFacts } from "../../helpers/flowbed.ts";

export interface HammerData {
  readonly memory: FlowMemory;
  readonly packets: Float64Array;
  readonly bytes: Float64Array;
  readonly stop: Int32Array;
}

export interface JsWriter {
  frame(key: Uint32Array, nowNs: number, facts?: FrameFacts): number;
  /** End of a batch: unlink what was asked for, and answer. */
  answer(): void;
}

export function jsWriter(views: FlowViews): JsWriter {
  const { slots, free, retire, quiesced } = views;
  const table = createTable(slots, () => (Math.random() * 2 ** 32) | 0);
  return {
    frame(key, nowNs, { packets = 1, bytes = 64, l3Bytes = 50, tcpFlags = 0 } = {}) {
      const hash = hashKey(table, key);
      let slot = find(table, key, hash);
      if (slot < 0) {
        slot = createFlow(slots, free, key, 0, 1, splitLow(nowNs), splitHigh(nowNs));
        if (slot < 0) return -1;
        insert(table, slot, hash);
      }
      hit(slots, slot, packets, bytes, l3Bytes, tcpFlags, splitLow(nowNs), splitHigh(nowNs));
      return slot;
    },
    answer() {
      for (let slot = retire.pop(); slot >= 0; slot = retire.pop()) {
        if (!remove(table, slot)) throw new Error(`slot ${slot} was not in the table`);
        quiesced.push(slot);
      }
    },
  };
}

function hammer({ memory, packets, bytes, stop }: HammerData): void {
  const { frame, answer } = jsWriter(attach(memory));
  const key = new Uint32Array(20);
  let unattributed = 0;
  while (Atomics.load(stop, 0) === 0) {
    const now = Number(process.hrtime.bigint());
    for (let n = 0; n < 64; n++) {
      const random = (Math.random() * 2 ** 32) >>> 0;
      const number = random & 0x80000000 ? random & 7 : random & 255;
      key[0] = 1 << 16;
      key[6] = number;
      key[19] = ~number;
      const facts = {
        packets: 1 + ((random >>> 16) & 3),
        bytes: 60 + ((random >>> 12) & 0xffff),
        tcpFlags: 1 << ((random >>> 8) & 7),
      };
      if (frame(key, now, facts) < 0) {
        unattributed += facts.packets;
        continue;
      }
      packets[number]! += facts.packets;
      bytes[number]! += facts.bytes;
    }
    answer();
  }
  parentPort!.postMessage(unattributed);
  // What the test retires from here on must still be answered; it ends this thread.
  for (;;) {
    answer();
    Atomics.wait(stop, 1, 0, 1);
  }
}

if (!isMainThread && workerData && "stop" in workerData) hammer(workerData as HammerData);
