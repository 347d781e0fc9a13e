/**
 * What of a bridge outlives the process, as names in the BPF file system:
 *
 * ```
 * /sys/fs/bpf/weir/<hash of stateDir>/<bridge>/<generation>/<map>     the maps; a new layout is a new generation
 *                                             /links/<port number>-in, -out, resume     the programs on their devices
 * ```
 *
 * The map `meta` of a generation says what it is, to any version: JSON, `{ version, bridge, stateDir, … }` (Meta).
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { mapMemory } from "../../sys/bpf-maps.ts";
import {
  BPF_FS,
  closeFd,
  makePinFolder,
  mountBpfFs,
  openPin,
  pinsIn,
  removePinFolder,
  removePins,
  unpin,
} from "../../sys/bpf-pins.ts";
import { LAYOUT } from "./described.ts";

const ROOT = join(BPF_FS, "weir");
/** Bytes of the map `meta`: for ever, so that any version can read it. */
export const META_BYTES = 16_384;

/** Whose state it is. */
export interface PinOwner {
  readonly stateDir: string;
  readonly bridge: string;
}

export interface Meta extends PinOwner {
  readonly mode: "switch" | "observe";
  /** Flow slots, records of the log, processors. */
  readonly capacity: number;
  readonly records: number;
  readonly cpus: number;
  /** Every number of the layout by name. */
  readonly layout: Readonly<Record<string, number>>;
  /** Offset and bytes of each section of the map `kept`. */
  readonly sections: Readonly<Record<string, readonly [number, number]>>;
}

function instanceFolder(stateDir: string): string {
  return join(ROOT, createHash("sha256").update(stateDir).digest("hex").slice(0, 12));
}

export function bridgeFolder({ stateDir, bridge }: PinOwner): string {
  // The kernel refuses dots, and nobody else may be called the same.
  const name = bridge.replace(/[^A-Za-z0-9_-]/g, (letter) => `=${letter.codePointAt(0)!.toString(16)}=`);
  return join(instanceFolder(stateDir), name);
}

export const linksFolder = (folder: string): string => join(folder, "links");
export const generationFolder = (folder: string, generation: number): string => join(folder, `${generation}`);

/** A name of at most 15 characters for devices that belong to this bridge. */
export function deviceName(owner: PinOwner): string {
  return `wup${createHash("sha256").update(bridgeFolder(owner)).digest("hex").slice(0, 8)}`;
}

/** Generations of a bridge, oldest first. */
export function generations(folder: string): number[] {
  return pinsIn(folder)
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .toSorted((a, b) => a - b);
}

/** What the generation says of itself; undefined: it was never finished, or is none. */
export function readMeta(folder: string, generation: number): Meta | undefined {
  const fd = openPin(join(generationFolder(folder, generation), "meta"));
  if (fd === undefined) return undefined;
  const mapped = mapMemory(fd, META_BYTES);
  try {
    const length = new Uint32Array(mapped.buffer, 0, 1)[0]!;
    if (length === 0 || length > META_BYTES - 4) return undefined;
    return JSON.parse(new TextDecoder().decode(new Uint8Array(mapped.buffer, 4, length))) as Meta;
  } catch {
    return undefined;
  } finally {
    mapped.release();
    closeFd(fd);
  }
}

/** From here on the generation is whole. */
export function writeMeta(map: number, meta: Meta): void {
  const text = new TextEncoder().encode(JSON.stringify(meta));
  if (text.length > META_BYTES - 4) throw new Error(`the description of bridge ${meta.bridge} is too long to be kept`);
  const mapped = mapMemory(map, META_BYTES);
  const length = new Int32Array(mapped.buffer, 0, 1);
  Atomics.store(length, 0, 0);
  new Uint8Array(mapped.buffer, 4).set(text);
  Atomics.store(length, 0, text.length);
  mapped.release();
}

export function isSameLayout(meta: Meta): boolean {
  return JSON.stringify(meta.layout) === JSON.stringify(LAYOUT);
}

/** Folders of a bridge, made where they are not there. */
export function prepareFolder(owner: PinOwner): string {
  mountBpfFs();
  const folder = bridgeFolder(owner);
  makePinFolder(linksFolder(folder));
  return folder;
}

/** Nothing came of it: folders without a generation go. */
export function removeIfEmpty(folder: string): void {
  if (generations(folder).length === 0) removeBridgePins(folder);
}

/** What it says of itself goes first: killed in between, the rest is what no process finished. */
export function removeGeneration(folder: string, generation: number): void {
  unpin(join(generationFolder(folder, generation), "meta"));
  removePins(generationFolder(folder, generation));
}

/** Everything of a bridge is taken away: links first, so that no program runs without its maps' names. */
export function removeBridgePins(folder: string): void {
  removePins(linksFolder(folder));
  for (const generation of generations(folder)) removeGeneration(folder, generation);
  removePins(folder);
  // Folders above are others' too.
  removePinFolder(join(folder, ".."));
  removePinFolder(ROOT);
}

/** Folders of all bridges of all instances. */
export function allBridgeFolders(): string[] {
  return pinsIn(ROOT).flatMap((instance) => pinsIn(join(ROOT, instance)).map((bridge) => join(ROOT, instance, bridge)));
}
