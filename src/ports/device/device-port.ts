/**
 * A port on a network device of this host, by packet sockets: waits for the device, attaches, notices when it goes or is
 * put into another bridge, and gives it back. The sockets and their memory live as long as the port, so that nothing
 * that points at them ever dangles; only what they are bound to changes.
 *
 * ```
 *   absent ──(device appears)──► up ◄──(carrier)──► down
 *     ▲                          │  │
 *     └──────(device gone)───────┘  └──(another bridge takes it)──► conflict ──(and lets it go)──► up
 * ```
 */
import { errnoName } from "../../sys/libc.ts";
import { type Link, linkSpeed } from "../../sys/links.ts";
import { allocate, release, roundToPages } from "../../sys/memory.ts";
import { ETH_HEADER_BYTES } from "../../wire/ethernet.ts";
import type { Port, PortState, PortStatus } from "../port.ts";
import { type Claim, claimDevice } from "./claim.ts";
import { fits } from "./fits.ts";
import { guard, readHostState } from "./guards.ts";
import {
  bindRings,
  closeRings,
  countLost,
  openRings,
  receiveBatch,
  ringsBytes,
  ringSizes,
  unbindRings,
} from "./rings.ts";
import { bindSender, closeSender, enqueue, flushSender, openSender, SEND_BYTES } from "./send.ts";

export interface DeviceOptions {
  /** The device this port is for, if it is there now. Asked at most twice a second. */
  readonly find: () => Link | undefined;
  /** Said while it is absent. */
  readonly waitingFor: string;
  readonly mode: "switch" | "observe";
  /** Attach although the host has an address on it. */
  readonly takeOver: boolean;
  /** Ordinary frames that wait for the switch at most. */
  readonly slots: number;
  /** Frames that the host sends on the device are received too (observe mode). */
  readonly outgoing: boolean;
  /** Said of a device that is up and has no carrier; absent: the usual words. */
  readonly noCarrier?: string;
  /** Called once at the end, after the device was given back. */
  readonly onClose?: () => void;
}

const REFRESH_NS = 0.5e9;
/** Assumed for a device that is not there yet, to size the slots. */
const USUAL_MTU = 1500;

export interface Losses {
  nic: number;
  tap: number;
}

/** Losses of the device since it was made; the port subtracts what they were when it attached. */
export function deviceLosses(link: Link): Losses {
  return {
    nic: link.stats.rxMissed + link.stats.rxFifo,
    // A tap's queue to its guest is full: the guest is too slow.
    tap: link.kind === "tun" ? link.stats.txDropped : 0,
  };
}

export function openDevicePort(options: DeviceOptions): Port {
  let link = options.find();
  if (link) refuse(link);
  const sizes = ringSizes(link?.mtu ?? USUAL_MTU, options.slots);
  const sendAt = roundToPages(ringsBytes(sizes));
  const region = allocate(sendAt + SEND_BYTES);
  const rings = openRings(region, sizes, !options.outgoing);
  const sender = openSender(region, sendAt);
  const { queue } = sender;

  let state: PortState = "absent";
  let message: string | undefined = options.waitingFor;
  let claim: Claim | undefined;
  /** ifIndex of the attached device, 0 = none. */
  let attached = 0;
  let maxFrame = 0;
  let start: Losses = { nic: 0, tap: 0 };
  const before: Losses = { nic: 0, tap: 0 };
  let now: Losses = start;
  let speed = 0;
  let nowNs = 0;
  let refreshedNs = 0;
  let isClosed = false;

  function refuse(found: Link): void {
    const problem = options.mode === "switch" ? guard(found, readHostState(), options.takeOver) : undefined;
    if (problem) throw new Error(problem);
    if (!found.ethernet) throw new Error(`${found.name} is not an Ethernet device`);
  }

  function attach(found: Link): void {
    try {
      refuse(found);
    } catch (error) {
      state = "conflict";
      message = (error as Error).message;
      return;
    }
    if (options.mode === "switch" && (claim = claimDevice(found)) === undefined) {
      state = "conflict";
      message = `${found.name} is already a port, here or of another weir process; two switches would forward its frames twice`;
      return;
    }
    try {
      bindSender(sender, found.index, found.name);
      // Who only looks on changes nothing: what the device refuses was never for this host.
      bindRings(rings, found.index, found.name, options.mode === "switch");
    } catch (error) {
      claim?.release();
      claim = undefined;
      throw error;
    }
    attached = found.index;
    start = deviceLosses(found);
    now = start;
    speed = linkSpeed(found.name);
  }

  function detach(): void {
    before.nic += now.nic - start.nic;
    before.tap += now.tap - start.tap;
    start = now;
    unbindRings(rings, attached);
    attached = 0;
    try {
      claim?.release();
    } catch {
      // A device that went away took its filter along.
    }
    claim = undefined;
  }

  /** Look at the device and follow it. Throws what attaching throws. */
  function follow(): void {
    link = options.find();
    if (attached !== 0 && (link?.index !== attached || (options.mode === "switch" && link.master !== 0))) detach();
    if (!link) {
      state = "absent";
      message = options.waitingFor;
      return;
    }
    if (attached === 0) attach(link);
    if (attached === 0) return;
    now = deviceLosses(link);
    state = link.running ? "up" : "down";
    message = link.running
      ? undefined
      : link.up
        ? (options.noCarrier ?? `${link.name} has no carrier`)
        : `ip link set ${link.name} up`;
    maxFrame = link.mtu + ETH_HEADER_BYTES;
  }

  function status(): PortStatus {
    if (!isClosed && nowNs - refreshedNs >= REFRESH_NS) {
      refreshedNs = nowNs;
      try {
        follow();
      } catch (error) {
        state = "failed";
        message = (error as Error).message;
      }
    }
    const tap = before.tap + now.tap - start.tap;
    const failure = queue.failed > 0 ? `sending failed (${errnoName(queue.lastError)})` : undefined;
    const said = message ?? failure;
    return {
      state,
      ...(said === undefined ? {} : { message: said }),
      ...(link ? { device: link.name, mac: link.mac } : {}),
      mtu: link?.mtu ?? 0,
      speed,
      ifIndex: link?.physical ? link.index : 0,
      lost: {
        ring: isClosed ? rings.lost : countLost(rings),
        nic: before.nic + now.nic - start.nic,
        tap,
        // A full tap refuses the frame and counts it: it is lost once.
        qdisc: queue.failed + Math.max(0, queue.full - tap),
      },
    };
  }

  try {
    follow();
  } catch (error) {
    closeAll();
    throw error;
  }

  function closeAll(): void {
    if (attached !== 0) detach();
    closeRings(rings);
    closeSender(sender);
    isClosed = true;
    state = "absent";
    message = "closed";
    release(region);
    options.onClose?.();
  }

  return {
    pollFd: rings.small.fd,
    pollFds: [rings.small.fd, rings.large.fd],
    receive(batch, time) {
      nowNs = time;
      return isClosed ? 0 : receiveBatch(rings, batch);
    },
    transmit(bytes, offset, captured, length, vnet) {
      if (state !== "up" || captured !== length || options.mode === "observe") return false;
      if (length > maxFrame && !fits(bytes, offset, length, maxFrame, vnet)) return false;
      return enqueue(sender, bytes, offset, length, vnet);
    },
    flush() {
      if (!isClosed) flushSender(sender);
    },
    status,
    close() {
      if (isClosed) return;
      flushSender(sender);
      closeAll();
    },
  };
}
