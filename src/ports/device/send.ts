/**
 * Sending to a device: one sendmmsg a batch. The head of each frame is copied into the queue's own memory; what lies
 * behind it in a mapped ring is sent from where it was received, so a 64 KiB frame is copied once, by the kernel.
 *
 * A TX ring would be written to here and its pages copied again by veth and tap (skb_orphan_frags): measured slower
 * for TCP, equal for small frames (README). The socket does not bypass the qdisc: then the kernel cuts up GSO frames
 * for a device that cannot, tcpdump sees what leaves, and shaping works; no difference could be measured.
 */
import { libc } from "../../sys/libc.ts";
import { type Region, regionOf } from "../../sys/memory.ts";
import {
  bindSocket,
  createSendQueue,
  MESSAGE_BYTES,
  openSendSocket,
  pushMessage,
  type SendQueue,
  sendQueue,
} from "../../sys/packet-socket.ts";
import { VNET_HEADER_BYTES } from "../../wire/vnet.ts";
import { TRANSMIT_HEAD } from "../port.ts";

const QUEUE_FRAMES = 256;
const STAGING_BYTES = 512 * 1024;
/** What the kernel may hold for us on the way out: a full batch of the largest frames. */
const SOCKET_BUFFER = 32 * 2 ** 20;
/** Up to here a frame is copied whole: cheaper than a second piece. */
const COPY_WHOLE = 512;
/** Up to here a loop over words beats `set`, which also wants a view made for it. */
const COPY_LIMIT = COPY_WHOLE + VNET_HEADER_BYTES;
const HEAD_BYTES = VNET_HEADER_BYTES + TRANSMIT_HEAD;

export const SEND_BYTES = QUEUE_FRAMES * MESSAGE_BYTES + STAGING_BYTES;

export interface Sender {
  readonly queue: SendQueue;
  readonly region: Region;
  readonly staging: number;
  readonly stagingEnd: number;
  next: number;
  /** Array of the last frame, and the region it is the view of; undefined where it is V8's own. */
  source: Uint8Array;
  sourceRegion: Region | undefined;
}

/** `region` has SEND_BYTES at byte `offset`. */
export function openSender(region: Region, offset: number): Sender {
  const queue = createSendQueue(openSendSocket(SOCKET_BUFFER), region, offset, QUEUE_FRAMES);
  const staging = offset + QUEUE_FRAMES * MESSAGE_BYTES;
  const { u8 } = region;
  return {
    queue,
    region,
    staging,
    stagingEnd: staging + STAGING_BYTES,
    next: staging,
    source: u8,
    sourceRegion: region,
  };
}

export function bindSender(sender: Sender, index: number, device: string): void {
  bindSocket(sender.queue.fd, index, false, `send to ${device}`);
}

export function closeSender(sender: Sender): void {
  libc().close(sender.queue.fd);
}

/** Copy between regions by words: a frame in a ring, its tag put in or not, starts at a multiple of 4 as the queue does. */
function copyWords(to: Uint32Array, at: number, from: Uint32Array, offset: number, bytes: number): void {
  const words = (bytes + 3) >> 2;
  const first = at >> 2;
  const source = offset >> 2;
  for (let n = 0; n < words; n++) to[first + n] = from[source + n]!;
}

/** Port.transmit. False: too long for the queue. */
export function enqueue(sender: Sender, bytes: Uint8Array, offset: number, length: number, vnet: boolean): boolean {
  if (bytes !== sender.source) {
    sender.source = bytes;
    sender.sourceRegion = regionOf(bytes);
  }
  const { queue, region, sourceRegion } = sender;
  const whole = VNET_HEADER_BYTES + length;
  const isWhole = length <= COPY_WHOLE || sourceRegion === undefined || !vnet;
  const copied = isWhole ? whole : HEAD_BYTES;
  if (copied > STAGING_BYTES) return false;
  if (queue.count === QUEUE_FRAMES || sender.next + copied > sender.stagingEnd) flushSender(sender);
  const at = sender.next;
  const { u8 } = region;
  const from = offset - VNET_HEADER_BYTES;
  if (!vnet) {
    u8.fill(0, at, at + VNET_HEADER_BYTES);
    u8.set(bytes.subarray(offset, offset + length), at + VNET_HEADER_BYTES);
  } else if (sourceRegion !== undefined && (from & 3) === 0 && copied <= COPY_LIMIT)
    copyWords(region.u32, at, sourceRegion.u32, from, copied);
  else u8.set(bytes.subarray(from, from + copied), at);
  if (isWhole) pushMessage(queue, region.address + at, whole, 0, 0);
  else pushMessage(queue, region.address + at, copied, sourceRegion.address + from + copied, whole - copied);
  // The next frame on a cache line of its own.
  sender.next = (at + copied + 63) & ~63;
  return true;
}

/** Port.flush. */
export function flushSender(sender: Sender): void {
  sender.next = sender.staging;
  if (sender.queue.count > 0) sendQueue(sender.queue);
}
