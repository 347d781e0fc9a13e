/** Frames on their way through a switch under test: where they went in, what may come out, told from outside. */
import type { PortConfig } from "../../src/config/config.ts";
import type { VlanConfig } from "../../src/flow/attachment.ts";
import type { MemoryChannel, MemoryFrame } from "../../src/ports/memory/index.ts";
import { formatMacWords } from "../../src/wire/address.ts";
import { buildFrame } from "../../src/wire/builder.ts";
import type { Made } from "./arbitraries.ts";
import { egressBytes, equalBytes, ingressVlan, isReserved, tagsOf } from "./vlan-model.ts";

/** A frame that was put in, and where it came out. */
export interface Sent {
  readonly from: Place;
  readonly bytes: Uint8Array;
  readonly packets: number;
  readonly gsoHeaders: number;
  readonly to: Set<Place>;
}

/** A port as the outside sees it. */
export interface Place {
  readonly name: string;
  readonly channels: { readonly channel: MemoryChannel; injected: number }[];
  /** Configurations that may be in force; [] = the port is not there. */
  mayBe: PortConfig[];
  no: number;
  txPackets: number;
  txBytes: number;
  rate: number;
  settled: number;
  pool: number;
  samples: number;
  notices: number;
}

export function createPlace(name: string): Place {
  return {
    name,
    channels: [],
    mayBe: [],
    no: 0,
    txPackets: 0,
    txBytes: 0,
    rate: 0,
    settled: 0,
    pool: 0,
    samples: 0,
    notices: 0,
  };
}

/** May this frame leave `to` as `out`, by some configuration that may be in force? */
export function isAllowed({ from, bytes }: Sent, to: Place, out: Uint8Array): boolean {
  const tags = tagsOf(bytes);
  if (from === to || tags === undefined || isReserved(bytes) || (bytes[6]! & 1) === 1) return false;
  const vids = vlansOf(from).map((vlan) => ingressVlan(vlan, tags));
  return vids.some(
    (vid) =>
      vid !== undefined &&
      vlansOf(to).some((vlan) => {
        const expected = egressBytes(bytes, tags, vid, vlan);
        return expected !== undefined && equalBytes(expected, out);
      }),
  );
}

export function describePassage(sent: Sent | undefined, to: Place, out: Uint8Array): string {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes.subarray(0, 40)).toString("hex");
  if (sent === undefined) return hex(out);
  const config = (place: Place): string => JSON.stringify(vlansOf(place));
  return `${hex(sent.bytes)} from ${sent.from.name} ${config(sent.from)} left as ${hex(out)} by ${config(to)}`;
}

/** Wire packets of a frame: a super-packet is what it is cut into. */
export function packetsOf(length: number, gsoSize: number, gsoHeaders: number): number {
  return gsoSize === 0 ? 1 : Math.max(1, Math.ceil((length - gsoHeaders) / gsoSize));
}

export function vlansOf(place: Place): (VlanConfig | undefined)[] {
  return place.mayBe.map((config) => config.vlan);
}

export function waiting(pending: readonly MemoryFrame[]): number {
  let packets = 0;
  for (const { bytes, length = bytes.length, gsoSize = 0, gsoHeaders = 0 } of pending)
    packets += packetsOf(length, gsoSize, gsoHeaders);
  return packets;
}

/** One of a flood: every frame asks for a flow, or a rule, of its own. */
export function burst(vary: "mac" | "port" | "vid", n: number): Made {
  const ethSrc = vary === "mac" ? formatMacWords(0x02aa, n) : undefined;
  const bytes = buildFrame({
    ...(ethSrc !== undefined && { ethSrc }),
    ...(vary === "vid" && { vlans: [{ vid: 1 + n }] }),
    ip: { src: "10.9.0.1", dst: "10.9.0.2" },
    udp: { src: 1000, dst: vary === "port" ? 1 + n : 53 },
    payload: 8,
  });
  return { bytes, length: bytes.length, gsoSize: 0, gsoHeaders: 0, vnet: false, isSound: true };
}
