/**
 * Loaded into a process with `--import`: the longest that its main thread did not turn its event loop, every quarter of a
 * second, as a line `<unix ms> <busy ms> <turn ms>` in the file that WEIR_LOOP_DELAY names.
 *
 * A turn is the time between two looks, less the sleep between them; busy is what of it the thread worked or waited for a
 * processor. The rest of a turn it slept with nothing to do and its timer came late: on a virtual machine that is most of
 * the long ones, with nothing else running at all. From within, because from outside a look also waits for the one who
 * looks.
 */
import { appendFileSync, openSync, readSync } from "node:fs";
import { loadLibrary } from "../../src/sys/native.ts";

const LOOK_MS = 1;
const LINE_MS = 250;
const CLOCK_THREAD_CPUTIME_ID = 3;
/** Field of /proc/thread-self/schedstat: ns that it waited for a processor, proc_pid_schedstat(5). */
const WAITED = 1;

const path = process.env["WEIR_LOOP_DELAY"];
if (path !== undefined) watch(path);

function watch(path: string): void {
  const clock = loadLibrary("libc.so.6", "libc6").func("int clock_gettime(int, void *)");
  const time = new BigInt64Array(2);
  const schedstat = openSync("/proc/thread-self/schedstat", "r");
  const text = Buffer.alloc(64);
  /** ms that the thread has worked and waited. The CPU time of schedstat is that of the last tick, the clock's is exact. */
  const busyMs = (): number => {
    clock(CLOCK_THREAD_CPUTIME_ID, time);
    const length = readSync(schedstat, text, 0, text.length, 0);
    const waited = Number(text.toString("latin1", 0, length).split(" ")[WAITED]);
    return Number(time[0]) * 1e3 + (Number(time[1]) + waited) / 1e6;
  };

  let [busy, turn] = [0, 0];
  let from = performance.now();
  let fromBusy = busyMs();
  let saidAt = from;
  const look = (): void => {
    const now = performance.now();
    const nowBusy = busyMs();
    turn = Math.max(turn, now - from - LOOK_MS);
    busy = Math.max(busy, nowBusy - fromBusy);
    if (now - saidAt >= LINE_MS) {
      appendFileSync(path, `${Date.now()} ${busy} ${turn}\n`);
      [busy, turn, saidAt] = [0, 0, now];
    }
    from = performance.now();
    fromBusy = busyMs();
    setTimeout(look, LOOK_MS).unref();
  };
  look();
}
