/** The loaded object and its maps, seen as typed arrays. Sizes follow the flow table's and the host's processors. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { DROP_REASONS } from "../../flow/disposition.ts";
import { MAX_FILTER, MAX_SESSIONS, SESSION_COUNTERS } from "../../shm/copies.ts";
import { COUNTERS_PER_PORT } from "../../shm/counters.ts";
import { ringWords } from "../../shm/memory.ts";
import { ringBytes, WordRing } from "../../shm/ring.ts";
import { FlowSlots, SLOT_BYTES } from "../../shm/slots.ts";
import { makePinFolder, removePins } from "../../sys/bpf-pins.ts";
import { type BpfObject, loadObject } from "../../sys/bpf.ts";
import { mapMemory, mapRingBuffer, type MappedMemory, type RingBuffer } from "../../sys/bpf-maps.ts";
import { MAX_PORTS, MAX_RULES } from "../datapath.ts";
import {
  BLOCK_WORDS,
  BUCKET_WORDS,
  DIRECT_PORTS,
  FILTER_BANKS,
  FREE_LINE_WORDS,
  GATE_WORDS,
  MASK_SET_WORDS,
  MAX_BLOCKS,
  PORT_WORDS,
  SET_BUCKET_MASK,
  SET_CPUS,
  SET_FREE_MASK,
  SET_MAX_FLOWS,
  SET_QUIET_HIGH,
  SET_QUIET_LOW,
  SETTING_WORDS,
  STRIPE_WORDS,
  UP_WORDS,
} from "./layout.ts";
import { bucketCount, overflowSize } from "./flow-index.ts";
import { OldGeneration } from "./old-generation.ts";
import { Kept, keptLines, keptSections } from "./kept.ts";
import { generationFolder, generations, isSameLayout, type Meta, readMeta, writeMeta } from "./pins.ts";
import { LAYOUT } from "./described.ts";

/** dist/weir.bpf.o: beside the bundle, or three folders above the compiled tests' modules. */
export const OBJECT = new URL(
  import.meta.url.includes("/dist/js/") ? "../../../../weir.bpf.o" : "./weir.bpf.o",
  import.meta.url,
);

const RING_BYTES = 2 ** 20;
const COPIES_BYTES = 2 ** 23;

/** Values of u64 maps are read as pairs of words: `i32` for readCounter (src/shm/slots.ts). */
export interface KernelMaps {
  readonly object: BpfObject;
  readonly cpus: number;
  readonly slots: FlowSlots;
  readonly free: WordRing;
  readonly stripes: Int32Array;
  readonly counters: Int32Array;
  /** Port number of a device, u64 by ifIndex below DIRECT_PORTS. */
  readonly directPorts: Int32Array;
  readonly ports: Int32Array;
  readonly ups: Int32Array;
  readonly settings: Int32Array;
  readonly masks: Int32Array;
  readonly buckets: Int32Array;
  readonly ruleTable: Int32Array;
  readonly blocks: Int32Array;
  /** Mirror sessions: mirror.ts. */
  readonly gates: Int32Array;
  readonly mirrorCounts: Int32Array;
  readonly filters: Int32Array;
  readonly copies: RingBuffer;
  readonly samples: RingBuffer;
  readonly notices: RingBuffer;
  readonly kept: Kept;
  /** They were there: an earlier process left them. */
  readonly isTakenOver: boolean;
  /** Others that are there, of another layout or size. */
  readonly old: readonly OldGeneration[];
  /**
   * All that the next process goes on with is in them: rules and the process's own state. Of one that was killed before
   * this, the next one takes what was there before it.
   */
  finish(): void;
  /** Let go of all maps; views stay readable and hold zeros. */
  close(): void;
}

/** Number of processors that may ever be: "0-3" is four. */
function possibleCpus(): number {
  const text = readFileSync("/sys/devices/system/cpu/possible", "utf8").trim();
  return Number(text.split(/[-,]/).at(-1)) + 1;
}

export interface MapsOptions {
  /** Flow slots; records of the log. */
  readonly capacity: number;
  readonly records: number;
  /** The bridge's folder in the BPF file system, where an earlier process may have left its maps, and what to write beside them. */
  readonly pins?: { readonly folder: string; readonly meta: Pick<Meta, "stateDir" | "bridge" | "mode"> };
}

/** Load the programs and map their memory. Throws an Error with the cause. */
export function openMaps({ capacity, records, pins }: MapsOptions): KernelMaps {
  const cpus = possibleCpus();
  const freeBytes = ringBytes(ringWords(capacity));
  const sizes = {
    slots: capacity,
    buckets: bucketCount(capacity),
    overflow: overflowSize(capacity),
    free_slots: freeBytes / (FREE_LINE_WORDS * 4),
    stripes: MAX_PORTS * cpus,
    mirror_counts: MAX_SESSIONS * cpus,
    kept: keptLines(capacity, records),
  };
  const newest = pins && newestMeta(pins.folder);
  if (pins) removeUnfinished(pins.folder);
  const isFit = newest !== undefined && isSameLayout(newest.meta) && newest.meta.cpus === cpus;
  const isTakenOver = isFit && newest.meta.capacity === capacity && newest.meta.records === records;
  const generation = isTakenOver ? newest.generation : (pins ? (generations(pins.folder).at(-1) ?? 0) : 0) + 1;
  const folder = pins && generationFolder(pins.folder, generation);
  if (folder !== undefined) makePinFolder(folder);
  const abandon = (): void => {
    if (folder !== undefined && !isTakenOver) removePins(folder);
  };
  let object: BpfObject;
  try {
    object = loadObject(fileURLToPath(OBJECT), sizes, folder);
  } catch (error) {
    abandon();
    throw error;
  }
  const mapped: MappedMemory[] = [];
  let kept: Kept | undefined;
  const memory = (name: string, bytes: number): ArrayBuffer => {
    const one = mapMemory(object.map(name), bytes);
    mapped.push(one);
    return one.buffer;
  };
  const ring = (name: string, bytes: number): RingBuffer => {
    const one = mapRingBuffer(object.map(name), bytes);
    mapped.push({ buffer: new ArrayBuffer(0), release: one.release });
    return one;
  };
  const words = (name: string, count: number): Int32Array => new Int32Array(memory(name, count * 4));
  try {
    const old = pins ? olderThan(pins.folder, generation) : [];
    const slots = new FlowSlots(memory("slots", capacity * SLOT_BYTES), capacity);
    const free = new WordRing(memory("free_slots", freeBytes));
    const samples = ring("samples", RING_BYTES);
    const notices = ring("notices", RING_BYTES);
    const copies = ring("copies", COPIES_BYTES);
    const maps: KernelMaps = {
      object,
      cpus,
      slots,
      free,
      stripes: words("stripes", MAX_PORTS * cpus * STRIPE_WORDS * 2),
      counters: words("counters", MAX_PORTS * COUNTERS_PER_PORT * 2),
      directPorts: words("direct_ports", DIRECT_PORTS * 2),
      ports: words("ports", MAX_PORTS * PORT_WORDS * 2),
      ups: words("ups", MAX_PORTS * UP_WORDS * 2),
      settings: words("settings", SETTING_WORDS),
      buckets: words("buckets", bucketCount(capacity) * BUCKET_WORDS),
      masks: words("masks", 2 * MASK_SET_WORDS),
      ruleTable: words("rule_table", MAX_RULES * 2),
      blocks: words("blocks", MAX_BLOCKS * BLOCK_WORDS),
      gates: words("gates", MAX_SESSIONS * GATE_WORDS * 2),
      mirrorCounts: words("mirror_counts", MAX_SESSIONS * cpus * SESSION_COUNTERS * 2),
      filters: words("filters", MAX_SESSIONS * 2 * FILTER_BANKS * MAX_FILTER * 2),
      copies,
      samples,
      notices,
      kept: (kept = new Kept(object.map("kept"), capacity, records)),
      isTakenOver,
      old,
      finish() {
        if (!pins || isTakenOver) return;
        const sections = keptSections(capacity, records);
        writeMeta(object.map("meta"), { ...pins.meta, capacity, records, cpus, layout: LAYOUT, sections });
      },
      close,
    };
    if (isTakenOver) return maps;
    free.fill(capacity);
    maps.settings[SET_CPUS] = cpus;
    maps.settings[SET_FREE_MASK] = free.capacity - 1;
    maps.settings[SET_BUCKET_MASK] = bucketCount(capacity) - 1;
    maps.settings[SET_MAX_FLOWS] = -1;
    DROP_REASONS.forEach((reason, number) => {
      if (reason.class === "expected")
        maps.settings[number < 32 ? SET_QUIET_LOW : SET_QUIET_HIGH]! |= 1 << (number & 31);
    });
    old.at(-1)?.carryOver(maps);
    return maps;
  } catch (error) {
    close();
    abandon();
    throw error;
  }

  function close(): void {
    for (const one of mapped) one.release();
    kept?.release();
    object.close();
  }
}

function olderThan(folder: string, generation: number): OldGeneration[] {
  return generations(folder)
    .filter((one) => one < generation)
    .map((one) => OldGeneration.open(folder, one))
    .filter((one) => one !== undefined);
}

/** Generations of a process that was killed before they were whole. */
function removeUnfinished(folder: string): void {
  for (const generation of generations(folder))
    if (readMeta(folder, generation) === undefined) removePins(generationFolder(folder, generation));
}

/** The newest generation that was finished. */
function newestMeta(folder: string): { readonly generation: number; readonly meta: Meta } | undefined {
  for (const generation of generations(folder).toReversed()) {
    const meta = readMeta(folder, generation);
    if (meta !== undefined) return { generation, meta };
  }
  return undefined;
}
