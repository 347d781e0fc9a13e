/** The part of `parseKey` behind the IP header: TCP, UDP, SCTP, ICMP, ICMPv6, IGMP. Ends are as in parse.ts. */
import { ICMPV6_HEADER_BYTES } from "../wire/icmpv6.ts";
import { ICMP_HEADER_BYTES } from "../wire/icmp.ts";
import { IGMP_HEADER_BYTES } from "../wire/igmp.ts";
import { PROTO_ICMP, PROTO_ICMPV6, PROTO_IGMP, PROTO_SCTP, PROTO_TCP, PROTO_UDP } from "../wire/ipv4.ts";
import { SCTP_HEADER_BYTES } from "../wire/sctp.ts";
import { TCP_DATA_OFFSET, TCP_FLAGS, TCP_HEADER_BYTES } from "../wire/tcp.ts";
import { UDP_HEADER_BYTES, UDP_LENGTH } from "../wire/udp.ts";
import { FACT_FAULT, FACT_L4_OFFSET, FACT_PAYLOAD_OFFSET, FACT_TCP_FLAGS } from "./facts.ts";
import {
  FAULT_ICMP,
  FAULT_ICMPV6,
  FAULT_IGMP,
  FAULT_SCTP,
  FAULT_TCP,
  FAULT_UDP,
  FRAGMENT_FIRST,
  KEY_FAULT_SHIFT,
  KEY_FRAGMENT_MASK,
  KEY_IPV4,
  KEY_L4,
  KEY_L4_PRESENT,
  KEY_PORT,
} from "./key.ts";

/**
 * Fill word 14 and the transport facts from the header of `protocol` at `at`. `lengthUnknown`: the IP header left its
 * length open, so UDP may too (RFC 2675 section 4).
 */
export function parseTransport(
  buf: Uint8Array,
  off: number,
  at: number,
  end: number,
  wireEnd: number,
  protocol: number,
  lengthUnknown: boolean,
  word0: number,
  key: Uint32Array,
  facts: Int32Array,
): void {
  let fault: number;
  let headerBytes: number;
  if (protocol === PROTO_TCP) {
    headerBytes = TCP_HEADER_BYTES;
    fault = FAULT_TCP;
  } else if (protocol === PROTO_UDP) {
    headerBytes = UDP_HEADER_BYTES;
    fault = FAULT_UDP;
  } else if (protocol === PROTO_ICMP && (word0 & KEY_IPV4) !== 0) {
    headerBytes = ICMP_HEADER_BYTES;
    fault = FAULT_ICMP;
  } else if (protocol === PROTO_ICMPV6 && (word0 & KEY_IPV4) === 0) {
    headerBytes = ICMPV6_HEADER_BYTES;
    fault = FAULT_ICMPV6;
  } else if (protocol === PROTO_IGMP && (word0 & KEY_IPV4) !== 0) {
    headerBytes = IGMP_HEADER_BYTES;
    fault = FAULT_IGMP;
  } else if (protocol === PROTO_SCTP) {
    headerBytes = SCTP_HEADER_BYTES;
    fault = FAULT_SCTP;
  } else return;

  if (at + headerBytes > end) {
    if (at + headerBytes > wireEnd) bad(fault, word0, key, facts);
    return;
  }

  let word14: number;
  if (protocol === PROTO_TCP) {
    const offsetAndAe = buf[at + TCP_DATA_OFFSET]!;
    headerBytes = (offsetAndAe >> 4) << 2;
    if (headerBytes < TCP_HEADER_BYTES || at + headerBytes > wireEnd) return bad(fault, word0, key, facts);
    facts[FACT_TCP_FLAGS] = ((offsetAndAe & 1) << 8) | buf[at + TCP_FLAGS]!;
    word14 = (buf[at]! << 24) | (buf[at + 1]! << 16) | (buf[at + 2]! << 8) | buf[at + 3]!;
  } else if (protocol === PROTO_UDP) {
    const bytes = (buf[at + UDP_LENGTH]! << 8) | buf[at + UDP_LENGTH + 1]!;
    // The length of a fragmented datagram is the whole one's.
    const tooLong = at + bytes > wireEnd && (word0 & KEY_FRAGMENT_MASK) !== FRAGMENT_FIRST;
    if (tooLong || (bytes < UDP_HEADER_BYTES && !(bytes === 0 && lengthUnknown))) return bad(fault, word0, key, facts);
    word14 = (buf[at]! << 24) | (buf[at + 1]! << 16) | (buf[at + 2]! << 8) | buf[at + 3]!;
  } else if (protocol === PROTO_SCTP) {
    word14 = (buf[at]! << 24) | (buf[at + 1]! << 16) | (buf[at + 2]! << 8) | buf[at + 3]!;
  } else if (protocol === PROTO_IGMP) {
    word14 = buf[at]! << 16;
  } else {
    word14 = (buf[at]! << 16) | buf[at + 1]!;
  }
  key[KEY_PORT] = word0 | KEY_L4_PRESENT;
  key[KEY_L4] = word14;
  facts[FACT_L4_OFFSET] = at - off;
  facts[FACT_PAYLOAD_OFFSET] = at + headerBytes - off;
}

function bad(fault: number, word0: number, key: Uint32Array, facts: Int32Array): void {
  key[KEY_PORT] = word0 | (fault << KEY_FAULT_SHIFT);
  facts[FACT_FAULT] = fault;
}
