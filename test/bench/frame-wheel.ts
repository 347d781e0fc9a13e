/** A port that receives without end: frames of many flows from memory, in an order that no cache likes. */
import type { PacketBatch, Port, PortStatus } from "../../src/ports/port.ts";
import { buildFrame } from "../../src/wire/builder.ts";
import { writeU16 } from "../../src/wire/bytes.ts";
import { ETH_HEADER_BYTES } from "../../src/wire/ethernet.ts";
import { IPV4_HEADER_BYTES } from "../../src/wire/ipv4.ts";

const FRAME_BYTES = 60;
/** Room for tag operations before each frame, and whole cache lines. */
const STRIDE = 128;
const HEADROOM = 32;
const UDP_PORTS = ETH_HEADER_BYTES + IPV4_HEADER_BYTES;
/** Step between flows: a prime, so that neighbours in time are strangers in memory. */
const STEP = 7919;

const STATUS: PortStatus = {
  state: "up",
  mtu: 1500,
  speed: 0,
  ifIndex: 0,
  lost: { ring: 0, nic: 0, tap: 0, qdisc: 0 },
};

/** Takes everything, receives nothing. */
export function quietPort(): Port {
  return { receive: () => 0, transmit: () => true, flush() {}, status: () => STATUS, close() {} };
}

export function createFrameWheel(flows: number): Port {
  const one = buildFrame({
    ethSrc: "52:54:00:00:00:01",
    ethDst: "52:54:00:00:00:02",
    ip: { src: "10.0.0.1", dst: "10.0.0.2" },
    udp: { src: 1, dst: 2 },
    pad: true,
  });
  const bytes = new Uint8Array(flows * STRIDE);
  for (let flow = 0; flow < flows; flow++) {
    const at = flow * STRIDE + HEADROOM;
    bytes.set(one.subarray(0, FRAME_BYTES), at);
    writeU16(bytes, at + UDP_PORTS, flow % 65536);
    writeU16(bytes, at + UDP_PORTS + 2, flow / 65536);
  }
  let flow = 0;
  return {
    ...quietPort(),
    receive(batch: PacketBatch): number {
      batch.bytes = bytes;
      batch.vnet = false;
      for (let n = 0; n < batch.capacity; n++) {
        batch.offset[n] = flow * STRIDE + HEADROOM;
        batch.captured[n] = FRAME_BYTES;
        batch.length[n] = FRAME_BYTES;
        batch.timeNs[n] = 0;
        batch.gsoSize[n] = 0;
        batch.gsoHeaders[n] = 0;
        flow = (flow + STEP) % flows;
      }
      return batch.capacity;
    },
  };
}
