/**
 * Sending to a device: one sendmmsg a batch. The head of each frame is copied into the queue's own memory; what lies
 * behind it in a mapped ring is sent from where it was received, so a 64 KiB frame is copied once, by the kernel.
 *
 * A TX ring would be written to here and its pages copied again by veth and tap (skb_orphan_frags): measured slower
 * for TCP, equal for small frames (README). The socket does not bypass the qdisc: then the kernel cuts up GSO frames
 * for a device that cannot, tcpdump sees what leaves, and shaping works; no difference could be measured.
 */
import { libc } from "../../sys/libc.ts";
import { addressOf, type Region } from "../../sys/memory.ts";
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
/** Bytes copied one by one before it pays to call `set`. */
const COPY_LOOP = 96;
const HEAD_BYTES = VNET_HEADER_BYTES + TRANSMIT_HEAD;

export const SEND_BYTES = QUEUE_FRAMES * MESSAGE_BYTES + STAGING_BYTES;

export interface Sender {
  readonly queue: SendQueue;
  readonly region: Region;
  readonly staging: number;
  readonly stagingEnd: number;
  next: number;
  /** Array of the last frame and its address, 0 where it is V8's own. */
  source: Uint8Array;
  sourceAddress: number;
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
    sourceAddress: addressOf(u8),
  };
}

export function bindSender(sender: Sender, index: number, device: string): void {
  bindSocket(sender.queue.fd, index, false, `send to ${device}`);
}

export function closeSender(sender: Sender): void {
  libc().close(sender.queue.fd);
}

function copy(to: Uint8Array, at: number, from: Uint8Array, offset: number, bytes: number): void {
  if (bytes > COPY_LOOP) to.set(from.subarray(offset, offset + bytes), at);
  else for (let n = 0; n < bytes; n++) to[at + n] = from[offset + n]!;
}

/** Port.transmit. False: too long for the queue. */
export function enqueue(sender: Sender, bytes: Uint8Array, offset: number, length: number, vnet: boolean): boolean {
  if (bytes !== sender.source) {
    sender.source = bytes;
    sender.sourceAddress = addressOf(bytes);
  }
  const whole = VNET_HEADER_BYTES + length;
  const isWhole = length <= COPY_WHOLE || sender.sourceAddress === 0;
  const copied = isWhole ? whole : HEAD_BYTES;
  if (copied > STAGING_BYTES) return false;
  if (sender.queue.count === QUEUE_FRAMES || sender.next + copied > sender.stagingEnd) flushSender(sender);
  const at = sender.next;
  const { u8, address } = sender.region;
  if (vnet) copy(u8, at, bytes, offset - VNET_HEADER_BYTES, copied);
  else {
    for (let n = 0; n < VNET_HEADER_BYTES; n++) u8[at + n] = 0;
    copy(u8, at + VNET_HEADER_BYTES, bytes, offset, copied - VNET_HEADER_BYTES);
  }
  if (isWhole) pushMessage(sender.queue, address + at, whole, 0, 0);
  else pushMessage(sender.queue, address + at, copied, sender.sourceAddress + offset + TRANSMIT_HEAD, whole - copied);
  // The next frame on a cache line of its own.
  sender.next = (at + copied + 63) & ~63;
  return true;
}

/** Port.flush. */
export function flushSender(sender: Sender): void {
  sender.next = sender.staging;
  if (sender.queue.count > 0) sendQueue(sender.queue);
}
