/** Frames with work left to the device, as a guest's TSO makes them. */
import { buildFrame, type FrameOptions } from "../../src/wire/builder.ts";
import { writeLe16, writeU16 } from "../../src/wire/bytes.ts";
import { pseudoIpv4, pseudoIpv6 } from "../../src/wire/checksum.ts";
import * as vnet from "../../src/wire/vnet.ts";

/** A GSO frame behind its virtio-net header, its checksum left to the device; `type` and `size` 0: only the checksum. */
export function gsoFrame(options: FrameOptions, type: number, size: number): Uint8Array {
  const frame = buildFrame(options);
  const bytes = new Uint8Array(vnet.VNET_HEADER_BYTES + frame.length);
  bytes.set(frame, vnet.VNET_HEADER_BYTES);
  const udp = options.udp !== undefined;
  const l3 = 14 + 4 * (options.vlans?.length ?? 0);
  const ipBytes = options.ip!.src.includes(":") ? 40 : 20;
  const l4 = l3 + ipBytes;
  bytes[vnet.VNET_FLAGS] = vnet.VNET_NEEDS_CSUM;
  bytes[vnet.VNET_GSO_TYPE] = type;
  writeLe16(bytes, vnet.VNET_GSO_SIZE, size);
  writeLe16(bytes, vnet.VNET_CSUM_START, l4);
  writeLe16(bytes, vnet.VNET_CSUM_OFFSET, udp ? 6 : 16);
  const at = vnet.VNET_HEADER_BYTES;
  const sum = (ipBytes === 20 ? pseudoIpv4 : pseudoIpv6)(bytes, at + l3, udp ? 17 : 6, frame.length - l4);
  writeU16(bytes, at + l4 + (udp ? 6 : 16), sum);
  return bytes;
}
