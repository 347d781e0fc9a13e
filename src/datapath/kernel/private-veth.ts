/**
 * A veth pair that belongs to one bridge: the program sends frames into `near`, the process reads and writes them at
 * `far`. Whole frames with their virtio-net headers, so segmentation and checksums that are still to be done survive.
 */
import { bindRings, closeRings, openRings, type Rings, ringsBytes, ringSizes } from "../../ports/device/rings.ts";
import { bindSender, closeSender, openSender, SEND_BYTES, type Sender } from "../../ports/device/send.ts";
import { addVethPair, findLink, type Link, links, removeLink, setIpv6Disabled, setLink } from "../../sys/links.ts";
import { allocate, release, roundToPages } from "../../sys/memory.ts";
import { addIngressDrop } from "../../sys/tc.ts";

/** The largest that veth has. */
const MTU = 65535;
/** Frames that wait for the process at most; longer ones than this slot wait in the ring of large ones. */
const SLOTS = 4096;
const SLOT_MTU = 1500;
const NAME = /^wup(\d+)-\d+[nf]$/;

export interface PrivateVeth {
  readonly near: Link;
  readonly far: Link;
  readonly rings: Rings;
  readonly sender: Sender;
  /** Frames that may be on the way. */
  readonly room: number;
  /** `keep`: the devices stay, for the next process. */
  close(keep?: boolean): void;
}

let serial = 0;

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Take away the pair of this name, if it is there. */
export function removePrivateVeth(name: string): void {
  const near = findLink(`${name}n`);
  if (near) removeLink(near.index, near.name);
}

/** Pairs of processes that are gone: a process that was killed could not remove its own. */
function removeStale(): void {
  for (const { index, name } of links()) {
    const pid = NAME.exec(name)?.[1];
    if (pid !== undefined && !isRunning(Number(pid))) removeLink(index, name);
  }
}

/** `owned`: the pair's name, where it outlives the process: one that is there is used. */
export function openPrivateVeth(owned?: string): PrivateVeth {
  removeStale();
  const name = owned ?? `wup${process.pid}-${serial++ % 1000}`;
  let [near, far] = [findLink(`${name}n`)!, findLink(`${name}f`)!];
  if (!near || !far) {
    addVethPair(`${name}n`, `${name}f`, MTU);
    [near, far] = [findLink(`${name}n`)!, findLink(`${name}f`)!];
  }
  const sizes = ringSizes(SLOT_MTU, SLOTS);
  const sendAt = roundToPages(ringsBytes(sizes));
  const region = allocate(sendAt + SEND_BYTES);
  let rings: Rings | undefined;
  let sender: Sender | undefined;
  const close = (keep = false): void => {
    if (!keep) removeLink(near.index, near.name);
    if (rings) closeRings(rings);
    if (sender) closeSender(sender);
    release(region);
  };
  try {
    for (const end of [near, far]) setIpv6Disabled(end.name, true);
    // Nobody but our socket sees what arrives at the far end. (The near end has the program.)
    addIngressDrop(far.index, far.name);
    for (const end of [near, far]) setLink(end, { up: true });
    rings = openRings(region, sizes, true);
    sender = openSender(region, sendAt);
    bindSender(sender, far.index, far.name);
    bindRings(rings, far.index, far.name);
    return { near, far, rings, sender, room: rings.small.count, close };
  } catch (error) {
    close();
    throw error;
  }
}
