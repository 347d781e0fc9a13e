/**
 * Waiting for work: poll(2) on the descriptors of all ports and an eventfd by which another thread ends the wait.
 *
 * ```
 * struct pollfd: 0 fd i32 | 4 events i16 | 6 returned i16
 * ```
 */
import { check, libc, O_CLOEXEC, O_NONBLOCK, takeSocketError } from "./libc.ts";
import { allocate, type Region, release } from "./memory.ts";

const POLLIN = 0x01;
const POLLERR = 0x08;

export interface Poller {
  /** Give this to `wake` in another thread. */
  readonly wakeFd: number;
  /** Descriptors to wait for from now on; negative ones are left out. */
  set(fds: Int32Array): void;
  /**
   * Wait until a descriptor is readable, `wake` is called, or the time is over; 0 only looks. Blocks the thread. Returns
   * the number of readable descriptors (a wake-up does not count). Whole milliseconds.
   */
  wait(timeoutMs: number): number;
  close(): void;
}

/** End the wait of the poller with this `wakeFd`, from any thread; or its next one, when it does not wait now. */
export function wake(wakeFd: number): void {
  libc().write(wakeFd, BigUint64Array.of(1n), 8);
}

export function createPoller(): Poller {
  const c = libc();
  const wakeFd = check(c.eventfd(0, O_CLOEXEC | O_NONBLOCK), "eventfd");
  const drained = new Uint8Array(8);
  let region: Region = allocate(4096);
  let words = new Int32Array(region.u32.buffer);
  let count = 0;

  const set = (fds: Int32Array): void => {
    const chosen = fds.filter((fd) => fd >= 0);
    if ((chosen.length + 1) * 8 > region.bytes) {
      release(region);
      region = allocate((chosen.length + 1) * 16);
      words = new Int32Array(region.u32.buffer);
    }
    count = 0;
    for (const fd of [wakeFd, ...chosen]) {
      words[count * 2] = fd;
      words[count * 2 + 1] = POLLIN;
      count++;
    }
  };

  set(new Int32Array());
  return {
    wakeFd,
    set,
    wait(timeoutMs) {
      let ready = c.poll(region.address, count, Math.max(0, Math.ceil(timeoutMs)));
      if (ready <= 0) return 0;
      for (let n = 0; n < count; n++) {
        const word = words[n * 2 + 1]!;
        if (word >>> 16 === 0) continue;
        // A socket whose device went down reports an error until it is taken: it would end every wait at once.
        if (((word >>> 16) & POLLERR) !== 0) {
          // What is no socket, or has nothing to take, is left alone until the next `set`: poll ignores negative ones.
          if (takeSocketError(words[n * 2]!) === 0) words[n * 2] = -1;
          if (((word >>> 16) & POLLIN) === 0) ready--;
        } else if (n === 0) {
          c.read(wakeFd, drained, 8);
          ready--;
        }
        words[n * 2 + 1] = POLLIN;
      }
      return ready;
    },
    close() {
      c.close(wakeFd);
      release(region);
      count = 0;
    },
  };
}
