/** A port as the engine's loop sees it. */
import { createBatch, type PacketBatch, type Port } from "../../ports/port.ts";
import * as C from "../../shm/counters.ts";

/** Frames taken from a port in one go: enough to spread the cost of a call, few enough to stay in the cache. */
export const BATCH = 256;

export interface Attached {
  readonly no: number;
  readonly port: Port;
  readonly batch: PacketBatch;
  /** First counter of this port. */
  readonly base: number;
  /** Administratively up; and the device is too (both: frames may leave). */
  enabled: boolean;
  up: boolean;
  /** Largest frame without FCS and tags that may leave; 0 = unlimited. */
  maxFrame: number;
  /** Sampling: 1 in `rate` frames, first `header` bytes; `skip` frames until the next. */
  rate: number;
  header: number;
  skip: number;
  /** Drop notices written in the current window. */
  notices: number;
  noticeWindowNs: number;
  /** Frames that were queued for output since the last flush, and how many of them are a mirror's copies. */
  queued: number;
  copies: number;
}

export function attachPort(no: number, port: Port): Attached {
  return {
    no,
    port,
    // A port that will never receive needs no room for it.
    batch: createBatch(port.ended === true ? 1 : BATCH),
    base: no * C.COUNTERS_PER_PORT,
    enabled: false,
    up: false,
    maxFrame: 0,
    rate: 0,
    header: 0,
    skip: 0,
    notices: 0,
    noticeWindowNs: 0.5,
    queued: 0,
    copies: 0,
  };
}

/** Read state, MTU and losses from the device: a few times a second, never per batch. */
export function refresh(entry: Attached, own: Float64Array): void {
  const status = entry.port.status();
  entry.up = entry.enabled && status.state === "up";
  entry.maxFrame = status.mtu === 0 ? 0 : status.mtu + 14;
  own[entry.base + C.C_LOST_RING] = status.lost.ring;
  own[entry.base + C.C_LOST_NIC] = status.lost.nic;
  own[entry.base + C.C_LOST_TAP] = status.lost.tap;
  own[entry.base + C.C_LOST_QDISC] = status.lost.qdisc;
}
