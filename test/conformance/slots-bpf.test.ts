/** The slot suite with the second writer: a BPF program that makes and hits slots in a mapped array. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, type TestContext } from "node:test";
import { Worker } from "node:worker_threads";
import { releaseSlot } from "../../src/shm/memory.ts";
import { ringBytes, WordRing } from "../../src/shm/ring.ts";
import { FlowSlots, SLOT_BYTES, SLOT_KEY, SLOT_WORDS } from "../../src/shm/slots.ts";
import { deleteElement } from "../../src/sys/bpf-maps.ts";
import { gracePeriod, loadObject, mapArray, testRunner, type BpfObject } from "../../src/sys/bpf.ts";
import { projectRoot } from "../helpers/captures.ts";
import { needs, needsRoot, which } from "../helpers/needs.ts";
import type { BpfHammerData } from "./slot-writer/bpf-hammer.ts";
import { HAMMER_KEYS, LAYOUT, runSlotSuite, type SlotWriter } from "./slots.ts";

const SLOTS = 512;
const LIBBPF_HEADER = "/usr/include/bpf/bpf_helpers.h";

// struct request and struct said of slot-writer.bpf.c.
const REQUEST_BYTES = 112;
const SAID_BYTES = 32;

let folder: string | undefined;
let object = "";

after(() => {
  if (folder) rmSync(folder, { recursive: true });
});

function compile(clang: string): string {
  if (object) return object;
  folder = mkdtempSync(join(tmpdir(), "weir-slots-"));
  const source = join(projectRoot, "test/conformance/slot-writer/slot-writer.bpf.c");
  const output = join(folder, "slot-writer.bpf.o");
  const machine = `/usr/include/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu`;
  const include = [`-I${join(projectRoot, "src/shm")}`, `-I${machine}`];
  const args = ["-O2", "-g", "-Wall", "-Werror", "-target", "bpf", "-mcpu=v3", ...include, "-c", source, "-o", output];
  const made = spawnSync(clang, args, { encoding: "utf8" });
  if (made.status !== 0) throw new Error(`${clang}: ${made.stderr}`);
  return (object = output);
}

function bpfWriter(loaded: BpfObject): SlotWriter {
  const slots = new FlowSlots(mapArray(loaded.map("slots"), SLOTS * SLOT_BYTES), SLOTS);
  const free = new WordRing(mapArray(loaded.map("free_slots"), ringBytes(SLOTS)));
  for (let slot = 0; slot < SLOTS; slot++) free.push(slot);
  const request = new DataView(mapArray(loaded.map("requests"), REQUEST_BYTES));
  const said = new BigUint64Array(mapArray(loaded.map("said"), HAMMER_KEYS * SAID_BYTES));
  const flows = loaded.map("flows");
  const runFrame = testRunner(loaded.program("frame"));
  const unlinked: number[] = [];
  return {
    slots,
    free,
    layout() {
      testRunner(loaded.program("tell_layout"))(1);
      const told = new BigUint64Array(mapArray(loaded.map("layout"), LAYOUT.length * 8));
      return Array.from(told, Number);
    },
    frame(key, nowNs, { packets = 1, bytes = 64, l3Bytes = 50, tcpFlags = 0 } = {}) {
      key.forEach((word, n) => request.setUint32(n * 4, word, true));
      request.setBigUint64(80, BigInt(nowNs), true);
      [packets, bytes, l3Bytes, tcpFlags].forEach((value, n) => request.setUint32(88 + n * 4, value, true));
      runFrame(1);
      return request.getInt32(104, true);
    },
    retirer: {
      retire(list) {
        for (const slot of list) {
          const at = slot * SLOT_WORDS + SLOT_KEY;
          const key = new Uint8Array(slots.u32.slice(at, at + 20).buffer);
          if (!deleteElement(flows, key)) throw new Error(`slot ${slot} was not linked`);
          unlinked.push(slot);
        }
        if (list.length > 0) gracePeriod();
      },
      quiesced(out) {
        unlinked.forEach((slot, n) => (out[n] = slot));
        return unlinked.splice(0).length;
      },
      release(list) {
        for (const slot of list) releaseSlot(slots, free, slot);
      },
    },
    async hammer() {
      const stop = new Int32Array(new SharedArrayBuffer(4));
      const workerData: BpfHammerData = { program: loaded.program("hammer"), stop };
      const workers = [0, 1].map(
        () => new Worker(new URL("./slot-writer/bpf-hammer.js", import.meta.url), { workerData }),
      );
      const ended = workers.map((worker) => new Promise((done, fail) => worker.once("exit", done).once("error", fail)));
      await Promise.all(workers.map((worker) => new Promise((online) => worker.once("online", online))));
      return {
        async stop() {
          Atomics.store(stop, 0, 1);
          await Promise.all(ended);
          const column = (n: number): Float64Array =>
            Float64Array.from({ length: HAMMER_KEYS }, (_, key) => Number(said[key * 4 + n]!));
          const sum = (n: number): number => column(n).reduce((a, b) => a + b, 0);
          return { packets: column(0), bytes: column(1), unattributed: sum(2), returned: sum(3) };
        },
      };
    },
    async close() {
      loaded.close();
    },
  };
}

runSlotSuite({
  name: "BPF writer",
  raceMs: 3000,
  create(t: TestContext) {
    const clang = ["clang", "clang-14"].find((name) => which(name)) ?? "clang";
    if (!needsRoot(t) || !needs(t, clang, LIBBPF_HEADER)) return undefined;
    return bpfWriter(loadObject(compile(clang)));
  },
});
