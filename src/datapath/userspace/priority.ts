/**
 * The control thread is to answer while the datapath's thread takes all of a processor. It works little, so it goes first:
 * at equal priority it waited up to 19 ms for its turn on two busy cores, twice or more a slice of the kernel's scheduler.
 */
import { getPriority, setPriority } from "node:os";

const AHEAD = 10;
const LOWEST = -20;

/** As this process was started. */
const started = getPriority();

/** Put the main thread before the others (its thread id is the process's). Without the right to, all stays as it is. */
export function preferControl(): number {
  try {
    setPriority(process.pid, Math.max(LOWEST, started - AHEAD));
  } catch {
    // Not root, and no CAP_SYS_NICE.
  }
  return started;
}

/** In a thread of the datapath: what it has inherited from the main thread goes. 0 is the calling thread. */
export function runAt(priority: number): void {
  setPriority(0, priority);
}
