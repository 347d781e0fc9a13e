/**
 * From a frame to its key: the one parser of the project, called for every frame. README of wire/ has the rules of
 * soundness; every fault is named by header (KEY_FAULT), never guessed over.
 *
 * Two ends bound every read. `end` is where the bytes end: a header that is not whole before it is not read. `wireEnd`
 * is where the frame ended on the wire, and inside an IP packet where the packet ended: a header that is not whole
 * before *that* is a fault; one that is, but was cut by a capture's snap length, leaves its fields empty.
 *
 * Words are put together from bytes as signed 32-bit numbers; storing them in a Uint32Array makes them unsigned.
 */
import {
  ARP_ETHERNET_IPV4_BYTES,
  ARP_FIXED_BYTES,
  ARP_HARDWARE_ETHERNET,
  ARP_HARDWARE_LENGTH,
  ARP_OPERATION,
  ARP_PROTOCOL,
  ARP_PROTOCOL_LENGTH,
  ARP_SENDER_IP,
  ARP_TARGET_IP,
} from "../wire/arp.ts";
import {
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  ETH_HEADER_BYTES,
  ETH_MAX_LENGTH,
  LLC_HEADER_BYTES,
  LLC_SAP_SNAP,
  LLC_UI,
  SNAP_HEADER_BYTES,
  SNAP_OUI,
  SNAP_PROTOCOL,
} from "../wire/ethernet.ts";
import {
  IPV4_DST,
  IPV4_FRAGMENT,
  IPV4_HEADER_BYTES,
  IPV4_MF,
  IPV4_OFFSET_MASK,
  IPV4_PROTOCOL,
  IPV4_SRC,
  IPV4_TOS,
  IPV4_TOTAL_LENGTH,
} from "../wire/ipv4.ts";
import {
  IPV6_DST,
  IPV6_EXT_BYTES,
  IPV6_EXT_LENGTH,
  IPV6_FRAGMENT,
  IPV6_FRAGMENT_M,
  IPV6_FRAGMENT_OFFSET,
  IPV6_FRAGMENT_OFFSET_MASK,
  IPV6_HEADER_BYTES,
  IPV6_MAX_EXTENSIONS,
  IPV6_MOBILITY,
  IPV6_NEXT_HEADER,
  IPV6_NO_NEXT_HEADER,
  IPV6_PAYLOAD_LENGTH,
  IPV6_SRC,
  extensionBytes,
  isExtension,
} from "../wire/ipv6.ts";
import { TPID_CTAG, TPID_QINQ_OLD, TPID_STAG } from "../wire/vlan.ts";
import {
  FAULT_ARP,
  FAULT_IPV4,
  FAULT_IPV6,
  FAULT_IPV6_EXT,
  FAULT_LLC,
  FAULT_VLAN,
  FRAGMENT_FIRST,
  FRAGMENT_LATER,
  FRAGMENT_NONE,
  KEY_ETH_DST,
  KEY_ETH_DST_SRC,
  KEY_ETH_SRC,
  KEY_FAULT_SHIFT,
  KEY_INNER_TPID_SHIFT,
  KEY_IPV4,
  KEY_IPV6,
  KEY_IP_DST,
  KEY_IP_SRC,
  KEY_L4,
  KEY_LLC,
  KEY_OUTER_TPID_SHIFT,
  KEY_PORT,
  KEY_TYPE,
  KEY_VLAN,
  TCI_PRESENT,
  TPID_8100,
  TPID_88A8,
  TPID_9100,
} from "./key.ts";
import { parseCommon } from "./parse-common.ts";
import { parseTransport } from "./parse-transport.ts";
import { FACT_FAULT, FACT_L3_BYTES, FACT_L3_OFFSET, FACT_TAGS } from "./facts.ts";

export * from "./facts.ts";

/**
 * Fill `key` (KEY_WORDS words) and `facts` (FACT_WORDS) from the frame at `buf[off]`, of which `captured` bytes are
 * there and `length` were on the wire (≥ captured). Reads nothing outside buf[off ..< off + captured].
 * False: not even an Ethernet header is whole; the key then holds the port only.
 */
export function parseKey(
  buf: Uint8Array,
  off: number,
  captured: number,
  length: number,
  port: number,
  key: Uint32Array,
  facts: Int32Array,
): boolean {
  return (
    parseCommon(buf, off, captured, length, port, key, facts) || parseAny(buf, off, captured, length, port, key, facts)
  );
}

/** As `parseKey`, header by header. */
export function parseAny(
  buf: Uint8Array,
  off: number,
  captured: number,
  length: number,
  port: number,
  key: Uint32Array,
  facts: Int32Array,
): boolean {
  clear(key, facts);
  let word0 = port << 16;
  key[KEY_PORT] = word0;
  if (captured < ETH_HEADER_BYTES) return false;

  key[KEY_ETH_DST] = (buf[off]! << 24) | (buf[off + 1]! << 16) | (buf[off + 2]! << 8) | buf[off + 3]!;
  key[KEY_ETH_DST_SRC] = (buf[off + 4]! << 24) | (buf[off + 5]! << 16) | (buf[off + 6]! << 8) | buf[off + 7]!;
  key[KEY_ETH_SRC] = (buf[off + 8]! << 24) | (buf[off + 9]! << 16) | (buf[off + 10]! << 8) | buf[off + 11]!;
  let type = (buf[off + 12]! << 8) | buf[off + 13]!;

  const end = off + captured;
  const wireEnd = off + length;
  let at = off + ETH_HEADER_BYTES;

  const outer = tpidCode(type);
  if (outer !== 0) {
    // A tag is not taken as one before the type behind it is there: half a tag decides nothing.
    if (at + 4 > end) return stopAtTag(word0, type, key, facts);
    let tci = ((buf[at]! << 8) | buf[at + 1]! | TCI_PRESENT) << 16;
    key[KEY_VLAN] = tci;
    facts[FACT_TAGS] = 1;
    word0 |= outer << KEY_OUTER_TPID_SHIFT;
    type = (buf[at + 2]! << 8) | buf[at + 3]!;
    at += 4;
    const inner = tpidCode(type);
    if (inner !== 0) {
      if (at + 4 > end) return stopAtTag(word0, type, key, facts);
      tci |= (buf[at]! << 8) | buf[at + 1]! | TCI_PRESENT;
      key[KEY_VLAN] = tci;
      facts[FACT_TAGS] = 2;
      word0 |= inner << KEY_INNER_TPID_SHIFT;
      type = (buf[at + 2]! << 8) | buf[at + 3]!;
      at += 4;
    }
  }

  facts[FACT_L3_OFFSET] = at - off;
  if (type === ETHERTYPE_IPV4) parseIpv4(buf, off, at, end, wireEnd, word0, key, facts);
  else if (type === ETHERTYPE_IPV6) parseIpv6(buf, off, at, end, wireEnd, word0, key, facts);
  else if (type === ETHERTYPE_ARP) parseArp(buf, at, end, wireEnd, word0, key, facts);
  else if (type <= ETH_MAX_LENGTH) parseLlc(buf, at, end, wireEnd, word0, key, facts);
  else {
    key[KEY_PORT] = word0;
    key[KEY_TYPE] = type << 16;
  }
  return true;
}

/** Twenty stores are cheaper than a call of `fill`. */
function clear(key: Uint32Array, facts: Int32Array): void {
  key[0] = key[1] = key[2] = key[3] = key[4] = key[5] = key[6] = key[7] = key[8] = key[9] = 0;
  key[10] = key[11] = key[12] = key[13] = key[14] = key[15] = key[16] = key[17] = key[18] = key[19] = 0;
  facts[0] = facts[1] = facts[2] = facts[3] = facts[4] = facts[5] = facts[6] = facts[7] = 0;
}

/** TPID_* of key.ts; 0 where the type is not a tag's. */
function tpidCode(type: number): number {
  if (type === TPID_CTAG) return TPID_8100;
  if (type === TPID_STAG) return TPID_88A8;
  if (type === TPID_QINQ_OLD) return TPID_9100;
  return 0;
}

/**
 * The bytes end inside a tag. That is a fault even where only the capture was cut: nobody can say which VLAN the frame is
 * in, and the pipeline must not take it for untagged. Its Ethertype stays the TPID.
 */
function stopAtTag(word0: number, tpid: number, key: Uint32Array, facts: Int32Array): true {
  key[KEY_PORT] = word0 | (FAULT_VLAN << KEY_FAULT_SHIFT);
  key[KEY_TYPE] = tpid << 16;
  facts[FACT_FAULT] = FAULT_VLAN;
  return true;
}

/** Without a fault (0) too: writes the words that were held back until the headers below were judged. */
function stop(fault: number, word0: number, word5: number, key: Uint32Array, facts: Int32Array): void {
  key[KEY_PORT] = word0 | (fault << KEY_FAULT_SHIFT);
  key[KEY_TYPE] = word5;
  facts[FACT_FAULT] = fault;
}

/** The Ethertype of SNAP with OUI 0, else DSAP and SSAP. What is inside SNAP is not looked at. */
function parseLlc(
  buf: Uint8Array,
  at: number,
  end: number,
  wireEnd: number,
  word0: number,
  key: Uint32Array,
  facts: Int32Array,
): void {
  word0 |= KEY_LLC;
  if (at + LLC_HEADER_BYTES > end) return stop(at + LLC_HEADER_BYTES > wireEnd ? FAULT_LLC : 0, word0, 0, key, facts);
  const saps = (buf[at]! << 8) | buf[at + 1]!;
  if (saps !== ((LLC_SAP_SNAP << 8) | LLC_SAP_SNAP) || buf[at + 2] !== LLC_UI)
    return stop(0, word0, saps << 16, key, facts);
  if (at + SNAP_HEADER_BYTES > end)
    return stop(at + SNAP_HEADER_BYTES > wireEnd ? FAULT_LLC : 0, word0, saps << 16, key, facts);
  const oui = (buf[at + SNAP_OUI]! << 16) | (buf[at + SNAP_OUI + 1]! << 8) | buf[at + SNAP_OUI + 2]!;
  const protocol = (buf[at + SNAP_PROTOCOL]! << 8) | buf[at + SNAP_PROTOCOL + 1]!;
  stop(0, word0, (oui === 0 ? protocol : saps) << 16, key, facts);
}

/** Operation of every ARP packet; addresses where they are IPv4's over Ethernet. */
function parseArp(
  buf: Uint8Array,
  at: number,
  end: number,
  wireEnd: number,
  word0: number,
  key: Uint32Array,
  facts: Int32Array,
): void {
  const word5 = ETHERTYPE_ARP << 16;
  if (at + ARP_FIXED_BYTES > end) return stop(at + ARP_FIXED_BYTES > wireEnd ? FAULT_ARP : 0, word0, word5, key, facts);
  const hardwareLength = buf[at + ARP_HARDWARE_LENGTH]!;
  const protocolLength = buf[at + ARP_PROTOCOL_LENGTH]!;
  const whole = at + ARP_FIXED_BYTES + 2 * (hardwareLength + protocolLength);
  if (whole > wireEnd) return stop(FAULT_ARP, word0, word5, key, facts);
  key[KEY_L4] = (buf[at + ARP_OPERATION]! << 8) | buf[at + ARP_OPERATION + 1]!;
  const hardware = (buf[at]! << 8) | buf[at + 1]!;
  const protocol = (buf[at + ARP_PROTOCOL]! << 8) | buf[at + ARP_PROTOCOL + 1]!;
  if (
    hardware === ARP_HARDWARE_ETHERNET &&
    protocol === ETHERTYPE_IPV4 &&
    hardwareLength === 6 &&
    protocolLength === 4 &&
    at + ARP_ETHERNET_IPV4_BYTES <= end
  ) {
    const src = at + ARP_SENDER_IP;
    const dst = at + ARP_TARGET_IP;
    key[KEY_IP_SRC] = (buf[src]! << 24) | (buf[src + 1]! << 16) | (buf[src + 2]! << 8) | buf[src + 3]!;
    key[KEY_IP_DST] = (buf[dst]! << 24) | (buf[dst + 1]! << 16) | (buf[dst + 2]! << 8) | buf[dst + 3]!;
  }
  stop(0, word0, word5, key, facts);
}

/** RFC 791. Sound: version 4, header of 20 bytes or more that is whole, total length not below it (0: see l3Bytes). */
function parseIpv4(
  buf: Uint8Array,
  off: number,
  at: number,
  end: number,
  wireEnd: number,
  word0: number,
  key: Uint32Array,
  facts: Int32Array,
): void {
  let word5 = ETHERTYPE_IPV4 << 16;
  if (at + IPV4_HEADER_BYTES > end)
    return stop(at + IPV4_HEADER_BYTES > wireEnd ? FAULT_IPV4 : 0, word0, word5, key, facts);
  const headerBytes = (buf[at]! & 0x0f) << 2;
  const total = (buf[at + IPV4_TOTAL_LENGTH]! << 8) | buf[at + IPV4_TOTAL_LENGTH + 1]!;
  if (
    buf[at]! >> 4 !== 4 ||
    headerBytes < IPV4_HEADER_BYTES ||
    at + headerBytes > wireEnd ||
    (total < headerBytes && total !== 0)
  )
    return stop(FAULT_IPV4, word0, word5, key, facts);

  // A total length beyond the frame is believed for the octets, as collectors do, and not for what lies inside.
  facts[FACT_L3_BYTES] = total === 0 ? wireEnd - at : total;
  if (total !== 0 && at + total < wireEnd) wireEnd = at + total;
  if (wireEnd < end) end = wireEnd;

  const fragmentBits = (buf[at + IPV4_FRAGMENT]! << 8) | buf[at + IPV4_FRAGMENT + 1]!;
  let fragment = FRAGMENT_NONE;
  if ((fragmentBits & IPV4_OFFSET_MASK) !== 0) fragment = FRAGMENT_LATER;
  else if ((fragmentBits & IPV4_MF) !== 0) fragment = FRAGMENT_FIRST;

  const protocol = buf[at + IPV4_PROTOCOL]!;
  word0 |= KEY_IPV4 | fragment;
  word5 |= (protocol << 8) | buf[at + IPV4_TOS]!;
  const src = at + IPV4_SRC;
  const dst = at + IPV4_DST;
  key[KEY_IP_SRC] = (buf[src]! << 24) | (buf[src + 1]! << 16) | (buf[src + 2]! << 8) | buf[src + 3]!;
  key[KEY_IP_DST] = (buf[dst]! << 24) | (buf[dst + 1]! << 16) | (buf[dst + 2]! << 8) | buf[dst + 3]!;
  key[KEY_PORT] = word0;
  key[KEY_TYPE] = word5;
  if (fragment !== FRAGMENT_LATER)
    parseTransport(buf, off, at + headerBytes, end, wireEnd, protocol, total === 0, word0, key, facts);
}

/** RFC 8200. Sound: version 6 and 40 bytes. */
function parseIpv6(
  buf: Uint8Array,
  off: number,
  at: number,
  end: number,
  wireEnd: number,
  word0: number,
  key: Uint32Array,
  facts: Int32Array,
): void {
  const word5 = ETHERTYPE_IPV6 << 16;
  if (at + IPV6_HEADER_BYTES > end)
    return stop(at + IPV6_HEADER_BYTES > wireEnd ? FAULT_IPV6 : 0, word0, word5, key, facts);
  if (buf[at]! >> 4 !== 6) return stop(FAULT_IPV6, word0, word5, key, facts);

  let next = buf[at + IPV6_NEXT_HEADER]!;
  const payload = (buf[at + IPV6_PAYLOAD_LENGTH]! << 8) | buf[at + IPV6_PAYLOAD_LENGTH + 1]!;
  // 0 with something behind it: a jumbogram (RFC 2675), or a sender that left the length to its NIC. The frame knows.
  const unknown = payload === 0 && next !== IPV6_NO_NEXT_HEADER;
  facts[FACT_L3_BYTES] = unknown ? wireEnd - at : payload + IPV6_HEADER_BYTES;
  if (!unknown && at + IPV6_HEADER_BYTES + payload < wireEnd) wireEnd = at + IPV6_HEADER_BYTES + payload;
  if (wireEnd < end) end = wireEnd;

  const src = at + IPV6_SRC;
  const dst = at + IPV6_DST;
  for (let n = 0, byte = 0; n < 4; n++, byte += 4) {
    const s = src + byte;
    const d = dst + byte;
    key[KEY_IP_SRC + n] = (buf[s]! << 24) | (buf[s + 1]! << 16) | (buf[s + 2]! << 8) | buf[s + 3]!;
    key[KEY_IP_DST + n] = (buf[d]! << 24) | (buf[d + 1]! << 16) | (buf[d + 2]! << 8) | buf[d + 3]!;
  }
  const trafficClass = ((buf[at]! & 0x0f) << 4) | (buf[at + 1]! >> 4);
  word0 |= KEY_IPV6;
  at += IPV6_HEADER_BYTES;

  for (let n = 0; isExtension(next); n++) {
    const fixed = at + IPV6_EXT_BYTES;
    let fault = 0;
    if (fixed > wireEnd || n === IPV6_MAX_EXTENSIONS) fault = FAULT_IPV6_EXT;
    else if (fixed <= end) {
      const whole = at + extensionBytes(next, buf[at + IPV6_EXT_LENGTH]!);
      if (whole > wireEnd) fault = FAULT_IPV6_EXT;
      else if (next === IPV6_FRAGMENT) {
        const bits = (buf[at + IPV6_FRAGMENT_OFFSET]! << 8) | buf[at + IPV6_FRAGMENT_OFFSET + 1]!;
        next = buf[at]!;
        at = whole;
        // An atomic fragment (RFC 6946: offset 0, M 0) is a whole packet.
        if ((bits & IPV6_FRAGMENT_OFFSET_MASK) !== 0)
          return stop(0, word0 | FRAGMENT_LATER, word5 | (next << 8) | trafficClass, key, facts);
        if ((bits & IPV6_FRAGMENT_M) !== 0) word0 |= FRAGMENT_FIRST;
        continue;
      } else if (next !== IPV6_MOBILITY || buf[at] !== IPV6_NO_NEXT_HEADER) {
        next = buf[at]!;
        at = whole;
        continue;
      }
    }
    // Bad, not captured, or a mobility header that is itself what the packet carries.
    return stop(fault, word0, word5 | (next << 8) | trafficClass, key, facts);
  }

  key[KEY_PORT] = word0;
  key[KEY_TYPE] = word5 | (next << 8) | trafficClass;
  parseTransport(buf, off, at, end, wireEnd, next, unknown, word0, key, facts);
}
