/**
 * Reading pcapng capture files (draft-ietf-opsawg-pcapng): any number of sections and interfaces, both byte orders, all
 * time resolutions and offsets. Blocks of other kinds are skipped.
 *
 * ```
 * block   0 type 4 | 4 length 4 | 8 body | length 4 once more               a multiple of 4 bytes
 * SHB     8 byte-order magic 4 | 12 major 2, minor 2 | 16 section length 8 | 24 options
 * IDB     8 link type 2, reserved 2 | 12 snaplen 4 | 16 options
 * EPB     8 interface 4 | 12 time, high 4 | 16 low 4 | 20 captured 4 | 24 original length 4 | 28 bytes, options
 * PB      8 interface 2, drops 2 | 12 … as EPB                              obsolete
 * SPB     8 original length 4 | 12 bytes                                    of interface 0, without a time
 * option  0 code 2 | 2 length 2 | 4 value, padded to 4 bytes                the code 0 ends them
 * ```
 */
import { MAX_CAPTURED, MAX_NEEDED } from "./capture-window.ts";
import type { CaptureBatch, CaptureFormat, CaptureInterface, CaptureWindow } from "./capture-window.ts";

export const BLOCK_SECTION = 0x0a0d0d0a;
export const BLOCK_INTERFACE = 1;
export const BLOCK_PACKET = 2;
export const BLOCK_SIMPLE_PACKET = 3;
export const BLOCK_INTERFACE_STATISTICS = 5;
export const BLOCK_ENHANCED_PACKET = 6;
export const BYTE_ORDER_MAGIC = 0x1a2b3c4d;

export const OPTION_END = 0;
export const OPTION_COMMENT = 1;
export const OPTION_IF_NAME = 2;
export const OPTION_IF_TSRESOL = 9;
export const OPTION_IF_FCSLEN = 13;
export const OPTION_IF_TSOFFSET = 14;

const BLOCK_BYTES = 12;
const SECTION_BYTES = 28;
const INTERFACE_BYTES = 20;
const PACKET_BYTES = 32;
const SIMPLE_PACKET_BYTES = 16;
const PACKET_DATA = 28;
const SIMPLE_PACKET_DATA = 12;

/** More would be a file made to fill memory. */
const MAX_INTERFACES = 65536;
const TWO_32 = 4294967296;

interface Clock extends CaptureInterface {
  /** Units in a second where that is a power of ten up to 10^9, else 0: then `units` has it. */
  readonly perSecond: number;
  readonly units: bigint;
  /** Seconds to add. */
  readonly offset: number;
}

/** The format of a window at the start of a file; undefined where the file does not begin with a section header. */
export function pcapngFormat(window: CaptureWindow): CaptureFormat | undefined {
  if (!window.fill(4) || window.view.getUint32(window.at) !== BLOCK_SECTION) return undefined;
  return new Pcapng(window);
}

class Pcapng implements CaptureFormat {
  readonly interfaces: Clock[] = [];
  private readonly window: CaptureWindow;
  private little = true;
  /** Where the interfaces of this section begin in `interfaces`. */
  private first = 0;
  /** The time delivered last, and the clock and count that it came from. */
  private lastSeconds = 0;
  private lastNanoseconds = 0;
  private lastClock: Clock | undefined = undefined;
  private lastHigh = 0;
  private lastLow = 0;

  constructor(window: CaptureWindow) {
    this.window = window;
  }

  next(batch: CaptureBatch): number {
    const { window } = this;
    let count = 0;
    while (count < batch.capacity) {
      // Packets already in the batch stand in the window: it may not move before they are taken.
      if (window.end - window.at < BLOCK_BYTES) {
        if (count > 0 || !this.header()) return count;
      }
      const type = window.view.getUint32(window.at, this.little);
      if (type === BLOCK_SECTION) this.little = window.view.getUint32(window.at + 8, true) === BYTE_ORDER_MAGIC;
      const length = window.view.getUint32(window.at + 4, this.little);
      const packet = type === BLOCK_ENHANCED_PACKET || type === BLOCK_SIMPLE_PACKET || type === BLOCK_PACKET;
      const known = packet || type === BLOCK_SECTION || type === BLOCK_INTERFACE;
      if (!this.plausible(type, length, known)) return count;
      if (window.end - window.at < length) {
        if (count > 0) return count;
        if (!this.bring(length, known)) return 0;
        if (!known) continue;
      }
      if (window.view.getUint32(window.at + length - 4, this.little) !== length) {
        window.fail(window.offset, `a block's two lengths are not the same: the file is damaged here`);
        return count;
      }
      if (packet) {
        if (!this.packet(type, length, batch, count)) return count;
        count++;
      } else if (known && !(type === BLOCK_SECTION ? this.section() : this.interface(length))) return count;
      window.at += length;
    }
    return count;
  }

  /** Bring the next block's first 12 bytes into the window; false at the end of the file. */
  private header(): boolean {
    const { window } = this;
    if (window.fill(BLOCK_BYTES)) return true;
    const rest = window.end - window.at;
    if (rest > 0) window.fail(window.offset, `the file ends inside a block's header: ${rest} of 12 bytes are there`);
    return false;
  }

  private plausible(type: number, length: number, known: boolean): boolean {
    const { window } = this;
    let least = BLOCK_BYTES;
    if (type === BLOCK_SECTION) {
      const magic = window.view.getUint32(window.at + 8, this.little);
      if (magic !== BYTE_ORDER_MAGIC)
        return window.fail(window.offset, `a section header without byte-order magic: 0x${magic.toString(16)}`);
      least = SECTION_BYTES;
    } else if (type === BLOCK_INTERFACE) least = INTERFACE_BYTES;
    else if (type === BLOCK_SIMPLE_PACKET) least = SIMPLE_PACKET_BYTES;
    else if (known) least = PACKET_BYTES;
    if (length >= least && length % 4 === 0 && (!known || length <= MAX_NEEDED)) return true;
    return window.fail(
      window.offset,
      `a block of type ${type} and ${length} bytes cannot be: the file is damaged here`,
    );
  }

  /** Bring a block into the window, or move behind it where it is of no use. */
  private bring(length: number, known: boolean): boolean {
    const { window } = this;
    const offset = window.offset;
    if (known ? window.fill(length) : window.skip(length)) return true;
    return window.fail(offset, `the file ends inside a block of ${length} bytes`);
  }

  private section(): boolean {
    const { window } = this;
    const major = window.view.getUint16(window.at + 12, this.little);
    if (major !== 1) return window.fail(window.offset, `pcapng version ${major} is not supported, only 1`);
    this.first = this.interfaces.length;
    return true;
  }

  private interface(length: number): boolean {
    const { window, little } = this;
    const { view, at } = window;
    if (this.interfaces.length === MAX_INTERFACES)
      return window.fail(window.offset, `more than ${MAX_INTERFACES} interfaces`);
    let name: string | undefined;
    let fcsBytes = 0;
    let resolution = 6;
    let offset = 0;
    const end = at + length - 4;
    for (let option = at + 16; option + 4 <= end;) {
      const code = view.getUint16(option, little);
      const bytes = view.getUint16(option + 2, little);
      const value = option + 4;
      if (code === OPTION_END || value + bytes > end) break;
      if (code === OPTION_IF_NAME) name = new TextDecoder().decode(window.bytes.subarray(value, value + bytes));
      else if (code === OPTION_IF_TSRESOL && bytes === 1) resolution = view.getUint8(value);
      else if (code === OPTION_IF_TSOFFSET && bytes === 8) offset = Number(view.getBigInt64(value, little));
      // In bytes as Wireshark reads it, though the text says bits.
      else if (code === OPTION_IF_FCSLEN && bytes === 1)
        fcsBytes = view.getUint8(value) <= 8 ? view.getUint8(value) : 4;
      option = value + ((bytes + 3) & ~3);
    }
    const exponent = resolution & 0x7f;
    const decimal = (resolution & 0x80) === 0;
    this.interfaces.push({
      linktype: view.getUint16(at + 8, little),
      snaplen: view.getUint32(at + 12, little),
      fcsBytes,
      ...(name === undefined ? {} : { name }),
      perSecond: decimal && exponent <= 9 ? 10 ** exponent : 0,
      units: (decimal ? 10n : 2n) ** BigInt(exponent),
      offset,
    });
    return true;
  }

  private packet(type: number, blockLength: number, batch: CaptureBatch, n: number): boolean {
    const { window, little } = this;
    const { view, at } = window;
    const simple = type === BLOCK_SIMPLE_PACKET;
    let index = this.first;
    if (type === BLOCK_ENHANCED_PACKET) index += view.getUint32(at + 8, little);
    else if (type === BLOCK_PACKET) index += view.getUint16(at + 8, little);
    if (index >= this.interfaces.length)
      return window.fail(
        window.offset,
        `a packet of interface ${index - this.first}, which the section does not describe`,
      );
    const clock = this.interfaces[index]!;

    let captured: number;
    let length: number;
    if (simple) {
      length = view.getUint32(at + 8, little);
      const room = blockLength - SIMPLE_PACKET_BYTES;
      captured = Math.min(length, room, clock.snaplen || room);
    } else {
      captured = view.getUint32(at + 20, little);
      length = view.getUint32(at + 24, little);
      if (captured > blockLength - PACKET_BYTES)
        return window.fail(
          window.offset,
          `a packet of ${captured} bytes in a block of ${blockLength}: the file is damaged here`,
        );
    }
    if (captured > MAX_CAPTURED)
      return window.fail(
        window.offset,
        `a packet of ${captured} bytes, more than ${MAX_CAPTURED}: the file is damaged here`,
      );
    if (length > 0x7fffffff) length = captured;
    if (length > clock.fcsBytes) length -= clock.fcsBytes;
    if (!simple) this.time(view.getUint32(at + 12, little), view.getUint32(at + 16, little), clock);
    batch.seconds[n] = this.lastSeconds;
    batch.nanoseconds[n] = this.lastNanoseconds;
    batch.offset[n] = at + (simple ? SIMPLE_PACKET_DATA : PACKET_DATA);
    batch.captured[n] = captured < length ? captured : length;
    batch.length[n] = length;
    batch.interface[n] = index;
    return true;
  }

  /** Time of a packet; a simple packet block, which has none, takes that of the packet before it. */
  private time(high: number, low: number, clock: Clock): void {
    const unit = clock.perSecond;
    if (unit === 0) return this.oddTime(high, low, clock);
    const nanosecondsPerUnit = 1_000_000_000 / unit;
    if (clock === this.lastClock) {
      // Mostly the second is that of the packet before, and the distance in it is exact without a division.
      const distance = (high - this.lastHigh) * TWO_32 + (low - this.lastLow);
      const nanoseconds = this.lastNanoseconds + distance * nanosecondsPerUnit;
      if (nanoseconds >= 0 && nanoseconds < 1_000_000_000) {
        this.lastHigh = high;
        this.lastLow = low;
        this.lastNanoseconds = nanoseconds;
        return;
      }
    }
    this.lastClock = clock;
    this.lastHigh = high;
    this.lastLow = low;
    // Long division of 64 bits in digits of 32, 16 and 16 bits: each step stays exact below 2^53.
    let quotient = Math.floor(high / unit);
    let rest = (high - quotient * unit) * 65536 + (low >>> 16);
    let digit = Math.floor(rest / unit);
    quotient = quotient * 65536 + digit;
    rest = (rest - digit * unit) * 65536 + (low & 0xffff);
    digit = Math.floor(rest / unit);
    this.lastSeconds = quotient * 65536 + digit + clock.offset;
    this.lastNanoseconds = (rest - digit * unit) * nanosecondsPerUnit;
  }

  /** Binary resolutions, and decimal ones below a nanosecond: rare enough for BigInt. */
  private oddTime(high: number, low: number, clock: Clock): void {
    this.lastClock = undefined;
    const value = BigInt(high) * BigInt(TWO_32) + BigInt(low);
    this.lastSeconds = Number(value / clock.units) + clock.offset;
    this.lastNanoseconds = Number(((value % clock.units) * 1_000_000_000n) / clock.units);
  }
}
