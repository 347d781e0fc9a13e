/**
 * Loaded into a switch with `--import`: the longest time in which its control thread answered nothing, every quarter of a
 * second, as a line `<unix ms> <ms>` in the file that WEIR_LOOP_DELAY names. From within, because from outside a look also
 * waits for the one who looks: on two cores, with a sender and a forwarding thread, twice 4 ms of the kernel's scheduler.
 */
import { appendFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";

/** It looks so often, ms: what is measured is the time between two looks, of which so much is sleep and no delay. */
const LOOK_MS = 1;
const path = process.env["WEIR_LOOP_DELAY"];
if (path !== undefined) {
  const delay = monitorEventLoopDelay({ resolution: LOOK_MS });
  delay.enable();
  setInterval(() => {
    appendFileSync(path, `${Date.now()} ${delay.max / 1e6 - LOOK_MS}\n`);
    delay.reset();
  }, 250).unref();
}
