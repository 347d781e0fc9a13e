/**
 * Network devices: what they are, their counters, their addresses and routes, and the few things that are changed about
 * them. Source: rtnetlink(7), include/uapi/linux/if_link.h.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { isIPv4, isIPv6 } from "node:net";
import { cString, ENODEV, SystemError } from "./libc.ts";
import {
  attribute,
  type Attributes,
  concat,
  type Message,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  parseAttributes,
  readU32,
  request,
  text,
  u32,
} from "./netlink.ts";

const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;
const RTM_NEWADDR = 20;
const RTM_GETADDR = 22;
const RTM_GETROUTE = 26;

// ifinfomsg: family u8, pad u8, type u16, index i32, flags u32, change u32
const IFINFO_BYTES = 16;
const IFA_HEADER_BYTES = 8;
const RTM_HEADER_BYTES = 12;
const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINK = 5;
const IFLA_MASTER = 10;
const IFLA_OPERSTATE = 16;
const IFLA_LINKINFO = 18;
const IFLA_STATS64 = 23;
const IFLA_LINK_NETNSID = 37;
const IFLA_TARGET_NETNSID = 46;
const IFLA_PARENT_DEV_NAME = 56;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_SLAVE_KIND = 4;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const RTA_OIF = 4;
const IFF_UP = 1;
const IFF_PROMISC = 0x100;
const RT_SCOPE_LINK = 253;
const ARPHRD_ETHER = 1;
const AF_INET = 2;
const AF_INET6 = 10;

/** RFC 2863 ifOperStatus as Linux counts it (include/uapi/linux/if.h). */
const OPERSTATE_UNKNOWN = 0;
const OPERSTATE_UP = 6;

export interface Link {
  readonly index: number;
  readonly name: string;
  /** "52:54:00:12:34:56"; empty where the device has none. */
  readonly mac: string;
  readonly mtu: number;
  /** ARPHRD_ETHER: frames on it are Ethernet's. */
  readonly ethernet: boolean;
  /** ifIndex of the bridge, bond or VRF it belongs to; 0 = none. */
  readonly master: number;
  /** What its master is: "bridge", "bond", "openvswitch"; empty without one. */
  readonly masterKind: string;
  /** Administratively up; and able to carry frames. */
  readonly up: boolean;
  readonly running: boolean;
  /** Kind of a virtual device: "veth", "tun", "bridge"; empty for hardware. */
  readonly kind: string;
  /** It stands on a bus (PCI, virtio): a physical NIC, or what a hypervisor shows as one. */
  readonly physical: boolean;
  /** ifIndex of the device that this one stands on (a VLAN's parent); 0 = none. */
  readonly parent: number;
  /** Of a veth whose other end stands in another network namespace: where that is. */
  readonly farPeer?: { readonly namespace: number; readonly index: number };
  readonly stats: LinkStats;
}

/** struct rtnl_link_stats64, what Weir reads of it. Absolute since the device was made. */
export interface LinkStats {
  readonly rxPackets: number;
  readonly txPackets: number;
  readonly rxBytes: number;
  readonly txBytes: number;
  readonly txDropped: number;
  readonly rxMissed: number;
  readonly rxFifo: number;
}

function readStats(bytes: Uint8Array | undefined): LinkStats {
  const view = bytes ? new DataView(bytes.buffer, bytes.byteOffset, bytes.length) : undefined;
  const at = (n: number): number => (view && view.byteLength >= n * 8 + 8 ? Number(view.getBigUint64(n * 8, true)) : 0);
  return {
    rxPackets: at(0),
    txPackets: at(1),
    rxBytes: at(2),
    txBytes: at(3),
    txDropped: at(7),
    rxFifo: at(13),
    rxMissed: at(15),
  };
}

export function formatMac(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(":");
}

function stringOf(attributes: Attributes, type: number): string {
  const value = attributes.get(type);
  return value ? cString(value) : "";
}

function readLink(message: Message): Link | undefined {
  if (message.type !== RTM_NEWLINK || message.body.length < IFINFO_BYTES) return undefined;
  const view = new DataView(message.body.buffer, message.body.byteOffset);
  const flags = view.getUint32(8, true);
  const attributes = parseAttributes(message.body.subarray(IFINFO_BYTES));
  const info = parseAttributes(attributes.get(IFLA_LINKINFO) ?? new Uint8Array());
  const operstate = attributes.get(IFLA_OPERSTATE)?.[0] ?? OPERSTATE_UNKNOWN;
  const isUp = (flags & IFF_UP) !== 0;
  const kind = stringOf(info, IFLA_INFO_KIND);
  return {
    index: view.getInt32(4, true),
    name: stringOf(attributes, IFLA_IFNAME),
    mac: formatMac(attributes.get(IFLA_ADDRESS) ?? new Uint8Array()),
    mtu: readU32(attributes.get(IFLA_MTU)),
    ethernet: view.getUint16(2, true) === ARPHRD_ETHER,
    master: readU32(attributes.get(IFLA_MASTER)),
    masterKind: stringOf(info, IFLA_INFO_SLAVE_KIND),
    up: isUp,
    // A tap that nobody reports a carrier for says "unknown" and works.
    running: isUp && (operstate === OPERSTATE_UP || operstate === OPERSTATE_UNKNOWN),
    kind,
    physical: attributes.has(IFLA_PARENT_DEV_NAME),
    // A veth's "link" is its other end.
    parent: attributes.has(IFLA_LINK_NETNSID) || kind === "veth" ? 0 : readU32(attributes.get(IFLA_LINK)),
    ...(attributes.has(IFLA_LINK_NETNSID) && {
      farPeer: { namespace: readU32(attributes.get(IFLA_LINK_NETNSID)), index: readU32(attributes.get(IFLA_LINK)) },
    }),
    stats: readStats(attributes.get(IFLA_STATS64)),
  };
}

function ifinfo(index: number, flags: number, change: number): Uint8Array {
  const body = new Uint8Array(IFINFO_BYTES);
  const view = new DataView(body.buffer);
  view.setInt32(4, index, true);
  view.setUint32(8, flags, true);
  view.setUint32(12, change, true);
  return body;
}

/** Every device of this network namespace. */
export function links(): Link[] {
  return request(RTM_GETLINK, NLM_F_DUMP, ifinfo(0, 0, 0), "list network devices")
    .map(readLink)
    .filter((link) => link !== undefined);
}

/** One device, by name or ifIndex; undefined when it is not there. */
export function findLink(device: string | number): Link | undefined {
  const body =
    typeof device === "number" ? ifinfo(device, 0, 0) : concat([ifinfo(0, 0, 0), attribute(IFLA_IFNAME, text(device))]);
  try {
    return request(RTM_GETLINK, 0, body, `look up ${device}`).map(readLink)[0];
  } catch (error) {
    if (error instanceof SystemError && error.errno === ENODEV) return undefined;
    throw error;
  }
}

/** The other end of a veth, in its own namespace; undefined where it cannot be looked up. */
export function findPeer(link: Link): Link | undefined {
  if (link.kind !== "veth" || link.farPeer === undefined) return undefined;
  const { namespace, index } = link.farPeer;
  try {
    const body = concat([ifinfo(index, 0, 0), attribute(IFLA_TARGET_NETNSID, u32(namespace))]);
    return request(RTM_GETLINK, 0, body, `look up the peer of ${link.name}`).map(readLink)[0];
  } catch (error) {
    if (error instanceof SystemError) return undefined;
    throw error;
  }
}

export interface LinkChange {
  readonly up?: boolean;
  readonly mtu?: number;
  readonly mac?: string;
  /** Frames for other stations come in too (IFF_PROMISC): it stays so until it is taken back, whoever ends. */
  readonly promiscuous?: boolean;
}

export function setLink(link: Pick<Link, "index" | "name">, change: LinkChange): void {
  const flags = (change.up ? IFF_UP : 0) | (change.promiscuous ? IFF_PROMISC : 0);
  const changed = (change.up === undefined ? 0 : IFF_UP) | (change.promiscuous === undefined ? 0 : IFF_PROMISC);
  const parts = [ifinfo(link.index, flags, changed)];
  if (change.mtu !== undefined) parts.push(attribute(IFLA_MTU, u32(change.mtu)));
  if (change.mac !== undefined)
    parts.push(
      attribute(
        IFLA_ADDRESS,
        Uint8Array.from(change.mac.split(":"), (byte) => parseInt(byte, 16)),
      ),
    );
  request(RTM_NEWLINK, 0, concat(parts), `set up ${link.name}`);
}

export interface Address {
  readonly index: number;
  readonly family: 4 | 6;
  /** "192.0.2.10/24" */
  readonly text: string;
  /** Valid on this link only (fe80::/10, 169.254/16). */
  readonly linkLocal: boolean;
}

/** RFC 5952: lower case, the first longest run of two or more zero groups as "::". */
export function formatIp(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, n) => ((bytes[2 * n]! << 8) | bytes[2 * n + 1]!).toString(16));
  let start = 0;
  let longest = 1;
  for (let n = 0; n < 8; n++) {
    let run = 0;
    while (n + run < 8 && groups[n + run] === "0") run++;
    if (run > longest) [start, longest] = [n, run];
  }
  if (longest < 2) return groups.join(":");
  return `${groups.slice(0, start).join(":")}::${groups.slice(start + longest).join(":")}`;
}

/** Addresses of all devices, or of one. */
export function addresses(index = 0): Address[] {
  const found: Address[] = [];
  for (const { type, body } of request(RTM_GETADDR, NLM_F_DUMP, new Uint8Array(IFA_HEADER_BYTES), "list addresses")) {
    if (type !== RTM_NEWADDR || body.length < IFA_HEADER_BYTES) continue;
    const owner = readU32(body.subarray(4, 8));
    const attributes = parseAttributes(body.subarray(IFA_HEADER_BYTES));
    const value = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS);
    if (!value || (index !== 0 && owner !== index)) continue;
    found.push({
      index: owner,
      family: body[0] === AF_INET6 ? 6 : 4,
      text: `${formatIp(value)}/${body[1]}`,
      linkLocal: body[3] === RT_SCOPE_LINK,
    });
  }
  return found;
}

/** ifIndex of every device that a default route (IPv4 or IPv6) leads through. */
export function defaultRouteDevices(): Set<number> {
  const found = new Set<number>();
  for (const family of [AF_INET, AF_INET6]) {
    const body = new Uint8Array(RTM_HEADER_BYTES);
    body[0] = family;
    for (const message of request(RTM_GETROUTE, NLM_F_DUMP, body, "list routes")) {
      // rtmsg: family, destination length, … table at 4, type at 7 (1 = unicast)
      if (message.body.length < RTM_HEADER_BYTES || message.body[1] !== 0 || message.body[7] !== 1) continue;
      const device = readU32(parseAttributes(message.body.subarray(RTM_HEADER_BYTES)).get(RTA_OIF));
      if (device) found.add(device);
    }
  }
  return found;
}

/** Give a device an address such as "192.0.2.10/24" or "2001:db8::1/64"; having it already is fine. */
export function addAddress(link: Pick<Link, "index" | "name">, address: string): void {
  const [ip = "", length = ""] = address.split("/");
  const value = parseIp(ip);
  const body = new Uint8Array(IFA_HEADER_BYTES);
  body[0] = value.length === 4 ? AF_INET : AF_INET6;
  body[1] = length === "" ? value.length * 8 : Number(length);
  new DataView(body.buffer).setUint32(4, link.index, true);
  const parts = [body, attribute(IFA_LOCAL, value), attribute(IFA_ADDRESS, value)];
  request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, concat(parts), `give ${link.name} the address ${address}`);
}

function parseIp(ip: string): Uint8Array {
  if (isIPv4(ip)) return Uint8Array.from(ip.split("."), Number);
  if (!isIPv6(ip) || ip.includes(".")) throw new Error(`${ip} is not an IP address`);
  const [head = "", tail] = ip.split("::");
  const groups = (part: string): number[] => (part === "" ? [] : part.split(":").map((group) => parseInt(group, 16)));
  const first = groups(head);
  const last = groups(tail ?? "");
  const all = [...first, ...Array<number>(8 - first.length - last.length).fill(0), ...last];
  return Uint8Array.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}

const disableIpv6 = (device: string): string => `/proc/sys/net/ipv6/conf/${device}/disable_ipv6`;

/** Switch a device's IPv6 off or on. Returns the setting before, undefined where the kernel has no IPv6. */
export function setIpv6Disabled(device: string, disabled: boolean): boolean | undefined {
  try {
    const before = readFileSync(disableIpv6(device), "utf8").trim() === "1";
    if (before !== disabled) writeFileSync(disableIpv6(device), disabled ? "1" : "0");
    return before;
  } catch {
    return undefined;
  }
}

/** Whether interfaces of this host begin without IPv6. */
export function isIpv6DisabledByDefault(): boolean {
  try {
    return readFileSync(disableIpv6("default"), "utf8").trim() === "1";
  } catch {
    return true;
  }
}

/** bit/s as the driver says, 0 = unknown. */
export function linkSpeed(device: string): number {
  try {
    return Math.max(0, Number(readFileSync(`/sys/class/net/${device}/speed`, "utf8"))) * 1e6 || 0;
  } catch {
    return 0;
  }
}

const RTM_DELLINK = 17;
const IFLA_INFO_DATA = 2;
const VETH_INFO_PEER = 1;

/** Make a pair of devices joined back to back; both are down. */
export function addVethPair(name: string, peer: string, mtu: number): void {
  const named = (device: string): Uint8Array[] => [attribute(IFLA_IFNAME, text(device)), attribute(IFLA_MTU, u32(mtu))];
  const other = attribute(VETH_INFO_PEER, concat([ifinfo(0, 0, 0), ...named(peer)]));
  const info = attribute(IFLA_LINKINFO, [attribute(IFLA_INFO_KIND, text("veth")), attribute(IFLA_INFO_DATA, [other])]);
  const flags = NLM_F_CREATE | NLM_F_EXCL;
  request(RTM_NEWLINK, flags, concat([ifinfo(0, 0, 0), ...named(name), info]), `make devices ${name} and ${peer}`);
}

/** Remove a virtual device; one that is gone already is fine. */
export function removeLink(index: number, name: string): void {
  try {
    request(RTM_DELLINK, 0, ifinfo(index, 0, 0), `remove ${name}`);
  } catch (error) {
    if (!(error instanceof SystemError) || error.errno !== ENODEV) throw error;
  }
}
