/**
 * How the datapath's thread sleeps: in poll(2) where a port has a descriptor, on the shared word CONTROL_WAKE where none
 * has; until frames come, a port's own time comes, or the control thread wakes it.
 */
import { CONTROL_WAKE } from "../../shm/memory.ts";
import { createPoller, type Poller } from "../../sys/poll.ts";
import type { Attached } from "./attached.ts";
import { CONTROL_WAKE_FD } from "./control-side.ts";

export interface Idle {
  /** The ports have changed. */
  watch(ports: readonly Attached[]): void;
  /** Sleep at most `limitMs`. */
  sleep(nowNs: number, limitMs: number): void;
  /** A port needs the thread's event loop to turn (libpcap's callbacks). */
  readonly needsTurn: boolean;
}

export function createIdle(control: Int32Array): Idle {
  let ports: readonly Attached[] = [];
  let poller: Poller | undefined;
  let watched = "";

  /** When a port without a descriptor wants to be asked again, ms from now. */
  function timeoutMs(nowNs: number, limitMs: number): number {
    let limit = limitMs;
    for (const { port, enabled } of ports) {
      if (!enabled || port.ended || (port.pollFd ?? -1) >= 0) continue;
      const next = port.nextReceiveNs === undefined ? nowNs + 1e6 : port.nextReceiveNs(nowNs);
      limit = Math.min(limit, (next - nowNs) / 1e6);
    }
    return limit;
  }

  return {
    needsTurn: false,
    watch(now) {
      ports = now;
      const fds = ports
        .filter((entry) => entry.enabled)
        .map(({ port }) => port.pollFd ?? -1)
        .filter((fd) => fd >= 0);
      (this as { needsTurn: boolean }).needsTurn = ports.some(({ port }) => port.needsTurn === true);
      const text = fds.join(",");
      if (text === watched) return;
      watched = text;
      if (fds.length > 0 && poller === undefined) {
        poller = createPoller();
        Atomics.store(control, CONTROL_WAKE_FD, poller.wakeFd + 1);
      }
      poller?.set(fds);
    },
    sleep(nowNs, limitMs) {
      const ms = this.needsTurn ? 0 : timeoutMs(nowNs, limitMs);
      if (ms <= 0) return;
      const woken = Atomics.exchange(control, CONTROL_WAKE, 0);
      if (woken !== 0) return;
      if (watched !== "") poller!.wait(ms);
      else Atomics.wait(control, CONTROL_WAKE, 0, ms);
    },
  };
}
