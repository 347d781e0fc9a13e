/**
 * The two sides of a conversation: who they are, the headers of their frames with what varies left 0, and the sums of
 * what stays.
 */
import { writeU16, writeU32 } from "../../wire/bytes.ts";
import { sumBytes } from "../../wire/checksum.ts";
import { ETHERTYPE_IPV4, ETHERTYPE_IPV6 } from "../../wire/ethernet.ts";
import { ICMP_ECHO, ICMP_HEADER_BYTES } from "../../wire/icmp.ts";
import { IPV4_HEADER_BYTES, PROTO_ICMP, PROTO_TCP, PROTO_UDP } from "../../wire/ipv4.ts";
import { IPV6_HEADER_BYTES } from "../../wire/ipv6.ts";
import { TCP_HEADER_BYTES } from "../../wire/tcp.ts";
import { UDP_HEADER_BYTES } from "../../wire/udp.ts";
import { IPV4_GROUP_HIGH, MAC_HIGH, putEthernet, putIpv4, putIpv6 } from "./headers.ts";
import { UPLINK, VMS, type ConversationClass, type Vm } from "./profile.ts";
import { below, next, type Random } from "./random.ts";
import { templateAt, type Store } from "./store.ts";

// Words of a conversation, for side 0 (the client) and 1 (the server).
/** Index of the port that the side's frames enter by. */
export const PORT = 0;
/** Bytes of the headers; of those before the IP header. */
export const HEADER = 2;
export const L3 = 4;
/** Sum of the IPv4 header's words; of the pseudo header and the transport header. */
export const IP_SUM = 6;
export const L4_SUM = 8;
/** TCP sequence number of the next byte; DNS: the question's id is the client's, low 16 bits. */
export const SEQ = 10;
/** IPv4 identification of the next packet. */
export const ID = 12;
export const SIDE_WORDS = 14;

const PORT_OF = new Map(VMS.map((one, index) => [one.name, index]));
/** Number of VM or uplink `name` among the profile's. */
export function portOf(name: string): number {
  const index = PORT_OF.get(name);
  if (index === undefined) throw new RangeError(`the profile has no ${name}`);
  return index;
}

export const UPLINK_PORT = portOf(UPLINK);

/** Lower 32 bits of a VM's MAC: 52:54:00:0N:00:xx. */
export function macLow(vm: Vm): number {
  return (vm.net << 16) | vm.host;
}
/** 10.N.0.x */
export function ipv4Of(vm: Vm): number {
  return (10 << 24) | (vm.net << 16) | vm.host;
}
/** Net of the outside hosts in 2001:db8::/32. */
export const OUTSIDE_NET = 0xffff;
const WINDOW = 0xfaf0;
const FIRST_EPHEMERAL = 32768;

/** An end of a conversation: [port, MAC high, MAC low, IPv4 address, IPv6 net, IPv6 host]. */
type End = Uint32Array;
const E_PORT = 0;
const E_MAC_HIGH = 1;
const E_MAC = 2;
const E_IPV4 = 3;
const E_NET = 4;
const E_HOST = 5;
const ENDS: readonly [End, End] = [new Uint32Array(6), new Uint32Array(6)];

function draw(random: Random, name: string, end: End): void {
  const isVm = name !== "outside" && name !== "group";
  const port = isVm ? portOf(name) : UPLINK_PORT;
  const vm = VMS[port]!;
  end[E_PORT] = port;
  end[E_MAC_HIGH] = MAC_HIGH;
  end[E_MAC] = macLow(vm);
  end[E_IPV4] = ipv4Of(vm);
  end[E_NET] = vm.net;
  end[E_HOST] = vm.host;
  if (name === "outside") {
    // 198.51.100.0/24 and 203.0.113.0/24, RFC 5737.
    const host = below(random, 254) + 1;
    end[E_IPV4] = (next(random) & 1 ? 0xc6336400 : 0xcb007100) | host;
    end[E_NET] = OUTSIDE_NET;
    end[E_HOST] = below(random, 0xffff) + 1;
  } else if (name === "group") {
    const group = below(random, 4) + 1;
    end[E_IPV4] = 0xef040000 | group;
    end[E_MAC_HIGH] = IPV4_GROUP_HIGH;
    end[E_MAC] = 0x5e040000 | group;
  }
}

/** Draw new ends for conversation n, whose words stand at `w`, and write the templates of both sides. */
export function writeTemplates(store: Store, kind: ConversationClass, words: Uint32Array, w: number, n: number): void {
  const { random } = store;
  draw(random, kind.client, ENDS[0]);
  draw(random, kind.server, ENDS[1]);
  const vid = VMS[ENDS[0][E_PORT]!]!.vid || VMS[ENDS[1][E_PORT]!]!.vid;
  const ephemeral = FIRST_EPHEMERAL + below(random, 65536 - FIRST_EPHEMERAL);
  const label = next(random);
  for (let side = 0; side < 2; side++) {
    const from = side === 0 ? ENDS[0] : ENDS[1];
    const to = side === 0 ? ENDS[1] : ENDS[0];
    const at = templateAt(n, side);
    const { bytes } = store;
    const type = kind.ipv6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4;
    const tag = from[E_PORT] === UPLINK_PORT ? vid : 0;
    const l3 = putEthernet(bytes, at, to[E_MAC_HIGH]!, to[E_MAC]!, from[E_MAC_HIGH]!, from[E_MAC]!, tag, type);
    const protocol =
      kind.kind === "ping" ? PROTO_ICMP : kind.kind === "dns" || kind.kind === "stream" ? PROTO_UDP : PROTO_TCP;
    const ttl = from[E_NET] === OUTSIDE_NET ? 54 : 64;
    const l4 = kind.ipv6
      ? putIpv6(bytes, l3, protocol, ttl, label, from[E_NET]!, from[E_HOST]!, to[E_NET]!, to[E_HOST]!)
      : putIpv4(bytes, l3, protocol, 0, ttl, from[E_IPV4]!, to[E_IPV4]!);
    const end = putTransport(bytes, l4, protocol, side, ephemeral, kind.port);
    words[w + PORT + side] = from[E_PORT]!;
    words[w + HEADER + side] = end - at;
    words[w + L3 + side] = l3 - at;
    words[w + IP_SUM + side] = kind.ipv6 ? 0 : sumBytes(bytes, l3, IPV4_HEADER_BYTES);
    // The pseudo header (RFC 9293 section 3.1, RFC 8200 section 8.1) without its length; ICMP has none.
    const addresses = kind.ipv6 ? sumBytes(bytes, l3 + 8, IPV6_HEADER_BYTES - 8) : sumBytes(bytes, l3 + 12, 8);
    const pseudo = protocol === PROTO_ICMP ? 0 : addresses + protocol;
    words[w + L4_SUM + side] = pseudo + sumBytes(bytes, l4, end - l4);
  }
}

function putTransport(
  bytes: Uint8Array,
  at: number,
  protocol: number,
  side: number,
  clientPort: number,
  serverPort: number,
): number {
  if (protocol === PROTO_ICMP) {
    // Echo request from the client, echo reply from the server; the client's port is the identifier.
    writeU32(bytes, at, side === 0 ? ICMP_ECHO << 24 : 0);
    writeU32(bytes, at + 4, clientPort << 16);
    return at + ICMP_HEADER_BYTES;
  }
  writeU16(bytes, at, side === 0 ? clientPort : serverPort);
  writeU16(bytes, at + 2, side === 0 ? serverPort : clientPort);
  writeU32(bytes, at + 4, 0);
  if (protocol === PROTO_UDP) return at + UDP_HEADER_BYTES;
  writeU32(bytes, at + 8, 0);
  writeU32(bytes, at + 12, WINDOW);
  writeU32(bytes, at + 16, 0);
  return at + TCP_HEADER_BYTES;
}
