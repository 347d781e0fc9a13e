/**
 * Memory outside V8's heap that system calls and JavaScript both use: its address is known, so rings can be mapped into
 * it and messages can point at it.
 *
 * An ArrayBuffer over such memory cannot be detached, and touching it after munmap would end the process. So a region
 * is never unmapped: when it is given back its pages are replaced by untouched anonymous ones (which cost nothing) and
 * the address range waits for the next region of the same size.
 */
import {
  check,
  libc,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_NORESERVE,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_READ_WRITE,
} from "./libc.ts";
import { viewMemory } from "./native.ts";

const PAGE = 4096;
const ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

export interface Region {
  readonly address: number;
  readonly bytes: number;
  readonly u8: Uint8Array;
  readonly u32: Uint32Array;
}

const free = new Map<number, Region[]>();
const regions = new WeakMap<Uint8Array, Region>();

export function roundToPages(bytes: number): number {
  return Math.ceil(bytes / PAGE) * PAGE;
}

/** Zeroed memory of at least `bytes`. */
export function allocate(bytes: number): Region {
  const size = roundToPages(bytes);
  const again = free.get(size)?.pop();
  if (again) return again;
  const address = check(libc().mmap(0, size, PROT_READ_WRITE, ANONYMOUS, -1, 0), `memory of ${size} bytes`);
  const buffer = viewMemory(address, size);
  const region = { address, bytes: size, u8: new Uint8Array(buffer), u32: new Uint32Array(buffer) };
  regions.set(region.u8, region);
  return region;
}

/** Map a descriptor's memory (a packet ring) over a part of a region, page-aligned. */
export function mapInto(region: Region, offset: number, bytes: number, fd: number, what: string): void {
  const at = region.address + offset;
  check(libc().mmap(at, bytes, PROT_READ_WRITE, MAP_SHARED | MAP_FIXED, fd, 0), what);
}

/** Give a region back. Views of it stay readable and hold zeros. */
export function release(region: Region): void {
  libc().mmap(region.address, region.bytes, PROT_READ_WRITE, ANONYMOUS | MAP_FIXED, -1, 0);
  const list = free.get(region.bytes);
  if (list) list.push(region);
  else free.set(region.bytes, [region]);
}

/** The region whose `u8` this is; undefined for any other array (whose bytes V8 may move). */
export function regionOf(u8: Uint8Array): Region | undefined {
  return regions.get(u8);
}

/** Let go of what is mapped at an address range for good: views of it stay usable and hold zeros. */
export function forget(address: number, bytes: number): void {
  libc().mmap(address, roundToPages(bytes), PROT_READ_WRITE, ANONYMOUS | MAP_FIXED, -1, 0);
}
