/**
 * Conversations: TCP connections, DNS questions, pings, streams of datagrams. A fixed number go on at once; each step
 * makes one frame of one of them, with the sequence numbers and checksums that a stack would give it. One that ends is
 * followed in its place by another of its class, with new ends.
 *
 * A conversation is WORDS words and the header templates of its two sides (store.ts, templates.ts): a frame is a copy of
 * the template with length, id, sequence, flags and checksums put in, the checksums from sums that were taken once.
 */
import { writeU16, writeU32 } from "../../wire/bytes.ts";
import { ICMP_HEADER_BYTES } from "../../wire/icmp.ts";
import { TCP_ACK, TCP_FIN, TCP_HEADER_BYTES, TCP_PSH, TCP_RST, TCP_SYN } from "../../wire/tcp.ts";
import { UDP_CHECKSUM_ZERO, UDP_HEADER_BYTES } from "../../wire/udp.ts";
import { complement, finishIpv4, halves } from "./headers.ts";
import {
  BLOB_ANSWERS,
  BLOB_HTTP_REQUEST,
  BLOB_HTTP_RESPONSE,
  BLOB_MSS,
  BLOB_QUESTIONS,
  QUESTIONS,
  createBlobs,
  type Blobs,
} from "./blobs.ts";
import { CLASSES, type ConversationClass, type Size } from "./profile.ts";
import { below, next, pareto, type Random } from "./random.ts";
import { BLOBS, BLOBS_BYTES, MAX_CONVERSATIONS, commit, reserve, templateAt, type Store } from "./store.ts";
import { HEADER, ID, IP_SUM, L3, L4_SUM, PORT, SEQ, SIDE_WORDS, writeTemplates } from "./templates.ts";

// Words behind those of the two sides (templates.ts).
const STATE = SIDE_WORDS;
/** The side whose bytes are being transferred, the bytes that are left, segments since the last acknowledgement. */
const SENDER = SIDE_WORDS + 1;
const LEFT = SIDE_WORDS + 2;
const UNACKED = SIDE_WORDS + 3;
/** 1: the next segment is the first of its transfer. */
const FIRST = SIDE_WORDS + 4;
const ROUNDS = SIDE_WORDS + 5;
const WORDS = SIDE_WORDS + 6;

export interface Conversations {
  readonly count: number;
  /** Number of the noisy neighbour's, which stands behind the others. */
  readonly noisy: number;
  readonly classes: readonly ConversationClass[];
  readonly words: Uint32Array;
  readonly blobs: Blobs;
}

function slots(wanted: ConversationClass): ConversationClass[] {
  return Array(wanted.slots).fill(wanted);
}

export function createConversations(store: Store): Conversations {
  const quiet = CLASSES.filter((one) => !one.noisy).flatMap(slots);
  const classes = [...quiet, ...CLASSES.filter((one) => one.noisy).flatMap(slots)];
  if (classes.length > MAX_CONVERSATIONS) throw new RangeError(`${classes.length} conversations do not fit`);
  const conversations: Conversations = {
    count: quiet.length,
    noisy: quiet.length,
    classes,
    words: new Uint32Array(classes.length * WORDS),
    blobs: createBlobs(store.bytes, BLOBS, BLOBS_BYTES),
  };
  for (let n = 0; n < classes.length; n++) begin(conversations, store, n);
  return conversations;
}

const CLIENT = 0;
const SERVER = 1;

/** Payload of a full TCP segment over IPv4 and IPv6 with an MTU of 1500; of a datagram of a stream. */
const MSS = 1460;
const MSS_IPV6 = 1440;
const STREAM_BYTES = 1316;
const PING_BYTES = 56;
/** One in so many connections ends by a reset. */
const RESET_IN = 25;

const NO_BLOB = -1;

// States of a TCP connection: what the next frame is.
const T_SYN = 0;
const T_SYN_ACK = 1;
const T_ACK = 2;
const T_TRANSFER = 3;
const T_FIN = 4;
const T_FIN_BACK = 5;
const T_LAST_ACK = 6;

function drawn(random: Random, size: Size): number {
  return pareto(random, size[0], size[1], size[2]);
}

function begin(c: Conversations, store: Store, n: number): void {
  const { words } = c;
  const w = n * WORDS;
  const kind = c.classes[n]!;
  writeTemplates(store, kind, words, w, n);
  words[w + STATE] = 0;
  words[w + UNACKED] = 0;
  words[w + ROUNDS] = 1 + below(store.random, kind.rounds);
  words[w + LEFT] = kind.kind === "dns" ? below(store.random, QUESTIONS.length) : drawn(store.random, kind.request);
  for (let side = CLIENT; side <= SERVER; side++) {
    words[w + SEQ + side] = next(store.random);
    words[w + ID + side] = next(store.random) & 0xffff;
  }
}

/** The next frame of conversation n. Returns 1, the number of frames. */
export function step(c: Conversations, store: Store, n: number): number {
  const kind = c.classes[n]!.kind;
  if (kind === "tcp" || kind === "http") stepTcp(c, store, n);
  else if (kind === "dns") stepDns(c, store, n);
  else if (kind === "ping") stepPing(c, store, n);
  else {
    datagram(c, store, n, CLIENT, STREAM_BYTES, NO_BLOB, 0);
    if (--c.words[n * WORDS + LEFT]! === 0) begin(c, store, n);
  }
  return 1;
}

function stepTcp(c: Conversations, store: Store, n: number): void {
  const { words } = c;
  const w = n * WORDS;
  const state = words[w + STATE]!;
  if (state === T_TRANSFER) return transfer(c, store, n);
  words[w + STATE] = state + 1;
  switch (state) {
    case T_SYN:
      return segment(c, store, n, CLIENT, TCP_SYN, 0, BLOB_MSS);
    case T_SYN_ACK:
      return segment(c, store, n, SERVER, TCP_SYN | TCP_ACK, 0, BLOB_MSS);
    case T_ACK:
      segment(c, store, n, CLIENT, TCP_ACK, 0, NO_BLOB);
      return startTransfer(c, store, n, CLIENT);
    case T_FIN:
      if (below(store.random, RESET_IN) > 0) return segment(c, store, n, SERVER, TCP_FIN | TCP_ACK, 0, NO_BLOB);
      segment(c, store, n, CLIENT, TCP_RST | TCP_ACK, 0, NO_BLOB);
      return begin(c, store, n);
    case T_FIN_BACK:
      return segment(c, store, n, CLIENT, TCP_FIN | TCP_ACK, 0, NO_BLOB);
    case T_LAST_ACK:
      segment(c, store, n, SERVER, TCP_ACK, 0, NO_BLOB);
      return begin(c, store, n);
  }
}

function startTransfer(c: Conversations, store: Store, n: number, sender: number): void {
  const { words, blobs } = c;
  const w = n * WORDS;
  const kind = c.classes[n]!;
  words[w + SENDER] = sender;
  words[w + FIRST] = 1;
  if (kind.kind !== "http") words[w + LEFT] = drawn(store.random, sender === CLIENT ? kind.request : kind.response);
  else if (sender === CLIENT) words[w + LEFT] = blobs.length[BLOB_HTTP_REQUEST]!;
  else words[w + LEFT] = blobs.length[BLOB_HTTP_RESPONSE]! + drawn(store.random, kind.response);
}

/** One segment of the transfer, or the acknowledgement of two, or of the last. */
function transfer(c: Conversations, store: Store, n: number): void {
  const { words } = c;
  const w = n * WORDS;
  const sender = words[w + SENDER]!;
  const left = words[w + LEFT]!;
  if (left > 0 && words[w + UNACKED]! < 2) {
    const kind = c.classes[n]!;
    let blob = NO_BLOB;
    if (kind.kind === "http" && words[w + FIRST] === 1) {
      blob = sender === CLIENT ? BLOB_HTTP_REQUEST : BLOB_HTTP_RESPONSE;
    }
    const full = kind.ipv6 ? MSS_IPV6 : MSS;
    const bytes = blob !== NO_BLOB ? c.blobs.length[blob]! : left < full ? left : full;
    segment(c, store, n, sender, left === bytes ? TCP_ACK | TCP_PSH : TCP_ACK, bytes, blob);
    words[w + LEFT] = left - bytes;
    words[w + UNACKED]!++;
    words[w + FIRST] = 0;
    return;
  }
  segment(c, store, n, 1 - sender, TCP_ACK, 0, NO_BLOB);
  words[w + UNACKED] = 0;
  if (left > 0) return;
  if (sender === CLIENT) startTransfer(c, store, n, SERVER);
  else if (--words[w + ROUNDS]! > 0) startTransfer(c, store, n, CLIENT);
  else words[w + STATE] = T_FIN;
}

function stepDns(c: Conversations, store: Store, n: number): void {
  const { words, blobs } = c;
  const w = n * WORDS;
  const side = words[w + STATE]!;
  const blob = (side === CLIENT ? BLOB_QUESTIONS : BLOB_ANSWERS) + words[w + LEFT]!;
  datagram(c, store, n, side, blobs.length[blob]!, blob, words[w + SEQ]! & 0xffff);
  if (side === CLIENT) words[w + STATE] = SERVER;
  else begin(c, store, n);
}

function stepPing(c: Conversations, store: Store, n: number): void {
  const { words } = c;
  const w = n * WORDS;
  const side = words[w + STATE]!;
  echo(c, store, n, side);
  words[w + STATE] = 1 - side;
  if (side === SERVER && --words[w + ROUNDS]! === 0) begin(c, store, n);
}

/** Copy the template before the payload of a new frame: the payload's offset, or −1. */
function openFrame(c: Conversations, store: Store, n: number, side: number, written: number): number {
  const w = n * WORDS;
  const at = reserve(store, c.words[w + PORT + side]!, written);
  if (at < 0) return at;
  const header = c.words[w + HEADER + side]!;
  const template = templateAt(n, side);
  store.bytes.copyWithin(at - header, template, template + header);
  return at;
}

/** Put the IP length in (and for IPv4 id and checksum), and give the frame to its port. `length`: bytes behind the IP header. */
function closeFrame(
  c: Conversations,
  store: Store,
  n: number,
  side: number,
  at: number,
  l4: number,
  length: number,
): void {
  const { words } = c;
  const w = n * WORDS;
  const start = at - words[w + HEADER + side]!;
  const l3 = start + words[w + L3 + side]!;
  if (c.classes[n]!.ipv6) writeU16(store.bytes, l3 + 4, length);
  else {
    finishIpv4(store.bytes, l3, words[w + IP_SUM + side]!, l4 - l3 + length, words[w + ID + side]!);
    words[w + ID + side] = (words[w + ID + side]! + 1) & 0xffff;
  }
  commit(store, words[w + PORT + side]!, start, l4 + length - start);
}

/** A TCP segment (RFC 9293 section 3.1) with `bytes` of payload: the blob's, or the pattern's. BLOB_MSS is no payload. */
function segment(
  c: Conversations,
  store: Store,
  n: number,
  side: number,
  flags: number,
  bytes: number,
  blob: number,
): void {
  const { words, blobs } = c;
  const w = n * WORDS;
  const seq = words[w + SEQ + side]!;
  const at = openFrame(c, store, n, side, blob === NO_BLOB ? 0 : blobs.length[blob]!);
  if (at >= 0) {
    const ack = flags & TCP_ACK ? words[w + SEQ + 1 - side]! : 0;
    const options = blob === BLOB_MSS ? blobs.length[blob]! : 0;
    const length = TCP_HEADER_BYTES + options + bytes;
    const offsetFlags = (((TCP_HEADER_BYTES + options) >> 2) << 12) | flags;
    const l4 = at - TCP_HEADER_BYTES;
    if (blob !== NO_BLOB) putBlob(store, blobs, blob, at);
    writeU32(store.bytes, l4 + 4, seq);
    writeU32(store.bytes, l4 + 8, ack);
    writeU16(store.bytes, l4 + 12, offsetFlags);
    const payload = blob === NO_BLOB ? store.patternSum[bytes]! : blobs.sum[blob]!;
    const sum = words[w + L4_SUM + side]! + length + halves(seq) + halves(ack) + offsetFlags + payload;
    writeU16(store.bytes, l4 + 16, complement(sum));
    closeFrame(c, store, n, side, at, l4, length);
  }
  words[w + SEQ + side] = seq + bytes + (flags & (TCP_SYN | TCP_FIN) ? 1 : 0);
}

/** A UDP datagram (RFC 768); `dnsId` goes to the first two bytes of a blob. */
function datagram(
  c: Conversations,
  store: Store,
  n: number,
  side: number,
  bytes: number,
  blob: number,
  dnsId: number,
): void {
  const at = openFrame(c, store, n, side, blob === NO_BLOB ? 0 : bytes);
  if (at < 0) return;
  const length = UDP_HEADER_BYTES + bytes;
  const l4 = at - UDP_HEADER_BYTES;
  if (blob !== NO_BLOB) {
    putBlob(store, c.blobs, blob, at);
    writeU16(store.bytes, at, dnsId);
  }
  writeU16(store.bytes, l4 + 4, length);
  const payload = blob === NO_BLOB ? store.patternSum[bytes]! : c.blobs.sum[blob]! + dnsId;
  // The length counts twice: in the pseudo header and in the header.
  const sum = complement(c.words[n * WORDS + L4_SUM + side]! + 2 * length + payload);
  writeU16(store.bytes, l4 + 6, sum === 0 ? UDP_CHECKSUM_ZERO : sum);
  closeFrame(c, store, n, side, at, l4, length);
}

/** ICMP echo and echo reply (RFC 792), numbered by the round. */
function echo(c: Conversations, store: Store, n: number, side: number): void {
  const w = n * WORDS;
  const at = openFrame(c, store, n, side, 0);
  if (at < 0) return;
  const l4 = at - ICMP_HEADER_BYTES;
  const round = c.words[w + ROUNDS]!;
  writeU16(store.bytes, l4 + 6, round);
  writeU16(store.bytes, l4 + 2, complement(c.words[w + L4_SUM + side]! + round + store.patternSum[PING_BYTES]!));
  closeFrame(c, store, n, side, at, l4, ICMP_HEADER_BYTES + PING_BYTES);
}

function putBlob(store: Store, blobs: Blobs, blob: number, at: number): void {
  const from = blobs.at[blob]!;
  store.bytes.copyWithin(at, from, from + blobs.length[blob]!);
}
