/**
 * Netlink (RFC 3549): one request at a time to the kernel's routing family, answered before the call returns.
 *
 * ```
 * nlmsghdr   0 length u32 | 4 type u16 | 6 flags u16 | 8 sequence u32 | 12 port u32 | 16 family header, then attributes
 * attribute  0 length u16 | 2 type u16 | 4 value, padded to 4 bytes
 * ```
 */
import {
  AF_NETLINK,
  check,
  errno,
  EAGAIN,
  libc,
  SO_RCVTIMEO,
  SOCK_CLOEXEC,
  SOCK_RAW,
  SOL_SOCKET,
  SystemError,
} from "./libc.ts";

export const NLM_F_REQUEST = 0x01;
export const NLM_F_ACK = 0x04;
export const NLM_F_DUMP = 0x300;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
const NLM_F_DUMP_INTR = 0x10;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const HEADER = 16;
/** Nested attributes carry this bit in their type (the kernel's newer families insist). */
const NLA_TYPE = 0x3fff;
/** The kernel fills dumps in pages of at most 32 KiB. */
const BUFFER_BYTES = 65536;
const DUMP_RETRIES = 5;

/** Attributes by type; the last of a type wins. */
export type Attributes = Map<number, Uint8Array>;

/** One attribute; nested ones are given as the list of what is in them. */
export function attribute(type: number, value: Uint8Array | readonly Uint8Array[]): Uint8Array {
  const content = value instanceof Uint8Array ? value : concat(value);
  const out = new Uint8Array((4 + content.length + 3) & ~3);
  const view = new DataView(out.buffer);
  view.setUint16(0, 4 + content.length, true);
  view.setUint16(2, type, true);
  out.set(content, 4);
  return out;
}

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

export function u32(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}

export function u16(value: number): Uint8Array {
  return new Uint8Array(Uint16Array.of(value).buffer);
}

/** A string with its closing 0. */
export function text(value: string): Uint8Array {
  return new TextEncoder().encode(`${value}\0`);
}

export function readU32(value: Uint8Array | undefined): number {
  return value && value.length >= 4 ? new DataView(value.buffer, value.byteOffset).getUint32(0, true) : 0;
}

/** The attributes in `bytes`; a cut one ends the list. */
export function parseAttributes(bytes: Uint8Array): Attributes {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const found: Attributes = new Map();
  for (let at = 0; at + 4 <= bytes.length;) {
    const length = view.getUint16(at, true);
    if (length < 4 || at + length > bytes.length) break;
    found.set(view.getUint16(at + 2, true) & NLA_TYPE, bytes.subarray(at + 4, at + length));
    at += (length + 3) & ~3;
  }
  return found;
}

export interface Message {
  readonly type: number;
  /** Behind nlmsghdr: the family's own header and attributes. A copy. */
  readonly body: Uint8Array;
}

let sequence = 0;

/** What an answer holds: messages, the kernel's verdict (0, or an errno), or that it is complete. */
interface Answer {
  readonly messages: Message[];
  done: boolean;
  error: number;
  interrupted: boolean;
}

function readAnswer(bytes: Uint8Array, expected: number, answer: Answer): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at + HEADER <= bytes.length;) {
    const length = view.getUint32(at, true);
    if (length < HEADER || at + length > bytes.length) return;
    const type = view.getUint16(at + 4, true);
    if (view.getUint32(at + 8, true) === expected) {
      if (view.getUint16(at + 6, true) & NLM_F_DUMP_INTR) answer.interrupted = true;
      if (type === NLMSG_ERROR || type === NLMSG_DONE) {
        answer.done = true;
        answer.error = length >= HEADER + 4 ? -view.getInt32(at + HEADER, true) : 0;
        return;
      }
      answer.messages.push({ type, body: bytes.slice(at + HEADER, at + length) });
    }
    at += (length + 3) & ~3;
  }
}

function exchange(type: number, flags: number, body: Uint8Array, what: string): Answer {
  const c = libc();
  const fd = check(c.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0), `${what}: netlink socket`);
  try {
    // The kernel answers within the send; a limit all the same, for a datapath must not hang.
    c.setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, BigUint64Array.of(2n, 0n), 16);
    const request = new Uint8Array(HEADER + body.length);
    const view = new DataView(request.buffer);
    const number = ++sequence;
    view.setUint32(0, request.length, true);
    view.setUint16(4, type, true);
    view.setUint16(6, flags | NLM_F_REQUEST | ((flags & NLM_F_DUMP) === NLM_F_DUMP ? 0 : NLM_F_ACK), true);
    view.setUint32(8, number, true);
    request.set(body, HEADER);
    check(c.send(fd, request, request.length, 0), what);
    const answer: Answer = { messages: [], done: false, error: 0, interrupted: false };
    const buffer = new Uint8Array(BUFFER_BYTES);
    while (!answer.done) {
      const got = c.recv(fd, buffer, buffer.length, 0);
      if (got < 0) throw new SystemError(errno() === EAGAIN ? `${what}: no answer from the kernel` : what, errno());
      readAnswer(buffer.subarray(0, got), number, answer);
    }
    return answer;
  } finally {
    c.close(fd);
  }
}

/**
 * Send one request and return the messages that answer it. Throws a SystemError (`what` says what was being done) with
 * the kernel's errno.
 */
export function request(type: number, flags: number, body: Uint8Array, what: string): Message[] {
  for (let tries = 0; ; tries++) {
    const answer = exchange(type, flags, body, what);
    if (answer.error > 0) throw new SystemError(what, answer.error);
    // A dump that changed while it was made is incomplete: ask again.
    if (!answer.interrupted || tries === DUMP_RETRIES) return answer.messages;
  }
}
