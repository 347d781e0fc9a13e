/**
 * The memory that a generator's frames stand in, and the queues of its ports.
 *
 * ```
 * bytes:   pattern (payload of all bulk data) | blobs (DNS, HTTP) | templates, 2 a conversation | rings, 1 a port
 * ring:    RING slots of SLOT_BYTES; a slot:   headers, ending at PAYLOAD | payload, a copy of the pattern
 * ```
 *
 * A slot's payload is the pattern from the start and stays it, so a data segment costs its headers only; a frame that
 * writes something else there marks the slot dirty, and the next segment mends it.
 */
import { halves } from "./headers.ts";
import { createRandom, next, type Random } from "./random.ts";

export const PATTERN_BYTES = 1480;
export const BLOBS = PATTERN_BYTES;
export const BLOBS_BYTES = 4096;
export const TEMPLATE_BYTES = 80;
export const MAX_CONVERSATIONS = 256;
const TEMPLATES = BLOBS + BLOBS_BYTES;
const RINGS = TEMPLATES + MAX_CONVERSATIONS * 2 * TEMPLATE_BYTES;

/** Frames a port's queue holds, a power of two. */
export const RING = 256;
/** Offset of the payload in a slot: room for the longest headers before it. */
const PAYLOAD = 128;
const SLOT_BYTES = 1664;

export interface Store {
  readonly bytes: Uint8Array;
  readonly random: Random;
  /** Folded sum (headers.ts) of the pattern's first n bytes. */
  readonly patternSum: Uint32Array;
  /** Per port: frames made and frames taken, modulo 2^32; when it last pulled (−Infinity: not open); frames thrown away. */
  readonly made: Uint32Array;
  readonly taken: Uint32Array;
  readonly pulledNs: Float64Array;
  readonly lost: Float64Array;
  /** Per port and slot. */
  readonly start: Int32Array;
  readonly length: Int32Array;
  readonly dirty: Uint16Array;
}

export function createStore(seed: number, ports: number): Store {
  const bytes = new Uint8Array(RINGS + ports * RING * SLOT_BYTES);
  const random = createRandom(seed);
  const patternSum = new Uint32Array(PATTERN_BYTES + 1);
  for (let n = 0; n < PATTERN_BYTES; n++) {
    bytes[n] = next(random);
    patternSum[n + 1] = halves(patternSum[n]! + (n & 1 ? bytes[n]! : bytes[n]! << 8));
  }
  for (let slot = 0; slot < ports * RING; slot++) {
    bytes.copyWithin(RINGS + slot * SLOT_BYTES + PAYLOAD, 0, PATTERN_BYTES);
  }
  return {
    bytes,
    random,
    patternSum,
    made: new Uint32Array(ports),
    taken: new Uint32Array(ports),
    pulledNs: new Float64Array(ports).fill(-Infinity),
    lost: new Float64Array(ports),
    start: new Int32Array(ports * RING),
    length: new Int32Array(ports * RING),
    dirty: new Uint16Array(ports * RING),
  };
}

/** Where the header template of a side (0 client, 1 server) of a conversation stands. */
export function templateAt(conversation: number, side: number): number {
  return TEMPLATES + (conversation * 2 + side) * TEMPLATE_BYTES;
}

export function queued(store: Store, port: number): number {
  return (store.made[port]! - store.taken[port]!) >>> 0;
}

/**
 * Where the payload of the next frame of a port stands, or −1 when nobody takes the frame. The caller overwrites
 * `written` bytes there; 0: the pattern is there.
 */
export function reserve(store: Store, port: number, written: number): number {
  if (store.pulledNs[port] === -Infinity) return -1;
  if (queued(store, port) >= RING) {
    store.lost[port]!++;
    return -1;
  }
  const slot = port * RING + (store.made[port]! & (RING - 1));
  const at = RINGS + slot * SLOT_BYTES + PAYLOAD;
  const dirty = store.dirty[slot]!;
  if (written > dirty) store.dirty[slot] = written;
  else if (written === 0 && dirty > 0) {
    store.bytes.copyWithin(at, 0, dirty);
    store.dirty[slot] = 0;
  }
  return at;
}

/** The frame that was reserved is whole: it starts at `start`. */
export function commit(store: Store, port: number, start: number, length: number): void {
  const slot = port * RING + (store.made[port]! & (RING - 1));
  store.start[slot] = start;
  store.length[slot] = length;
  store.made[port]!++;
}
