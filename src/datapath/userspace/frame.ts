/** The frame in hand: where it lies and what it counts. One object, filled again for every frame; never kept. */
export interface Frame {
  /** Number of the port it came in by. */
  port: number;
  bytes: Uint8Array;
  offset: number;
  /** Bytes that are there, and bytes that were on the wire (without FCS). */
  captured: number;
  length: number;
  /** When it came: ns of the bridge's clock, and the same cut into words for the slot. */
  timeNs: number;
  timeLow: number;
  timeHigh: number;
  /** GSO segment size and the headers that each segment repeats; 0 for an ordinary frame. */
  gsoSize: number;
  gsoHeaders: number;
  /** A virtio-net header stands before it. */
  vnet: boolean;
  /** What it counts: wire packets, their frame bytes, their IP total lengths. */
  packets: number;
  wireBytes: number;
  l3Bytes: number;
}

export function createFrame(): Frame {
  return {
    port: 0,
    bytes: new Uint8Array(0),
    offset: 0,
    captured: 0,
    length: 0,
    timeNs: 0.5, // a double from the start, so that the field is never a small integer
    timeLow: 0,
    timeHigh: 0,
    gsoSize: 0,
    gsoHeaders: 0,
    vnet: false,
    packets: 1,
    wireBytes: 0,
    l3Bytes: 0,
  };
}

/**
 * Fill packets, wireBytes and l3Bytes: a GSO super-packet counts as what it becomes on the wire, every segment with its
 * own headers. `l3Bytes` and `l3Offset` are the parser's, for the super-packet as it stands.
 */
export function measure(frame: Frame, l3Bytes: number, l3Offset: number): void {
  if (frame.gsoSize === 0) {
    frame.packets = 1;
    frame.wireBytes = frame.length;
    frame.l3Bytes = l3Bytes;
    return;
  }
  const packets = Math.max(1, Math.ceil((frame.length - frame.gsoHeaders) / frame.gsoSize));
  frame.packets = packets;
  frame.wireBytes = frame.length + (packets - 1) * frame.gsoHeaders;
  frame.l3Bytes = l3Bytes === 0 ? 0 : l3Bytes + (packets - 1) * (frame.gsoHeaders - l3Offset);
}
