/** What a socket may receive, as classic BPF (socket(7), SO_ATTACH_FILTER). */
import { check, libc, SO_ATTACH_FILTER, SOL_SOCKET } from "./libc.ts";
import { allocate, release } from "./memory.ts";

const TWO_32 = 4294967296;

/** struct sock_filter: code u16, jump if true u8, jump if false u8, k u32 */
export type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, k: number];

/** A socket that only sends. */
export const RECEIVE_NOTHING: readonly Instruction[] = [[0x06, 0, 0, 0]];

/** Throws a SystemError where the kernel refuses the program. */
export function attachFilter(fd: number, program: readonly Instruction[]): void {
  const region = allocate(program.length * 8);
  program.forEach(([code, ifTrue, ifFalse, k], n) => {
    region.u32[2 * n] = code | (ifTrue << 16) | (ifFalse << 24);
    region.u32[2 * n + 1] = k;
  });
  // struct sock_fprog: length u16, address of the instructions u64
  const filter = Uint32Array.of(program.length, 0, region.address % TWO_32, region.address / TWO_32);
  const result = libc().setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, filter, 16);
  release(region);
  check(result, "socket filter");
}
