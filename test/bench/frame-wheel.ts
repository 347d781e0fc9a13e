/**
 * A port that receives without end: frames of many flows, in an order in which neighbours are strangers. They are written
 * into a small ring, as a device writes them: the engine finds the frame in the cache, but not its flow.
 */
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
const RING = 1024;
/** From one flow to the next, a prime. */
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
  const bytes = new Uint8Array(RING * STRIDE);
  for (let slot = 0; slot < RING; slot++) bytes.set(one.subarray(0, FRAME_BYTES), slot * STRIDE + HEADROOM);
  let slot = 0;
  let flow = 0;
  return {
    ...quietPort(),
    receive(batch: PacketBatch): number {
      batch.bytes = bytes;
      batch.vnet = false;
      for (let n = 0; n < batch.capacity; n++) {
        const at = slot * STRIDE + HEADROOM;
        writeU16(bytes, at + UDP_PORTS, flow & 0xffff);
        writeU16(bytes, at + UDP_PORTS + 2, flow >>> 16);
        batch.offset[n] = at;
        batch.captured[n] = FRAME_BYTES;
        batch.length[n] = FRAME_BYTES;
        batch.timeNs[n] = 0;
        batch.gsoSize[n] = 0;
        batch.gsoHeaders[n] = 0;
        slot = (slot + 1) & (RING - 1);
        flow = (flow + STEP) % flows;
      }
      return batch.capacity;
    },
  };
}
