/**
 * The process that captures. libpcap comes through the npm package `pcap`, whose native part must not run in a worker
 * thread (it leaves an open handle behind, and Node ends the whole process for it) and is not to be trusted with a
 * switch; so it has a process of its own and writes what it catches into a pipe.
 *
 * ```
 * RECORD   0 kind u32   4 captured u32   8 length u32   12 lost u32 (so far)   16 bytes, padded to a multiple of 8
 * kind 1 = frame, 2 = a sign of life without bytes, 3 = the end; the bytes say why
 * ```
 */
export const RECORD_BYTES = 16;
export const RECORD_FRAME = 1;
export const RECORD_ALIVE = 2;
export const RECORD_FAILED = 3;
/** Exit status after a RECORD_FAILED. */
export const HELPER_FAILED = 1;
/** Longest frame that is captured: a GSO frame, with headers. */
export const SNAPLEN = 262_144;

/**
 * Runs in that process: given to `node -e` as text, so it refers to nothing but its arguments. `load` is `require`,
 * `path` the pcap package.
 */
export function captureLoop(load: (name: string) => any, path: string, device: string, filter: string): void {
  const fs = load("node:fs");
  const OUT = 3;
  const LIMIT = 8 * 1024 * 1024;
  const CHUNK = 64 * 1024;
  let waiting: Uint8Array[] = [];
  let bytes = 0;
  let lost = 0;
  let kernelLost = 0;
  let isScheduled = false;

  /** Write what is waiting as far as the pipe takes it; the pipe never makes us wait. */
  function flush(): void {
    isScheduled = false;
    while (waiting.length > 0) {
      let count = 1;
      for (let size = waiting[0]!.length; count < waiting.length && size < CHUNK; count++)
        size += waiting[count]!.length;
      const chunk = count > 1 ? Buffer.concat(waiting.slice(0, count)) : waiting[0]!;
      let written = 0;
      try {
        written = fs.writeSync(OUT, chunk);
      } catch (error: any) {
        // The reader is gone, and so are we.
        if (error.code !== "EAGAIN") process.exit(0);
      }
      bytes -= written;
      waiting = written < chunk.length ? [chunk.subarray(written), ...waiting.slice(count)] : waiting.slice(count);
      if (written < chunk.length) return;
    }
  }

  function put(kind: number, data: Uint8Array, captured: number, length: number): void {
    const size = 16 + ((captured + 7) & ~7);
    if (bytes + size > LIMIT) {
      lost++;
      return;
    }
    const record = Buffer.alloc(size);
    record.writeUInt32LE(kind, 0);
    record.writeUInt32LE(captured, 4);
    record.writeUInt32LE(length, 8);
    record.writeUInt32LE(lost + kernelLost, 12);
    record.set(data.subarray(0, captured), 16);
    waiting.push(record);
    bytes += size;
  }

  try {
    const pcap = load(path);
    // Its warning is "no IPv4 address on the device", which is normal for a switch.
    pcap.warningHandler = () => {};
    const session = pcap.createSession(device, { filter, snap_length: 262_144, buffer_timeout: 10 });
    if (session.link_type !== "LINKTYPE_ETHERNET") throw new Error(`${device} is not an Ethernet device`);
    session.on("packet", (packet: { buf: Uint8Array; header: Buffer }) => {
      // struct pcap_pkthdr as the package hands it on: seconds, microseconds, captured, length, 32 bits each.
      put(1, packet.buf, packet.header.readUInt32LE(8), packet.header.readUInt32LE(12));
      if (!isScheduled) setImmediate(flush);
      isScheduled = true;
    });
    setInterval(() => {
      kernelLost = session.stats().ps_drop;
      put(2, new Uint8Array(), 0, 0);
      flush();
    }, 250);
    put(2, new Uint8Array(), 0, 0);
    flush();
  } catch (error: any) {
    const text = Buffer.from(String(error?.message ?? error).slice(0, 1000));
    put(3, text, text.length, 0);
    flush();
    process.exit(1);
  }
}
