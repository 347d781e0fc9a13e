/** How control thread and worker call each other: words of the shared control block (src/shm/memory.ts). */
import { CONTROL_OWN, CONTROL_WAKE } from "../../shm/memory.ts";
import { wake as wakeFd } from "../../sys/poll.ts";

/** 1 = the worker has called and the control thread has not looked yet. */
export const CONTROL_ATTENTION = CONTROL_OWN;
/** How many messages the control thread has posted. */
export const CONTROL_MESSAGES = CONTROL_OWN + 1;
/** Event descriptor + 1 that wakes the worker out of poll(2); 0 = it sleeps on CONTROL_WAKE. */
export const CONTROL_WAKE_FD = CONTROL_OWN + 2;

/** Control thread: a message was posted. */
export function countMessage(control: Int32Array): void {
  Atomics.add(control, CONTROL_MESSAGES, 1);
}

/** Control thread: wake the worker, however it sleeps. */
export function wake(control: Int32Array): void {
  if (Atomics.exchange(control, CONTROL_WAKE, 1) === 1) return;
  Atomics.notify(control, CONTROL_WAKE);
  const fd = Atomics.load(control, CONTROL_WAKE_FD) - 1;
  if (fd >= 0) wakeFd(fd);
}
