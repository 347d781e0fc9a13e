/** The profile `tenants`: who the virtual machines are, and what they say to each other. Plain data. */
import type { Owner, VlanConfig } from "../../flow/attachment.ts";

export interface Vm {
  /** Port name behind the generator's and a dot. */
  readonly name: string;
  readonly vlan: VlanConfig;
  /** VLAN id of its frames; 0 = the wire to the outside, which carries every tenant's VLAN tagged. */
  readonly vid: number;
  /** Number of the tenant in addresses: 10.N.0.x, 2001:db8:N::x, 52:54:00:0N:00:xx. */
  readonly net: number;
  readonly host: number;
  readonly owner?: Owner;
}

/** Bounded Pareto in bytes: [min, max, alpha]. */
export type Size = readonly [min: number, max: number, alpha: number];

/**
 * A class of conversations; `slots` of them go on at any time, and each slot gets the same share of the frames, so that
 * slots are the tenant's share of the rate. A conversation that ends is followed by another of its class.
 */
export interface ConversationClass {
  readonly kind: "tcp" | "http" | "dns" | "ping" | "stream";
  readonly slots: number;
  /** Ends by VM name; "outside" = hosts of the Internet behind the uplink; "group" = an IPv4 multicast group. */
  readonly client: string;
  readonly server: string;
  readonly port: number;
  readonly ipv6?: true;
  readonly request: Size;
  readonly response: Size;
  /** Requests and responses in one conversation, at most. */
  readonly rounds: number;
  /** Sends only while the noisy neighbour is noisy. */
  readonly noisy?: true;
}

const TENANTS = ["acme", "globex", "initech", "hooli", "wonka"] as const;
export const UPLINK = "uplink";

function vm(tenant: (typeof TENANTS)[number], name: string, host: number): Vm {
  const index = TENANTS.indexOf(tenant);
  const tag = 100 + index * 10;
  return {
    name: `${tenant}-${name}`,
    vlan: { mode: "access", tag },
    vid: tag,
    net: index + 1,
    host,
    owner: { tenant, vm: name, ifaceId: `${tenant}-${name}-eth0` },
  };
}

const TRUNKS = TENANTS.map((_, index) => 100 + index * 10);

export const VMS: readonly Vm[] = [
  { name: UPLINK, vlan: { mode: "trunk", trunks: TRUNKS }, vid: 0, net: 0, host: 1 },
  vm("acme", "web1", 5),
  vm("acme", "web2", 6),
  vm("acme", "db1", 9),
  vm("acme", "nas1", 20),
  vm("globex", "web1", 5),
  vm("globex", "ci1", 31),
  vm("globex", "lab7", 77),
  vm("initech", "pc1", 11),
  vm("initech", "bot", 66),
  vm("hooli", "app1", 5),
  vm("hooli", "cam1", 40),
  vm("wonka", "dns1", 53),
  vm("wonka", "mx1", 25),
];

const QUERY: Size = [120, 1200, 1.3];
const PAGE: Size = [4096, 8 << 20, 1.15];
const ROW: Size = [90, 16384, 1.2];
const BULK: Size = [1 << 20, 256 << 20, 1.1];
const ONE: Size = [1, 1, 1];

const row = (
  kind: ConversationClass["kind"],
  slots: number,
  client: string,
  server: string,
  port: number,
  request: Size,
  response: Size,
  rounds: number,
): ConversationClass => ({ kind, slots, client, server, port, request, response, rounds });

/** 240 slots: acme 61 %, globex 29 %, the others what is left; the noisy one is beside them. */
export const CLASSES: readonly ConversationClass[] = [
  row("tcp", 70, "outside", "acme-web1", 443, QUERY, PAGE, 6),
  row("http", 28, "outside", "acme-web2", 80, QUERY, PAGE, 3),
  { ...row("tcp", 16, "outside", "acme-web1", 443, QUERY, PAGE, 6), ipv6: true },
  row("tcp", 15, "acme-web1", "acme-db1", 5432, QUERY, ROW, 40),
  row("tcp", 8, "acme-web2", "acme-db1", 5432, QUERY, ROW, 40),
  row("tcp", 8, "acme-db1", "acme-nas1", 2049, BULK, ROW, 1),
  row("dns", 1, "acme-web1", "outside", 53, ONE, ONE, 1),
  row("tcp", 36, "outside", "globex-web1", 443, QUERY, PAGE, 6),
  row("tcp", 20, "globex-ci1", "outside", 443, QUERY, BULK, 1),
  row("http", 9, "globex-lab7", "globex-web1", 80, QUERY, PAGE, 4),
  row("tcp", 4, "globex-ci1", "outside", 22, ROW, ROW, 30),
  row("dns", 1, "globex-ci1", "outside", 53, ONE, ONE, 1),
  { ...row("tcp", 9, "initech-pc1", "outside", 443, QUERY, PAGE, 4), ipv6: true },
  { ...row("dns", 1, "initech-pc1", "outside", 53, ONE, ONE, 1), ipv6: true },
  row("tcp", 4, "hooli-app1", "outside", 443, QUERY, PAGE, 3),
  row("stream", 2, "hooli-cam1", "group", 5004, [400, 40000, 1.1], ONE, 1),
  row("stream", 2, "hooli-cam1", "hooli-app1", 5006, [200, 4000, 1.1], ONE, 1),
  row("dns", 2, "outside", "wonka-dns1", 53, ONE, ONE, 1),
  { ...row("tcp", 3, "outside", "wonka-mx1", 25, [2048, 4 << 20, 1.2], [120, 400, 1.5], 1), ipv6: true },
  row("ping", 1, "wonka-mx1", "outside", 0, ONE, ONE, 30),
  { ...row("stream", 1, "globex-ci1", "outside", 5001, [1000, 50000, 1.1], ONE, 1), noisy: true },
];

/** The noisy neighbour: in the last NOISE_NS of every NOISE_PERIOD_NS it takes this share of all frames. */
export const NOISE_PERIOD_NS = 30e9;
export const NOISE_NS = 5e9;
export const NOISE_SHARE = 0.35;

/** What happens beside conversations, in frames of 10,000. */
export const BACKGROUND = {
  arp: 16,
  neighbourSolicitation: 8,
  routerAdvertisement: 1,
  igmp: 2,
  mdns: 3,
  lldp: 2,
  scan: 60,
  /** Must be refused: a tag on an access port, a cut Ethernet header, a multicast source. */
  wrongVlan: 42,
  cutEthernet: 16,
  multicastSource: 4,
} as const;
export const BACKGROUND_OF = 10_000;
/** The tag that lab7 puts on by mistake. */
export const WRONG_VID = 200;
