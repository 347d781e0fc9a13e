/**
 * The frame that nearly all traffic is made of, parsed in one go: untagged IPv4 without options that is no fragment and
 * carries TCP or UDP, sound and captured as far as the key reads. `parseKey` takes every other frame its long way, with
 * the same result where both can (parse-captures.test.ts compares them).
 *
 * A profile of a replay had half of the parser's time in clearing what is written again right after and in handing ten
 * arguments from header to header: here every word is written once and nothing is called.
 */
import { ETHERTYPE_IPV4, ETH_HEADER_BYTES } from "../wire/ethernet.ts";
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
  PROTO_TCP,
  PROTO_UDP,
} from "../wire/ipv4.ts";
import { TCP_DATA_OFFSET, TCP_FLAGS, TCP_HEADER_BYTES } from "../wire/tcp.ts";
import { UDP_HEADER_BYTES, UDP_LENGTH } from "../wire/udp.ts";
import {
  FACT_FAULT,
  FACT_L3_BYTES,
  FACT_L3_OFFSET,
  FACT_L4_OFFSET,
  FACT_PAYLOAD_OFFSET,
  FACT_TAGS,
  FACT_TCP_FLAGS,
} from "./facts.ts";
import { FRAGMENT_NONE, KEY_IPV4, KEY_L4_PRESENT } from "./key.ts";

const L3 = ETH_HEADER_BYTES;
const L4 = L3 + IPV4_HEADER_BYTES;
/** Version 4, five words of header. */
const PLAIN_IPV4 = 0x45;
const MIN_CAPTURED = L4 + UDP_HEADER_BYTES;

/** As `parseKey`. False: not such a frame, and nothing was written. */
export function parseCommon(
  buf: Uint8Array,
  off: number,
  captured: number,
  length: number,
  port: number,
  key: Uint32Array,
  facts: Int32Array,
): boolean {
  if (captured < MIN_CAPTURED || buf[off + L3] !== PLAIN_IPV4) return false;
  if (((buf[off + 12]! << 8) | buf[off + 13]!) !== ETHERTYPE_IPV4) return false;
  const ip = off + L3;
  const total = (buf[ip + IPV4_TOTAL_LENGTH]! << 8) | buf[ip + IPV4_TOTAL_LENGTH + 1]!;
  const fragment = (buf[ip + IPV4_FRAGMENT]! << 8) | buf[ip + IPV4_FRAGMENT + 1]!;
  if (L3 + total > length || (fragment & (IPV4_OFFSET_MASK | IPV4_MF)) !== 0) return false;
  const protocol = buf[ip + IPV4_PROTOCOL]!;
  const l4 = off + L4;
  let headerBytes = UDP_HEADER_BYTES;
  let flags = 0;
  if (protocol === PROTO_TCP) {
    if (captured < L4 + TCP_HEADER_BYTES) return false;
    const offsetAndAe = buf[l4 + TCP_DATA_OFFSET]!;
    headerBytes = (offsetAndAe >> 4) << 2;
    flags = ((offsetAndAe & 1) << 8) | buf[l4 + TCP_FLAGS]!;
    if (headerBytes < TCP_HEADER_BYTES || IPV4_HEADER_BYTES + headerBytes > total) return false;
  } else if (protocol === PROTO_UDP) {
    const bytes = (buf[l4 + UDP_LENGTH]! << 8) | buf[l4 + UDP_LENGTH + 1]!;
    if (bytes < UDP_HEADER_BYTES || IPV4_HEADER_BYTES + bytes > total) return false;
  } else return false;

  const src = ip + IPV4_SRC;
  const dst = ip + IPV4_DST;
  key[0] = (port << 16) | KEY_IPV4 | FRAGMENT_NONE | KEY_L4_PRESENT;
  key[1] = (buf[off]! << 24) | (buf[off + 1]! << 16) | (buf[off + 2]! << 8) | buf[off + 3]!;
  key[2] = (buf[off + 4]! << 24) | (buf[off + 5]! << 16) | (buf[off + 6]! << 8) | buf[off + 7]!;
  key[3] = (buf[off + 8]! << 24) | (buf[off + 9]! << 16) | (buf[off + 10]! << 8) | buf[off + 11]!;
  key[4] = 0;
  key[5] = (ETHERTYPE_IPV4 << 16) | (protocol << 8) | buf[ip + IPV4_TOS]!;
  key[6] = (buf[src]! << 24) | (buf[src + 1]! << 16) | (buf[src + 2]! << 8) | buf[src + 3]!;
  key[7] = key[8] = key[9] = 0;
  key[10] = (buf[dst]! << 24) | (buf[dst + 1]! << 16) | (buf[dst + 2]! << 8) | buf[dst + 3]!;
  key[11] = key[12] = key[13] = 0;
  key[14] = (buf[l4]! << 24) | (buf[l4 + 1]! << 16) | (buf[l4 + 2]! << 8) | buf[l4 + 3]!;
  key[15] = key[16] = key[17] = key[18] = key[19] = 0;
  facts[FACT_L3_BYTES] = total;
  facts[FACT_TCP_FLAGS] = flags;
  facts[FACT_FAULT] = 0;
  facts[FACT_L3_OFFSET] = L3;
  facts[FACT_L4_OFFSET] = L4;
  facts[FACT_PAYLOAD_OFFSET] = L4 + headerBytes;
  facts[FACT_TAGS] = 0;
  return true;
}
