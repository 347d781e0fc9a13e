/**
 * Reading capture files: pcap and pcapng, told apart by their first bytes, in bounded memory and without an object per
 * packet.
 *
 *     const reader = openCaptureFile("trace.pcapng");
 *     const batch = createCaptureBatch(256);
 *     for (let n; (n = reader.read(batch)) > 0; ) for (let i = 0; i < n; i++) use(batch.bytes, batch.offset[i], …);
 *     if (reader.error) …                      // everything before the damage was delivered
 *     reader.close();
 */
import { closeSync, openSync, readSync } from "node:fs";
import { CaptureWindow } from "./capture-window.ts";
import type { ByteSource, CaptureBatch, CaptureError, CaptureInterface } from "./capture-window.ts";
import { linktypeName, LINKTYPE_ETHERNET } from "./linktype.ts";
import { pcapFormat } from "./pcap.ts";
import { pcapngFormat } from "./pcapng.ts";

export { createCaptureBatch } from "./capture-window.ts";
export type { ByteSource, CaptureBatch, CaptureError, CaptureInterface } from "./capture-window.ts";

export interface CaptureReader {
  readonly format: "pcap" | "pcapng";
  readonly interfaces: readonly CaptureInterface[];
  /** Why reading ended before the end of the file; undefined while all is well. */
  readonly error: CaptureError | undefined;
  /** Bytes of the file that were read into packets so far. */
  readonly position: number;
  /** Fill the batch from index 0; the number of packets, 0 = no more (look at `error`). */
  read(batch: CaptureBatch): number;
  close(): void;
}

export interface CaptureOptions {
  /** Refuse packets of any link type but Ethernet, by name (default). */
  readonly anyLinktype?: boolean;
  /** Bytes read at once; default 256 KiB, which stays in a core's cache. */
  readonly chunkBytes?: number;
}

const DEFAULT_CHUNK = 256 << 10;

/** Throws what the system says (ENOENT, EACCES, …); what the file holds is told by `error` of the reader. */
export function openCaptureFile(path: string, options: CaptureOptions = {}): CaptureReader {
  return readCapture(fileSource(path), options);
}

/** A reader over any source. The first bytes are read at once. */
export function readCapture(source: ByteSource, options: CaptureOptions = {}): CaptureReader {
  const window = new CaptureWindow(source, Math.max(4096, options.chunkBytes ?? DEFAULT_CHUNK));
  const pcapng = pcapngFormat(window);
  const format = pcapng ?? pcapFormat(window);
  const check = options.anyLinktype !== true;
  const reader: CaptureReader = {
    format: pcapng ? "pcapng" : "pcap",
    interfaces: format?.interfaces ?? [],
    get error() {
      return window.error;
    },
    get position() {
      return window.offset;
    },
    read(batch) {
      if (format === undefined || window.error !== undefined) return 0;
      const count = format.next(batch);
      batch.bytes = window.bytes;
      return check ? ethernetOnly(reader, window, batch, count) : count;
    },
    close: () => window.close(),
  };
  return reader;
}

/** Number of packets before the first one of another link type, which becomes the error. */
function ethernetOnly(reader: CaptureReader, window: CaptureWindow, batch: CaptureBatch, count: number): number {
  if (reader.interfaces.every(({ linktype }) => linktype === LINKTYPE_ETHERNET)) return count;
  for (let i = 0; i < count; i++) {
    const { linktype } = reader.interfaces[batch.interface[i]!]!;
    if (linktype === LINKTYPE_ETHERNET) continue;
    window.error = {
      offset: window.base + batch.offset[i]!,
      message: `packets of link type ${linktypeName(linktype)} are not supported, only of ${linktypeName(LINKTYPE_ETHERNET)}`,
    };
    return i;
  }
  return count;
}

export function fileSource(path: string): ByteSource {
  const fd = openSync(path, "r");
  return {
    read: (into, at, length) => readSync(fd, into, at, length, null),
    close: () => closeSync(fd),
  };
}

export function memorySource(bytes: Uint8Array): ByteSource {
  let from = 0;
  return {
    read(into, at, length) {
      const part = bytes.subarray(from, from + length);
      into.set(part, at);
      from += part.length;
      return part.length;
    },
    close: () => {},
  };
}
