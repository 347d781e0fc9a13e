/**
 * A thread that waits where the control thread must not: it says when frames have come up, and waits until they have
 * been taken in.
 */
import { isMainThread, parentPort, workerData } from "node:worker_threads";
import { createPoller } from "../../sys/poll.ts";

export interface WatchData {
  readonly fds: readonly number[];
  /** Word 0: 1 while told and not yet taken in. Word 1: not 0 = end. Word 2: the descriptor that ends the wait. */
  readonly state: Int32Array;
}

/** How soon the end is noticed. */
const LOOK_MS = 200;

function watch({ fds, state }: WatchData): void {
  const poller = createPoller();
  poller.set(Int32Array.from(fds));
  Atomics.store(state, 2, poller.wakeFd);
  while (Atomics.load(state, 1) === 0) {
    if (poller.wait(LOOK_MS) === 0) continue;
    Atomics.store(state, 0, 1);
    parentPort!.postMessage("frames");
    Atomics.wait(state, 0, 1, LOOK_MS);
  }
  Atomics.store(state, 2, -1);
  poller.close();
}

if (!isMainThread) watch(workerData as WatchData);
