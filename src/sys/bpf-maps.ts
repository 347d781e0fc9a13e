/**
 * Reading and writing BPF maps: arrays and ring buffers as mapped memory, hashes by system calls of libbpf. Keys and
 * values are bytes as the kernel has them.
 */
import { check, libc, MAP_SHARED, PROT_READ_WRITE } from "./libc.ts";
import { forget } from "./memory.ts";
import { loadLibrary, viewMemory } from "./native.ts";

interface MapCalls {
  update(fd: number, key: Uint8Array, value: Uint8Array, flags: number): number;
  lookup(fd: number, key: Uint8Array, value: Uint8Array): number;
  remove(fd: number, key: Uint8Array): number;
  next(fd: number, key: Uint8Array | null, next: Uint8Array): number;
}

let functions: MapCalls | undefined;

function calls(): MapCalls {
  if (functions) return functions;
  const { func } = loadLibrary("libbpf.so.1", "libbpf1");
  functions = {
    update: func("int bpf_map_update_elem(int, void *, void *, uint64_t)"),
    lookup: func("int bpf_map_lookup_elem(int, void *, void *)"),
    remove: func("int bpf_map_delete_elem(int, void *)"),
    next: func("int bpf_map_get_next_key(int, void *, void *)"),
  };
  return functions;
}

export interface MappedMemory {
  readonly buffer: ArrayBuffer;
  /** Let go of the map: views of the buffer stay usable and hold zeros. */
  release(): void;
}

const PAGE = 4096;
const PROT_READ = 1;

/** The values of a mapped array (BPF_F_MMAPABLE): `bytes` of them, one after the other, each padded to 8. */
export function mapMemory(fd: number, bytes: number, offset = 0, protection = PROT_READ_WRITE): MappedMemory {
  const address = check(libc().mmap(0, bytes, protection, MAP_SHARED, fd, offset), `map ${fd} of ${bytes} bytes`);
  return { buffer: viewMemory(address, bytes), release: () => forget(address, bytes) };
}

/** Write one element, whether it was there or not. */
export function updateElement(fd: number, key: Uint8Array, value: Uint8Array, what: string): void {
  check(calls().update(fd, key, value, 0), what);
}

/** Fill `value`. False: no such key. */
export function lookupElement(fd: number, key: Uint8Array, value: Uint8Array): boolean {
  return calls().lookup(fd, key, value) === 0;
}

/** False: it was not there. */
export function deleteElement(fd: number, key: Uint8Array): boolean {
  return calls().remove(fd, key) === 0;
}

/** Every key of a hash, as a copy, while others change it: each that stays is seen, some may be seen twice. */
export function allKeys(fd: number, keyBytes: number, limit: number): Uint8Array[] {
  const keys: Uint8Array[] = [];
  let last: Uint8Array | null = null;
  while (keys.length < limit) {
    const next = new Uint8Array(keyBytes);
    if (calls().next(fd, last, next) !== 0) break;
    keys.push(next);
    last = next;
  }
  return keys;
}

const BUSY = 0x80000000;
const DISCARD = 0x40000000;
const RECORD_HEADER = 8;
const TWO_32 = 4294967296;

/** The consumer's end of a BPF ring buffer (BPF_MAP_TYPE_RINGBUF), read in place. */
export interface RingBuffer {
  /** Give each record that is there to `take` (in `bytes` from `offset`, valid during the call), at most `limit`. */
  drain(take: (bytes: Uint8Array, offset: number, length: number) => void, limit: number): number;
  release(): void;
}

/**
 * Map a ring buffer of `size` bytes (a power of two).
 *
 * ```
 * page 0: consumer position u64, ours      page 1: producer position u64      then the data, twice, so nothing wraps
 * record: length u32 (bit 31 busy, 30 discarded) | page offset u32 | data, padded to 8
 * ```
 */
export function mapRingBuffer(fd: number, size: number): RingBuffer {
  const own = mapMemory(fd, PAGE);
  const theirs = mapMemory(fd, PAGE, PAGE, PROT_READ);
  const consumer = new Int32Array(own.buffer);
  const producer = new Int32Array(theirs.buffer);
  // Twice the ring counts as resident: not before there is a record.
  let data: MappedMemory | undefined;
  let bytes = new Uint8Array(0);
  let headers = new Int32Array(0);
  const mapData = (): void => {
    data = mapMemory(fd, 2 * size, 2 * PAGE, PROT_READ);
    bytes = new Uint8Array(data.buffer);
    headers = new Int32Array(data.buffer);
  };
  // An earlier process may have read a part.
  let position = (consumer[1]! >>> 0) * TWO_32 + (consumer[0]! >>> 0);
  return {
    drain(take, limit) {
      let taken = 0;
      // The low words are enough: the two are never further apart than the ring is long.
      while (taken < limit && Atomics.load(producer, 0) !== (position | 0)) {
        if (data === undefined) mapData();
        const at = position & (size - 1);
        const header = Atomics.load(headers, at >> 2) >>> 0;
        if ((header & BUSY) !== 0) break;
        const length = header & ~(BUSY | DISCARD);
        if ((header & DISCARD) === 0) take(bytes, at + RECORD_HEADER, length);
        position += (RECORD_HEADER + length + 7) & ~7;
        consumer[1] = Math.floor(position / TWO_32);
        Atomics.store(consumer, 0, position | 0);
        taken++;
      }
      return taken;
    },
    release() {
      own.release();
      theirs.release();
      data?.release();
    },
  };
}
