/**
 * How the datapath's thread sleeps: in poll(2) where a port has a descriptor, on the shared word CONTROL_WAKE where none
 * has; until frames come, a port's own time comes, or the control thread wakes it.
 */
import { CONTROL_WAKE } from "../../shm/memory.ts";
import { createPoller, type Poller } from "../../sys/poll.ts";
import type { Attached } from "./attached.ts";
import { CONTROL_WAKE_FD } from "./wake.ts";

/** A port without a descriptor and without a time of its own is asked again after this. */
const ASK_AGAIN_NS = 1e6;

export class Idle {
  /** A port needs the thread's event loop to turn (callbacks of a library). */
  needsTurn = false;
  private readonly control: Int32Array;
  private ports: readonly Attached[] = [];
  private poller: Poller | undefined;
  private watched = "";

  constructor(control: Int32Array) {
    this.control = control;
  }

  /** The ports, or their descriptors, may have changed. */
  watch(ports: readonly Attached[]): void {
    this.ports = ports.filter(({ enabled, port }) => enabled && port.ended !== true);
    this.needsTurn = this.ports.some(({ port }) => port.needsTurn === true);
    const fds = this.ports.flatMap(({ port }) => port.pollFds ?? [port.pollFd ?? -1]).filter((fd) => fd >= 0);
    const text = fds.join();
    if (text === this.watched) return;
    this.watched = text;
    if (this.poller === undefined) {
      this.poller = createPoller();
      Atomics.store(this.control, CONTROL_WAKE_FD, this.poller.wakeFd + 1);
    }
    this.poller.set(Int32Array.from(fds));
  }

  /** Sleep at most `limitMs`; not at all where the event loop must turn. */
  sleep(nowNs: number, limitMs: number): void {
    if (this.needsTurn) return;
    const ms = Math.min(limitMs, this.nextMs(nowNs));
    if (ms <= 0 || Atomics.exchange(this.control, CONTROL_WAKE, 0) !== 0) return;
    if (this.watched !== "") this.poller!.wait(ms);
    else Atomics.wait(this.control, CONTROL_WAKE, 0, ms);
  }

  /** When the first port without a descriptor wants to be asked, ms from now. */
  private nextMs(nowNs: number): number {
    let next = Infinity;
    for (const { port } of this.ports) {
      if ((port.pollFd ?? -1) >= 0) continue;
      next = Math.min(next, port.nextReceiveNs === undefined ? nowNs + ASK_AGAIN_NS : port.nextReceiveNs(nowNs));
    }
    return (next - nowNs) / 1e6;
  }
}
