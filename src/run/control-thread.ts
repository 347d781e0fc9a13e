/** What a running switch asks of the kernel's scheduler and of V8 for its control thread. */
import { setFlagsFromString } from "node:v8";
import { preferControl } from "../sys/scheduling.ts";

export function preferControlThread(): void {
  // V8 lets the young generation grow to 32 MB, which stay resident; what is made here dies at once, and fits in 2. It
  // reads both flags when they matter.
  setFlagsFromString("--semi-space-growth-factor=1");
  // Helpers of a collection wait for a processor, and this thread for them.
  setFlagsFromString("--no-parallel-scavenge");
  preferControl();
}
