/** How the kernel's scheduler treats a thread: sched_setattr(2), setpriority(2). */
import { getPriority, setPriority } from "node:os";
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
 * shorter one goes first when both want to run, before that it is ignored). Threads that it starts inherit neither. A
 * nice value that is not below the present one is never refused. Throws where C cannot be called.
 */
function setSchedule(nice: number, sliceNs: number): void {
  const number = SCHED_SETATTR[process.arch];
  if (number === undefined) return;
  const attr = new Uint8Array(ATTR_BYTES);
  const view = new DataView(attr.buffer);
  view.setUint32(AT_SIZE, ATTR_BYTES, true);
  view.setBigUint64(AT_FLAGS, SCHED_FLAG_RESET_ON_FORK, true);
  view.setInt32(AT_NICE, nice, true);
  view.setBigUint64(AT_RUNTIME, BigInt(sliceNs), true);
  const syscall = loadLibrary("libc.so.6", "libc6").func("long syscall(long, int, void *, unsigned int)");
  syscall(number, 0, attr, 0);
}

const AHEAD = 10;
const LOWEST = -20;
/**
 * The control thread means to run this long at a time, ns, the least there is: who wakes with a shorter slice than the one
 * who runs goes first. With the scheduler's own it waited a fifth of the time, mostly until the next tick of the clock (4 ms).
 */
const SLICE_NS = 100_000;

/** As this process was started. */
const started = getPriority();

/**
 * Put the main thread, which controls, before the others: it works little, and is to answer while senders and the
 * forwarding have the processors. At equal priority it waited up to 19 ms for its turn on two busy cores. Returns the nice
 * value that threads of a datapath go back to. Without the right to (CAP_SYS_NICE), only the slice is short.
 */
export function preferControl(): number {
  try {
    setPriority(process.pid, Math.max(LOWEST, started - AHEAD));
  } catch {
    // Not root, and no CAP_SYS_NICE.
  }
  try {
    setSchedule(getPriority(), SLICE_NS);
  } catch {
    // No koffi: no ports on devices either.
  }
  return started;
}
