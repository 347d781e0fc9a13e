/**
 * A NetFlow version 5 decoder for tests, written from Cisco's tables and sharing nothing with the encoder. Throws on
 * what a strict collector refuses; dates are computed as collectors compute them.
 */

export interface V5Record {
  readonly src: string;
  readonly dst: string;
  readonly nextHop: string;
  readonly input: number;
  readonly output: number;
  readonly packets: number;
  readonly octets: number;
  readonly first: number;
  readonly last: number;
  readonly srcPort: number;
  readonly dstPort: number;
  readonly tcpFlags: number;
  readonly protocol: number;
  readonly tos: number;
  /** Unix time, ms: the header's instant minus how long before it, modulo 2^32 ms, the packet was. */
  readonly firstMs: number;
  readonly lastMs: number;
}

export interface V5Datagram {
  readonly count: number;
  readonly sysUptime: number;
  readonly unixMs: number;
  readonly sequence: number;
  readonly engineType: number;
  readonly engineId: number;
  readonly samplingMode: number;
  readonly samplingRate: number;
  readonly records: readonly V5Record[];
}

const address = (bytes: Buffer, at: number): string => [...bytes.subarray(at, at + 4)].join(".");

export function decodeV5(datagram: Uint8Array): V5Datagram {
  const bytes = Buffer.from(datagram);
  if (bytes.length < 24) throw new Error(`a header has 24 bytes, not ${bytes.length}`);
  if (bytes.readUInt16BE(0) !== 5) throw new Error(`version ${bytes.readUInt16BE(0)}`);
  const count = bytes.readUInt16BE(2);
  if (count < 1 || count > 30) throw new Error(`${count} records`);
  if (bytes.length !== 24 + 48 * count) throw new Error(`${count} records in ${bytes.length} bytes`);
  const sysUptime = bytes.readUInt32BE(4);
  const nanoseconds = bytes.readUInt32BE(12);
  if (nanoseconds >= 1e9) throw new Error(`${nanoseconds} ns in a second`);
  const unixMs = bytes.readUInt32BE(8) * 1000 + nanoseconds / 1e6;
  const records: V5Record[] = [];
  for (let at = 24; at < bytes.length; at += 48) {
    for (const [offset, length] of [
      [36, 1],
      [40, 8],
    ] as const)
      if (bytes.subarray(at + offset, at + offset + length).some((byte) => byte !== 0))
        throw new Error(`padding, AS or mask at ${offset} is not 0`);
    const first = bytes.readUInt32BE(at + 24);
    const last = bytes.readUInt32BE(at + 28);
    const before = (time: number): number => unixMs - ((sysUptime - time) >>> 0);
    records.push({
      src: address(bytes, at),
      dst: address(bytes, at + 4),
      nextHop: address(bytes, at + 8),
      input: bytes.readUInt16BE(at + 12),
      output: bytes.readUInt16BE(at + 14),
      packets: bytes.readUInt32BE(at + 16),
      octets: bytes.readUInt32BE(at + 20),
      first,
      last,
      srcPort: bytes.readUInt16BE(at + 32),
      dstPort: bytes.readUInt16BE(at + 34),
      tcpFlags: bytes[at + 37]!,
      protocol: bytes[at + 38]!,
      tos: bytes[at + 39]!,
      firstMs: before(first),
      lastMs: before(last),
    });
  }
  const sampling = bytes.readUInt16BE(22);
  return {
    count,
    sysUptime,
    unixMs,
    sequence: bytes.readUInt32BE(16),
    engineType: bytes[20]!,
    engineId: bytes[21]!,
    samplingMode: sampling >>> 14,
    samplingRate: sampling & 0x3fff,
    records,
  };
}
