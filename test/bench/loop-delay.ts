/**
 * Loaded into a switch with `--import`: the longest time in which its control thread answered nothing, every quarter of a
 * second, as a line `<unix ms> <ms>` in the file that WEIR_LOOP_DELAY names. From within, because from outside a look also
 * waits for the one who looks: on two cores, with a sender and a forwarding thread, twice 4 ms of the kernel's scheduler.
 */
import { appendFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";

const path = process.env["WEIR_LOOP_DELAY"];
if (path !== undefined) {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  setInterval(() => {
    appendFileSync(path, `${Date.now()} ${delay.max / 1e6}\n`);
    delay.reset();
  }, 250).unref();
}
