/**
 * AF_PACKET sockets (packet(7), Documentation/networking/packet_mmap.rst): receive rings that the kernel writes frames
 * into and JavaScript reads in place, and messages that point the kernel at frames to send.
 *
 * ```
 * RECEIVE SLOT (TPACKET_V2)        HEADROOM bytes to shift a header into
 *  0 status u32   4 length u32   8 captured u32  12 mac u16 | net u16   16 sec u32  20 nsec u32
 * 24 VLAN TCI u16 | TPID u16    28 …  sockaddr_ll … room …  | virtio-net header 10 | frame at slot + mac
 * ```
 *
 * A slot is the kernel's while its status is 0, ours from TP_STATUS_USER on until 0 is written back.
 */
import {
  AF_PACKET,
  check,
  EAGAIN,
  ENOBUFS,
  errno,
  libc,
  MSG_DONTWAIT,
  setOption,
  setSendBuffer,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
} from "./libc.ts";
import { mapInto, type Region } from "./memory.ts";
import { attachFilter } from "./socket-filter.ts";

export const TP_STATUS_KERNEL = 0;
export const TP_STATUS_USER = 0x01;
export const TP_STATUS_VLAN_VALID = 0x10;
export const TP_STATUS_VLAN_TPID_VALID = 0x40;
// Byte offsets in a slot's header, struct tpacket2_hdr.
export const TP_STATUS = 0;
export const TP_LENGTH = 4;
export const TP_CAPTURED = 8;
export const TP_MAC = 12;
export const TP_SECONDS = 16;
export const TP_NANOSECONDS = 20;
export const TP_VLAN_TCI = 24;
export const TP_VLAN_TPID = 26;

const SOL_PACKET = 263;
const PACKET_ADD_MEMBERSHIP = 1;
const PACKET_DROP_MEMBERSHIP = 2;
const PACKET_RX_RING = 5;
const PACKET_STATISTICS = 6;
const PACKET_VERSION = 10;
const PACKET_RESERVE = 12;
const PACKET_VNET_HDR = 15;
const PACKET_IGNORE_OUTGOING = 23;
const TPACKET_V2 = 1;
const PACKET_MR_PROMISC = 1;
const ETH_P_ALL = 3;
const TWO_32 = 4294967296;

/** PACKET_RESERVE: with it a frame starts 98 bytes into its slot and its network header on a 16-byte boundary. */
const RESERVE = 22;
/** Where the frame starts in a slot: TPACKET_ALIGN(TPACKET2_HDRLEN 52 + 16) + RESERVE + virtio-net 10 − Ethernet 14. */
const MAC_OFFSET = 80 + RESERVE + 10 - 14;
/** Bytes before the virtio-net header that may be written over once the slot's header has been read. */
export const HEADROOM = 24;

export interface RingGeometry {
  readonly slotBytes: number;
  readonly blockBytes: number;
  readonly blocks: number;
}

export function slotsOf(geometry: RingGeometry): number {
  return Math.floor(geometry.blockBytes / geometry.slotBytes) * geometry.blocks;
}

export function ringBytes(geometry: RingGeometry): number {
  return geometry.blockBytes * geometry.blocks;
}

/** Longest frame that a slot of this ring holds. */
export function longestFrame(geometry: RingGeometry): number {
  return geometry.slotBytes - MAC_OFFSET;
}

/** A socket with a receive ring, mapped into a region. */
export interface ReceiveRing {
  readonly fd: number;
  /** Byte offset of each slot in the region. */
  readonly slots: Int32Array;
  readonly count: number;
  /** Next slot to look at; and how many before it are ours. */
  head: number;
  held: number;
}

/**
 * Open a socket that is bound to nothing yet. Frames of `minLength` to `maxLength` bytes (as the kernel holds them: a
 * tag that it keeps beside the frame does not count) will be its own.
 */
export function openReceiveSocket(minLength: number, maxLength: number, ignoreOutgoing: boolean): number {
  const c = libc();
  const fd = check(c.socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "packet socket");
  option(fd, PACKET_VERSION, TPACKET_V2, "TPACKET_V2");
  option(fd, PACKET_VNET_HDR, 1, "PACKET_VNET_HDR");
  option(fd, PACKET_RESERVE, RESERVE, "PACKET_RESERVE");
  if (ignoreOutgoing) option(fd, PACKET_IGNORE_OUTGOING, 1, "PACKET_IGNORE_OUTGOING");
  attachLengthFilter(fd, minLength, maxLength);
  return fd;
}

function option(fd: number, name: number, value: number, what: string): void {
  check(setOption(fd, SOL_PACKET, name, value), `packet socket, ${what}`);
}

/** Accept by frame length. */
function attachLengthFilter(fd: number, minLength: number, maxLength: number): void {
  attachFilter(fd, [
    [0x80, 0, 0, 0], // ld #len
    [0x35, 0, 2, minLength], // jge #min, else drop
    [0x25, 1, 0, maxLength], // jgt #max: drop
    [0x06, 0, 0, 0x7fffffff], // accept
    [0x06, 0, 0, 0],
  ]);
}

/** Give the socket its ring, mapped at byte `offset` of the region. */
export function createReceiveRing(fd: number, geometry: RingGeometry, region: Region, offset: number): ReceiveRing {
  const { slotBytes, blockBytes, blocks } = geometry;
  const perBlock = Math.floor(blockBytes / slotBytes);
  const count = perBlock * blocks;
  const request = Uint32Array.of(blockBytes, blocks, slotBytes, count);
  const what = `receive ring of ${ringBytes(geometry) / 2 ** 20} MiB`;
  check(libc().setsockopt(fd, SOL_PACKET, PACKET_RX_RING, request, 16), what);
  mapInto(region, offset, ringBytes(geometry), fd, what);
  const slots = Int32Array.from(
    { length: count },
    (_, n) => offset + Math.floor(n / perBlock) * blockBytes + (n % perBlock) * slotBytes,
  );
  return { fd, slots, count, head: 0, held: 0 };
}

function sockaddr(protocol: number, index: number): Uint8Array {
  const bytes = new Uint8Array(20);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_PACKET, true);
  view.setUint16(2, protocol, false);
  view.setInt32(4, index, true);
  return bytes;
}

/** Receive from this device from now on; `index` 0 with `receive` false: from none. */
export function bindSocket(fd: number, index: number, receive: boolean, what: string): void {
  check(libc().bind(fd, sockaddr(receive ? ETH_P_ALL : 0, index), 20), what);
}

/** Hold the device in promiscuous mode for as long as the socket lives or until it is taken back. */
export function setPromiscuous(fd: number, index: number, on: boolean): void {
  const request = new Uint8Array(16);
  const view = new DataView(request.buffer);
  view.setInt32(0, index, true);
  view.setUint16(4, PACKET_MR_PROMISC, true);
  libc().setsockopt(fd, SOL_PACKET, on ? PACKET_ADD_MEMBERSHIP : PACKET_DROP_MEMBERSHIP, request, 16);
}

/** Frames that met a full ring since the last call (PACKET_STATISTICS, which the kernel resets when read). */
export function takeRingDrops(fd: number): number {
  const statistics = new Uint32Array(2);
  const result = libc().getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, statistics, Uint32Array.of(8));
  return result < 0 ? 0 : statistics[1]!;
}

/** A socket that only sends, frames led by a virtio-net header. */
export function openSendSocket(bufferBytes: number): number {
  const fd = check(libc().socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "packet socket");
  option(fd, PACKET_VNET_HDR, 1, "PACKET_VNET_HDR");
  setSendBuffer(fd, bufferBytes);
  return fd;
}

// struct mmsghdr, 64 bytes: msg_name 8, namelen 4 (+4), msg_iov 8, iovlen 8, control 8, controllen 8, flags 4 (+4), len 4 (+4)
const MESSAGE_WORDS = 16;
const MESSAGE_IOV = 4;
const MESSAGE_IOV_COUNT = 6;
/** Two pieces a frame: its head (copied) and the rest (where it was received). struct iovec: address 8, bytes 8. */
const IOVEC_WORDS = 4;
const IOVECS_PER_MESSAGE = 2;
export const MESSAGE_BYTES = MESSAGE_WORDS * 4 + IOVECS_PER_MESSAGE * IOVEC_WORDS * 4;

/** Messages prepared for one sendmmsg: `capacity` of MESSAGE_BYTES each at byte `offset` of a region. */
export interface SendQueue {
  readonly fd: number;
  readonly region: Region;
  readonly capacity: number;
  readonly messages: number;
  readonly iovecs: number;
  count: number;
  /** Frames refused because a queue was full; for another reason, and the errno of the last. */
  full: number;
  failed: number;
  lastError: number;
}

export function createSendQueue(fd: number, region: Region, offset: number, capacity: number): SendQueue {
  const iovecs = offset + capacity * MESSAGE_WORDS * 4;
  for (let n = 0; n < capacity; n++) {
    const at = offset / 4 + n * MESSAGE_WORDS;
    const address = region.address + iovecs + n * IOVECS_PER_MESSAGE * IOVEC_WORDS * 4;
    region.u32.fill(0, at, at + MESSAGE_WORDS);
    region.u32[at + MESSAGE_IOV] = address % TWO_32;
    region.u32[at + MESSAGE_IOV + 1] = address / TWO_32;
  }
  return { fd, region, capacity, messages: offset, iovecs, count: 0, full: 0, failed: 0, lastError: 0 };
}

/** Add a message: `head` bytes at one address, then `rest` bytes at another (0 = none). The caller keeps count < capacity. */
export function pushMessage(queue: SendQueue, address: number, head: number, restAddress: number, rest: number): void {
  const { u32 } = queue.region;
  const n = queue.count++;
  const at = queue.iovecs / 4 + n * IOVECS_PER_MESSAGE * IOVEC_WORDS;
  u32[at] = address % TWO_32;
  u32[at + 1] = address / TWO_32;
  u32[at + 2] = head;
  u32[at + 4] = restAddress % TWO_32;
  u32[at + 5] = restAddress / TWO_32;
  u32[at + 6] = rest;
  u32[queue.messages / 4 + n * MESSAGE_WORDS + MESSAGE_IOV_COUNT] = rest > 0 ? 2 : 1;
}

/**
 * Hand everything queued to the device; adds what it refused to `full` and `failed`. A full device gets one second
 * chance for the frame at hand (sending frees what was sent), then the frame is given up: a switch does not wait.
 */
export function sendQueue(queue: SendQueue): void {
  const { sendmmsg } = libc();
  const first = queue.region.address + queue.messages;
  let isSecondTry = false;
  for (let at = 0; at < queue.count;) {
    const sent = sendmmsg(queue.fd, first + at * MESSAGE_WORDS * 4, queue.count - at, MSG_DONTWAIT);
    if (sent > 0) {
      at += sent;
      isSecondTry = false;
      continue;
    }
    const error = errno();
    if (error === EAGAIN && !isSecondTry) {
      isSecondTry = true;
      continue;
    }
    isSecondTry = false;
    if (error === EAGAIN || error === ENOBUFS) queue.full++;
    else {
      queue.failed++;
      queue.lastError = error;
    }
    at++;
  }
  queue.count = 0;
}
