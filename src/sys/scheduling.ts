/** How the kernel's scheduler treats the calling thread: sched_setattr(2). */
import { loadLibrary } from "./native.ts";

/** The call's number: glibc has a function for it from 2.41 on. */
const SCHED_SETATTR: Readonly<Record<string, number>> = { x64: 314, arm64: 274 };

// struct sched_attr, linux/sched/types.h, as it was first: u32 size, u32 policy, u64 flags, i32 nice, u32 priority,
// u64 runtime, u64 deadline, u64 period.
const ATTR_BYTES = 48;
const AT_SIZE = 0;
const AT_FLAGS = 8;
const AT_NICE = 16;
const AT_RUNTIME = 24;
const SCHED_FLAG_RESET_ON_FORK = 1n;

/**
 * Nice value of the calling thread, and how long it means to run at a time, ns (0.1 to 100 ms; from Linux 6.12 on the
 * shorter one goes first when both want to run, before that it is ignored). Threads that it starts inherit neither. False:
 * refused, a nice value below the present one needs CAP_SYS_NICE. Throws where C cannot be called.
 */
export function setSchedule(nice: number, sliceNs: number): boolean {
  const number = SCHED_SETATTR[process.arch];
  if (number === undefined) return false;
  const attr = new Uint8Array(ATTR_BYTES);
  const view = new DataView(attr.buffer);
  view.setUint32(AT_SIZE, ATTR_BYTES, true);
  view.setBigUint64(AT_FLAGS, SCHED_FLAG_RESET_ON_FORK, true);
  view.setInt32(AT_NICE, nice, true);
  view.setBigUint64(AT_RUNTIME, BigInt(sliceNs), true);
  const syscall = loadLibrary("libc.so.6", "libc6").func("long syscall(long, int, void *, unsigned int)");
  return syscall(number, 0, attr, 0) === 0;
}
