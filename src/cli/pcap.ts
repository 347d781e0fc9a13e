/** The first frame of a capture file, for `weir trace --pcap`: pcap of either byte order and resolution, pcapng. */
import { UsageError } from "./errors.ts";

// Classic pcap magic numbers, as read little endian: µs and ns, same and swapped byte order.
const PCAP = new Map([
  [0xa1b2c3d4, true],
  [0xa1b23c4d, true],
  [0xd4c3b2a1, false],
  [0x4d3cb2a1, false],
]);
const PCAPNG_SECTION = 0x0a0d0d0a;
const PCAPNG_INTERFACE = 1;
const PCAPNG_SIMPLE = 3;
const PCAPNG_ENHANCED = 6;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
/** LINKTYPE_ETHERNET, tcpdump.org/linktypes.html. */
const ETHERNET = 1;

function need(condition: boolean, what: string): asserts condition {
  if (!condition) throw new UsageError(`--pcap: ${what}`);
}

/** Throws a UsageError on what is no capture, not Ethernet, or cut before its first frame ends. */
export function readFirstFrame(file: Uint8Array): Uint8Array {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  need(file.byteLength >= 28, "too short for a capture file");
  const magic = view.getUint32(0, true);
  const little = PCAP.get(magic);
  if (little !== undefined) {
    // 24 bytes of file header (link type at 20), then a record: captured length at 8, bytes at 16.
    need((view.getUint32(20, little) & 0xffff) === ETHERNET, "not Ethernet");
    need(file.byteLength >= 40, "no frame in the file");
    return frame(file, 40, view.getUint32(32, little));
  }
  need(magic === PCAPNG_SECTION, "neither pcap nor pcapng");
  return fromPcapng(file, view);
}

function fromPcapng(file: Uint8Array, view: DataView): Uint8Array {
  const little = view.getUint32(8, true) === BYTE_ORDER_MAGIC;
  const links: number[] = [];
  for (let at = 0; at + 12 <= file.byteLength;) {
    const type = view.getUint32(at, little);
    const length = view.getUint32(at + 4, little);
    need(length >= 12 && at + length <= file.byteLength, `the block at byte ${at} is cut`);
    if (type === PCAPNG_INTERFACE && length >= 20) links.push(view.getUint16(at + 8, little));
    if (type === PCAPNG_SIMPLE || type === PCAPNG_ENHANCED) {
      const simple = type === PCAPNG_SIMPLE;
      need(length >= (simple ? 16 : 32), `the block at byte ${at} is cut`);
      const link = links[simple ? 0 : view.getUint32(at + 8, little)];
      need(link === ETHERNET, "the first frame is not Ethernet");
      const captured = simple ? view.getUint32(at + 8, little) : view.getUint32(at + 20, little);
      return frame(file, at + (simple ? 12 : 28), Math.min(captured, length));
    }
    at += (length + 3) & ~3;
  }
  throw new UsageError("--pcap: no frame in the file");
}

function frame(file: Uint8Array, offset: number, length: number): Uint8Array {
  need(offset + length <= file.byteLength, "the first frame is cut");
  return file.subarray(offset, offset + length);
}
