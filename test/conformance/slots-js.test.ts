/** The slot suite with the userspace writer: flow table and counting in a worker thread. */
import { Worker } from "node:worker_threads";
import { attach, createFlowMemory, releaseSlot } from "../../src/shm/memory.ts";
import { jsWriter, type HammerData } from "./slot-writer/js-writer.ts";
import { HAMMER_KEYS, runSlotSuite } from "./slots.ts";

runSlotSuite({
  name: "userspace writer",
  raceMs: 1500,
  create() {
    const memory = createFlowMemory({ capacity: 512, ports: 16, sampleWords: 16, noticeWords: 16, missWords: 16 });
    const views = attach(memory);
    const writer = jsWriter(views);
    let worker: Worker | undefined;
    return {
      slots: views.slots,
      free: views.free,
      layout: () => undefined,
      frame: writer.frame,
      retirer: {
        retire(list) {
          for (const slot of list) if (!views.retire.push(slot)) throw new Error("the retire ring is full");
          if (!worker) writer.answer();
        },
        quiesced(out) {
          let count = 0;
          for (let slot = views.quiesced.pop(); slot >= 0; slot = views.quiesced.pop()) out[count++] = slot;
          return count;
        },
        release(list) {
          for (const slot of list) releaseSlot(views.slots, views.free, slot);
        },
      },
      async hammer() {
        const said = {
          packets: new Float64Array(new SharedArrayBuffer(HAMMER_KEYS * 8)),
          bytes: new Float64Array(new SharedArrayBuffer(HAMMER_KEYS * 8)),
        };
        const stop = new Int32Array(new SharedArrayBuffer(8));
        const workerData: HammerData = { memory, packets: said.packets, bytes: said.bytes, stop };
        const running = new Worker(new URL("./slot-writer/js-writer.js", import.meta.url), { workerData });
        worker = running;
        await new Promise((online) => running.once("online", online));
        return {
          async stop() {
            Atomics.store(stop, 0, 1);
            const unattributed = await new Promise<number>((done, fail) => {
              running.once("message", done);
              running.once("error", fail);
            });
            return { ...said, unattributed, returned: 0 };
          },
        };
      },
      async close() {
        await worker?.terminate();
      },
    };
  },
});
