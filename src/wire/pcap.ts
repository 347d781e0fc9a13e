/**
 * pcap capture files (draft-ietf-opsawg-pcap): microseconds and nanoseconds, both byte orders.
 *
 * ```
 * file    0 magic 4 | 4 major 2, minor 2 | 8 reserved 8 | 16 snaplen 4 | 20 FCS length 4, F 1, reserved, link type
 * record  0 seconds 4 | 4 micro- or nanoseconds 4 | 8 captured 4 | 12 original length 4 | 16 bytes
 * ```
 */
import { MAX_CAPTURED } from "./capture-window.ts";
import type { CaptureBatch, CaptureFormat, CaptureInterface, CaptureWindow } from "./capture-window.ts";
import { copyBytes, writeLe16, writeLe32 } from "./bytes.ts";
import { LINKTYPE_ETHERNET } from "./linktype.ts";

export const PCAP_MAGIC_MICROSECONDS = 0xa1b2c3d4;
export const PCAP_MAGIC_NANOSECONDS = 0xa1b23c4d;
export const PCAP_HEADER_BYTES = 24;
export const PCAP_RECORD_BYTES = 16;

/** What people have that is not a pcap file, by its first four bytes in file order. */
const REFUSED: Readonly<Record<number, string>> = {
  0xa1b2cd34: "a pcap file in Kuznetzov's modified format; convert it with editcap -F pcapng",
  0xa1b234cd: "a pcap file in Mesquita's modified format; convert it with editcap -F pcapng",
  0xa12b3c4d: "a pcap file in Navtel's modified format; convert it with editcap -F pcapng",
  0x1c0001ac: "a capture in IXIA's lcap format; convert it with editcap -F pcapng",
  0x1c0001ab: "a capture in IXIA's lcap format; convert it with editcap -F pcapng",
};
const FOREIGN: Readonly<Record<number, string>> = {
  0x736e6f6f: "a snoop capture (RFC 1761); convert it with editcap -F pcapng",
  0x28b52ffd: "compressed with zstd; decompress it first",
  0x04224d18: "compressed with lz4; decompress it first",
  0xfd377a58: "compressed with xz; decompress it first",
  0x425a6839: "compressed with bzip2; decompress it first",
};

function swap32(value: number): number {
  return ((value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)) >>> 0;
}

/** The format of a window at the start of a file; undefined (and `window.error`) where it is not pcap. */
export function pcapFormat(window: CaptureWindow): CaptureFormat | undefined {
  const refuse = (message: string): undefined => void window.fail(window.offset, message);
  if (!window.fill(4)) {
    if (window.error) return undefined;
    return refuse(window.end === 0 ? "the file is empty" : "not a capture file: it is shorter than a file header");
  }
  const magic = window.view.getUint32(window.at);
  const little = swap32(magic) === PCAP_MAGIC_MICROSECONDS || swap32(magic) === PCAP_MAGIC_NANOSECONDS;
  const native = little ? swap32(magic) : magic;
  if (native !== PCAP_MAGIC_MICROSECONDS && native !== PCAP_MAGIC_NANOSECONDS) {
    if (magic >>> 16 === 0x1f8b) return refuse("compressed with gzip; decompress it first");
    const known = REFUSED[magic] ?? REFUSED[swap32(magic)] ?? FOREIGN[magic];
    return refuse(known ?? `not a pcap or pcapng file: it begins with 0x${magic.toString(16).padStart(8, "0")}`);
  }
  if (!window.fill(PCAP_HEADER_BYTES)) return refuse("the file ends inside its header");
  const { view, at } = window;
  const major = view.getUint16(at + 4, little);
  const minor = view.getUint16(at + 6, little);
  if (major !== 2) return refuse(`pcap version ${major}.${minor} is not supported, only 2.x`);
  const link = view.getUint32(at + 20, little);
  const fcsPresent = (link & 0x04000000) !== 0;
  const only: CaptureInterface = {
    linktype: link & 0xffff,
    snaplen: view.getUint32(at + 16, little),
    fcsBytes: fcsPresent ? (link >>> 28) * 2 : 0,
  };
  window.at += PCAP_HEADER_BYTES;
  // Before 2.3 the two lengths stood the other way round (libpcap, sf-pcap.c).
  const swapped = minor < 3;
  const unit = native === PCAP_MAGIC_NANOSECONDS ? 1 : 1000;
  return {
    interfaces: [only],
    next: (batch) => records(window, batch, little, unit, swapped, only.fcsBytes),
  };
}

function records(
  window: CaptureWindow,
  batch: CaptureBatch,
  little: boolean,
  unit: number,
  swapped: boolean,
  fcsBytes: number,
): number {
  const capacity = batch.capacity;
  const perSecond = 1_000_000_000 / unit;
  let count = 0;
  if (!window.fill(PCAP_RECORD_BYTES)) {
    const rest = window.end - window.at;
    if (rest > 0) window.fail(window.offset, `the file ends inside a packet's header: ${rest} of 16 bytes are there`);
    return 0;
  }
  // The window may move for the first packet, when nothing is delivered yet; for the others it must not.
  if (!wholeRecord(window, little, swapped)) return 0;
  const { view } = window;
  let at = window.at;
  const end = window.end;
  while (count < capacity && at + PCAP_RECORD_BYTES <= end) {
    const first = view.getUint32(at + 8, little);
    const second = view.getUint32(at + 12, little);
    const inFile = swapped ? second : first;
    if (inFile > MAX_CAPTURED || at + PCAP_RECORD_BYTES + inFile > end) break;
    let length = swapped ? first : second;
    if (length > 0x7fffffff) length = inFile;
    length = length > fcsBytes ? length - fcsBytes : length;
    let seconds = view.getUint32(at, little);
    let fraction = view.getUint32(at + 4, little);
    if (fraction >= perSecond) {
      seconds += Math.floor(fraction / perSecond);
      fraction %= perSecond;
    }
    batch.seconds[count] = seconds;
    batch.nanoseconds[count] = fraction * unit;
    batch.offset[count] = at + PCAP_RECORD_BYTES;
    batch.captured[count] = inFile < length ? inFile : length;
    batch.length[count] = length;
    batch.interface[count] = 0;
    count++;
    at += PCAP_RECORD_BYTES + inFile;
  }
  window.at = at;
  return count;
}

/** Bring the whole record at the window's start into it; false with an error where it is damaged or cut. */
function wholeRecord(window: CaptureWindow, little: boolean, swapped: boolean): boolean {
  const inFile = window.view.getUint32(window.at + (swapped ? 12 : 8), little);
  const offset = window.offset;
  if (inFile > MAX_CAPTURED)
    return window.fail(offset, `a packet of ${inFile} bytes, more than ${MAX_CAPTURED}: the file is damaged here`);
  if (window.fill(PCAP_RECORD_BYTES + inFile)) return true;
  const there = window.end - window.at - PCAP_RECORD_BYTES;
  return window.fail(offset, `the file ends inside a packet: ${there} of ${inFile} bytes are there`);
}

export interface PcapHeaderOptions {
  readonly nanoseconds?: boolean;
  readonly snaplen?: number;
  readonly linktype?: number;
}

/** The file header, little endian. */
export function pcapHeader(options: PcapHeaderOptions = {}): Uint8Array {
  const header = new Uint8Array(PCAP_HEADER_BYTES);
  writeLe32(header, 0, options.nanoseconds ? PCAP_MAGIC_NANOSECONDS : PCAP_MAGIC_MICROSECONDS);
  writeLe16(header, 4, 2);
  writeLe16(header, 6, 4);
  writeLe32(header, 16, options.snaplen ?? MAX_CAPTURED);
  writeLe32(header, 20, options.linktype ?? LINKTYPE_ETHERNET);
  return header;
}

/**
 * Write a record to `out[at]`, which has PCAP_RECORD_BYTES + captured bytes of room. `fraction` is what the header
 * promised: micro- or nanoseconds. Returns where the record ends.
 */
export function writePcapRecord(
  out: Uint8Array,
  at: number,
  seconds: number,
  fraction: number,
  bytes: Uint8Array,
  off: number,
  captured: number,
  length: number,
): number {
  writeLe32(out, at, seconds);
  writeLe32(out, at + 4, fraction);
  writeLe32(out, at + 8, captured);
  writeLe32(out, at + 12, length);
  return copyBytes(bytes, off, captured, out, at + PCAP_RECORD_BYTES);
}
