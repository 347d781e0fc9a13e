/**
 * Counter records from port counters. Octets of interfaces count the FCS, as RFC 3635 section 3.2.4 has it for Ethernet
 * and as flow samples do; a counter that is not measured is all ones, a gauge that is not known is 0.
 *
 * Sources: "sFlow Version 5" section 5 (if_counters, ethernet_counters); "sFlow Host Structures" (2000 to 2104);
 * "sFlow OpenFlow Structures" (1004, 1005); host-sflow's sflow.h for 2207.
 */
import { DROP_CPU_BACKLOG, DROP_REASONS } from "../../src/flow/disposition.ts";
import * as C from "../../src/shm/counters.ts";
import type { CounterSnapshot } from "../../src/shm/counters.ts";
import type { BridgeInfo, HostInfo, PortInfo } from "../../src/telemetry/exporter.ts";
import { FCS_BYTES, SOURCE_PHYSICAL } from "./encode.ts";
import type { Xdr } from "./xdr.ts";

export const COUNTERS_INTERFACE = 1;
export const COUNTERS_ETHERNET = 2;
export const COUNTERS_OPENFLOW_PORT = 1004;
export const COUNTERS_PORT_NAME = 1005;
export const COUNTERS_HOST = 2000;
export const COUNTERS_ADAPTERS = 2001;
export const COUNTERS_PARENT = 2002;
export const COUNTERS_VIRTUAL_NODE = 2100;
export const COUNTERS_VIRTUAL_NET = 2104;
export const COUNTERS_OVS_DATAPATH = 2207;

/** The host's own data source, as host-sflow numbers it. */
export const HOST_INDEX = 1;

const UNKNOWN = 0xffffffff;
const IF_TYPE_ETHERNET = 6;
const FULL_DUPLEX = 1;
const ADMIN_UP = 1;
const OPER_UP = 2;
/** TruthValue of RFC 2579: a switch port takes frames for everybody. */
const PROMISCUOUS = 1;
/** Adapters that fit into a datagram beside a host's other records. */
const MAX_ADAPTERS = 48;
const ETHERNET_COUNTERS = 13;
const ETHERNET_MAC_RECEIVE_ERRORS = 11;

/** Reasons that mean "could not be read" (ifInErrors); the others are discards. */
const ERROR_REASONS = DROP_REASONS.flatMap(({ name }, index) =>
  /_parsing$|^pkt_too_small$|^ipv6_bad_exthdr$/.test(name) ? [index] : [],
);

export function writeInterface(x: Xdr, port: PortInfo, snapshot: CounterSnapshot): void {
  const of = (counter: number): number => snapshot.get(port.no, counter);
  const inErrors = ERROR_REASONS.reduce((sum, reason) => sum + of(C.C_DROP_REASON + reason), 0);
  const mark = x.open(COUNTERS_INTERFACE);
  x.u32(port.ifIndex);
  x.u32(IF_TYPE_ETHERNET);
  x.u64(port.speed);
  x.u32(FULL_DUPLEX);
  x.u32((port.enabled === false ? 0 : ADMIN_UP) | (port.up ? OPER_UP : 0));
  x.u64(of(C.C_RX_BYTES) + FCS_BYTES * of(C.C_RX_PACKETS));
  x.u32(of(C.C_RX_PACKETS) - of(C.C_RX_MULTICAST) - of(C.C_RX_BROADCAST));
  x.u32(of(C.C_RX_MULTICAST));
  x.u32(of(C.C_RX_BROADCAST));
  x.u32(of(C.C_DROPPED) - inErrors + of(C.C_LOST_RING));
  x.u32(inErrors);
  x.u32(UNKNOWN); // ifInUnknownProtos
  x.u64(of(C.C_TX_BYTES) + FCS_BYTES * of(C.C_TX_PACKETS));
  x.u32(of(C.C_TX_PACKETS) - of(C.C_TX_MULTICAST) - of(C.C_TX_BROADCAST));
  x.u32(of(C.C_TX_MULTICAST));
  x.u32(of(C.C_TX_BROADCAST));
  x.u32(of(C.C_TX_FAILED) + of(C.C_LOST_QDISC) + of(C.C_LOST_TAP));
  x.u32(UNKNOWN); // ifOutErrors
  x.u32(PROMISCUOUS);
  x.close(mark);
}

/** dot3Stats of RFC 3635: what the NIC lost before us is known, and nothing else. */
export function writeEthernet(x: Xdr, port: PortInfo, snapshot: CounterSnapshot): void {
  const mark = x.open(COUNTERS_ETHERNET);
  for (let n = 0; n < ETHERNET_COUNTERS; n++)
    x.u32(n === ETHERNET_MAC_RECEIVE_ERRORS ? snapshot.get(port.no, C.C_LOST_NIC) : UNKNOWN);
  x.close(mark);
}

export function writeOpenFlowPort(x: Xdr, port: PortInfo, bridge: BridgeInfo): void {
  const mark = x.open(COUNTERS_OPENFLOW_PORT);
  x.fixed(hexBytes(bridge.datapathId, 8), 8);
  x.u32(port.no);
  x.close(mark);
}

export function writePortName(x: Xdr, port: PortInfo): void {
  const mark = x.open(COUNTERS_PORT_NAME);
  x.string(port.name, 255);
  x.close(mark);
}

/** Hits are frames that needed no answer of the control thread; masks hit are not counted. */
export function writeDatapath(x: Xdr, bridge: BridgeInfo, snapshot: CounterSnapshot): void {
  let [packets, misses, lost, flows] = [0, 0, 0, 0];
  for (let port = 0; port < snapshot.ports; port++) {
    packets += snapshot.get(port, C.C_RX_PACKETS);
    misses += snapshot.get(port, C.C_MISSES);
    lost += snapshot.get(port, C.C_DROP_REASON + DROP_CPU_BACKLOG);
    flows += snapshot.get(port, C.C_FLOWS);
  }
  const mark = x.open(COUNTERS_OVS_DATAPATH);
  x.u32(packets - misses);
  x.u32(misses);
  x.u32(lost);
  x.u32(UNKNOWN);
  x.u32(flows);
  x.u32(bridge.masks);
  x.close(mark);
}

const MACHINES: Readonly<Record<string, number>> = {
  ia32: 2,
  x64: 3,
  ppc64: 7,
  mips: 9,
  mipsel: 9,
  arm: 10,
  arm64: 10,
  s390x: 12,
};
const MACHINE_OTHER = 1;
const OS_UNKNOWN = 0;
const OS_LINUX = 2;

export function writeHost(x: Xdr, host: HostInfo): void {
  describe(x, host.name, host.id, MACHINES[host.arch] ?? MACHINE_OTHER, OS_LINUX, host.release);
}

/** A guest: what runs inside is not known. */
export function writeGuest(x: Xdr, name: string, id: string): void {
  describe(x, name, id, 0, OS_UNKNOWN, "");
}

function describe(x: Xdr, name: string, id: string, machine: number, os: number, release: string): void {
  const mark = x.open(COUNTERS_HOST);
  x.string(name, 64);
  x.fixed(hexBytes(id, 16), 16);
  x.u32(machine);
  x.u32(os);
  x.string(release, 32);
  x.close(mark);
}

/** Ports that have a MAC address. Returns false, nothing written, where there is none. */
export function writeAdapters(x: Xdr, ports: readonly PortInfo[]): boolean {
  const known = ports.filter(({ ifIndex, mac }) => ifIndex > 0 && mac !== undefined).slice(0, MAX_ADAPTERS);
  if (known.length === 0) return false;
  const mark = x.open(COUNTERS_ADAPTERS);
  x.u32(known.length);
  for (const { ifIndex, mac } of known) {
    x.u32(ifIndex);
    x.u32(1);
    x.fixed(hexBytes(mac!, 6), 6);
  }
  x.close(mark);
  return true;
}

export function writeParent(x: Xdr): void {
  const mark = x.open(COUNTERS_PARENT);
  x.u32(SOURCE_PHYSICAL);
  x.u32(HOST_INDEX);
  x.close(mark);
}

export function writeVirtualNode(x: Xdr, host: HostInfo, guests: number): void {
  const { total, free } = host.memory();
  const mark = x.open(COUNTERS_VIRTUAL_NODE);
  x.u32(host.mhz);
  x.u32(host.cpus);
  x.u64(total);
  x.u64(free);
  x.u32(guests);
  x.close(mark);
}

export interface PortCount {
  readonly port: PortInfo;
  readonly snapshot: CounterSnapshot;
}

/** As the guest sees it (libvirt's virDomainInterfaceStats): it receives what leaves the switch. Octets without FCS. */
export function writeVirtualNet(x: Xdr, ports: readonly PortCount[]): void {
  const sum = (...counters: number[]): number =>
    ports.reduce((all, { port, snapshot }) => counters.reduce((s, c) => s + snapshot.get(port.no, c), all), 0);
  const mark = x.open(COUNTERS_VIRTUAL_NET);
  x.u64(sum(C.C_TX_BYTES));
  x.u32(sum(C.C_TX_PACKETS));
  x.u32(UNKNOWN);
  x.u32(sum(C.C_TX_FAILED, C.C_LOST_QDISC, C.C_LOST_TAP));
  x.u64(sum(C.C_RX_BYTES));
  x.u32(sum(C.C_RX_PACKETS));
  x.u32(UNKNOWN);
  x.u32(sum(C.C_DROPPED, C.C_LOST_RING));
  x.close(mark);
}

/** Hex digits of a MAC address, UUID or id, whatever stands between them; zeros where they are not of that length. */
function hexBytes(text: string, length: number): Uint8Array {
  const digits = text.replaceAll(/[^0-9a-f]/gi, "");
  const bytes = new Uint8Array(length);
  if (digits.length !== length * 2) return bytes;
  for (let n = 0; n < length; n++) bytes[n] = parseInt(digits.slice(n * 2, n * 2 + 2), 16);
  return bytes;
}
