/**
 * Frames that wait for a rule: a bounded store of copies, one queue per miss. Later frames of the same port, MAC pair and
 * VLAN join the queue of the first, so that a burst costs one question to the pipeline and keeps its order.
 *
 * Cells are of two sizes, because nearly all waiting frames are small and a few are 64 KiB super-packets:
 *
 * ```
 * cell 0 … SMALL−1: SMALL_BYTES each      cell SMALL … SMALL+LARGE−1: LARGE_BYTES each
 * in a cell: TAG_HEADROOM, [virtio-net 10 ends right before the frame], frame
 * ```
 */
import { KEY_ETH_DST, KEY_ETH_SRC, KEY_PORT, KEY_VLAN, KEY_WORDS } from "../../flow/key.ts";
import { VNET_BYTES } from "../../ports/port.ts";
import type { RecordRing } from "../../shm/ring.ts";
import type { Frame } from "./frame.ts";
import { TAG_HEADROOM } from "./tags.ts";

const SMALL = 2048;
const SMALL_BYTES = 2048;
const LARGE = 48;
const LARGE_BYTES = 69_632;
/** Distinct misses that may wait. */
export const MAX_MISSES = 1024;
/** Frames that may wait on one miss: one flow's burst cannot take the whole store. */
const MAX_PER_MISS = 256;
const NONE = -1;

export class Pending {
  private readonly misses: RecordRing;
  /** Allocated at the first miss: an engine that never waits costs nothing. */
  private small: Uint8Array | undefined;
  private large: Uint8Array | undefined;
  private readonly cells = SMALL + LARGE;
  private readonly following = new Int32Array(this.cells).fill(NONE);
  private readonly port = new Int32Array(this.cells);
  private readonly captured = new Int32Array(this.cells);
  private readonly length = new Int32Array(this.cells);
  private readonly timeNs = new Float64Array(this.cells);
  private readonly gsoSize = new Int32Array(this.cells);
  private readonly gsoHeaders = new Int32Array(this.cells);
  private readonly vnet = new Uint8Array(this.cells);
  private freeSmall = NONE;
  private freeLarge = NONE;

  private readonly first = new Int32Array(MAX_MISSES).fill(NONE);
  private readonly last = new Int32Array(MAX_MISSES).fill(NONE);
  private readonly count = new Int32Array(MAX_MISSES);
  private readonly isWaiting = new Uint8Array(MAX_MISSES);
  private readonly keys = new Uint32Array(MAX_MISSES * KEY_WORDS);
  private readonly freeMisses: number[] = [];
  /** (port, MACs, VLAN) hash → misses; collisions are told apart by the key. */
  private readonly byHash = new Map<number, number[]>();

  /** `misses`: the ring of questions to the pipeline. */
  constructor(misses: RecordRing) {
    this.misses = misses;
    for (let cell = SMALL - 1; cell >= 0; cell--) this.freeSmall = this.link(cell, this.freeSmall);
    for (let cell = this.cells - 1; cell >= SMALL; cell--) this.freeLarge = this.link(cell, this.freeLarge);
    for (let miss = MAX_MISSES - 1; miss >= 0; miss--) this.freeMisses.push(miss);
  }

  private link(cell: number, to: number): number {
    this.following[cell] = to;
    return cell;
  }

  private static hash(key: Uint32Array): number {
    let hash = key[KEY_PORT]! >>> 16;
    for (let n = KEY_ETH_DST; n <= KEY_ETH_SRC; n++) hash = (Math.imul(hash, 0x01000193) ^ key[n]!) | 0;
    return (Math.imul(hash, 0x01000193) ^ (key[KEY_VLAN]! & 0x1fff0000)) | 0;
  }

  private same(miss: number, key: Uint32Array): boolean {
    const at = miss * KEY_WORDS;
    if (this.keys[at + KEY_PORT]! !== key[KEY_PORT]) return false;
    for (let n = KEY_ETH_DST; n <= KEY_VLAN; n++) if (this.keys[at + n] !== key[n]) return false;
    return true;
  }

  /**
   * Keep a copy of the frame until its rule comes; the first of its kind asks. False: no room, here or in the ring of
   * questions.
   */
  wait(frame: Frame, key: Uint32Array): boolean {
    const waiting = this.find(key);
    if (waiting >= 0) return this.add(waiting, frame);
    const miss = this.open(key);
    if (miss < 0) return false;
    if (this.add(miss, frame) && this.ask(miss, key)) return true;
    this.releaseAll(this.close(miss));
    return false;
  }

  /** Put the question into its ring: miss, then key. */
  private ask(miss: number, key: Uint32Array): boolean {
    const { misses } = this;
    const at = misses.reserve(4 + KEY_WORDS * 4);
    if (at < 0) return false;
    misses.u32[at >>> 2] = miss;
    misses.u32.set(key, (at >>> 2) + 1);
    misses.commit();
    return true;
  }

  /** The miss that waits for this port, MAC pair and VLAN, or -1. */
  private find(key: Uint32Array): number {
    const list = this.byHash.get(Pending.hash(key));
    if (list === undefined) return NONE;
    for (const miss of list) if (this.same(miss, key)) return miss;
    return NONE;
  }

  /** A new miss for this key, or -1 when too many wait. */
  private open(key: Uint32Array): number {
    const miss = this.freeMisses.pop();
    if (miss === undefined) return NONE;
    this.keys.set(key, miss * KEY_WORDS);
    this.first[miss] = this.last[miss] = NONE;
    this.count[miss] = 0;
    this.isWaiting[miss] = 1;
    const hash = Pending.hash(key);
    const list = this.byHash.get(hash);
    if (list === undefined) this.byHash.set(hash, [miss]);
    else list.push(miss);
    return miss;
  }

  isOpen(miss: number): boolean {
    return this.isWaiting[miss] === 1;
  }

  /** Append a copy of the frame to a miss. False: no room. */
  private add(miss: number, frame: Frame): boolean {
    const { captured } = frame;
    if (this.count[miss]! >= MAX_PER_MISS) return false;
    const isSmall = captured <= SMALL_BYTES - TAG_HEADROOM;
    const cell = isSmall ? this.freeSmall : this.freeLarge;
    if (cell === NONE || captured > LARGE_BYTES - TAG_HEADROOM) return false;
    if (isSmall) this.freeSmall = this.following[cell]!;
    else this.freeLarge = this.following[cell]!;
    const before = frame.vnet ? VNET_BYTES : 0;
    this.store(isSmall).set(
      frame.bytes.subarray(frame.offset - before, frame.offset + captured),
      this.at(cell) - before,
    );
    this.port[cell] = frame.port;
    this.captured[cell] = captured;
    this.length[cell] = frame.length;
    this.timeNs[cell] = frame.timeNs;
    this.gsoSize[cell] = frame.gsoSize;
    this.gsoHeaders[cell] = frame.gsoHeaders;
    this.vnet[cell] = frame.vnet ? 1 : 0;
    this.following[cell] = NONE;
    if (this.last[miss] === NONE) this.first[miss] = cell;
    else this.following[this.last[miss]!] = cell;
    this.last[miss] = cell;
    this.count[miss]!++;
    return true;
  }

  private store(isSmall: boolean): Uint8Array {
    return isSmall
      ? (this.small ??= new Uint8Array(SMALL * SMALL_BYTES))
      : (this.large ??= new Uint8Array(LARGE * LARGE_BYTES));
  }

  private at(cell: number): number {
    return TAG_HEADROOM + (cell < SMALL ? cell * SMALL_BYTES : (cell - SMALL) * LARGE_BYTES);
  }

  /** Take a miss out: its frames stay until `releaseAll`; a new frame of the same kind opens a new miss. Returns its first cell. */
  close(miss: number): number {
    const hash = Pending.hash(this.keys.subarray(miss * KEY_WORDS, (miss + 1) * KEY_WORDS));
    const list = this.byHash.get(hash)!;
    if (list.length === 1) this.byHash.delete(hash);
    else list.splice(list.indexOf(miss), 1);
    const first = this.first[miss]!;
    this.freeMisses.push(miss);
    this.isWaiting[miss] = 0;
    return first;
  }

  /** Fill the frame from a cell; returns the next cell of its queue or -1. */
  read(cell: number, frame: Frame): number {
    frame.port = this.port[cell]!;
    frame.bytes = this.store(cell < SMALL);
    frame.offset = this.at(cell);
    frame.captured = this.captured[cell]!;
    frame.length = this.length[cell]!;
    frame.timeNs = this.timeNs[cell]!;
    frame.gsoSize = this.gsoSize[cell]!;
    frame.gsoHeaders = this.gsoHeaders[cell]!;
    frame.vnet = this.vnet[cell] === 1;
    return this.following[cell]!;
  }

  /** Give back all cells of a queue, from its first. */
  releaseAll(first: number): void {
    for (let cell = first; cell >= 0;) {
      const next = this.following[cell]!;
      if (cell < SMALL) this.freeSmall = this.link(cell, this.freeSmall);
      else this.freeLarge = this.link(cell, this.freeLarge);
      cell = next;
    }
  }
}
