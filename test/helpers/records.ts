/** Flow records made up for tests: written into a log as the sweeper would. */
import { END_IDLE, FORWARDED } from "../../src/flow/disposition.ts";
import {
  KEY_ETH_DST,
  KEY_ETH_DST_SRC,
  KEY_ETH_SRC,
  KEY_IP_DST,
  KEY_IP_SRC,
  KEY_IPV4,
  KEY_IPV6,
  KEY_L4,
  KEY_L4_PRESENT,
  KEY_PORT,
  KEY_TYPE,
  KEY_VLAN,
  KEY_WORDS,
} from "../../src/flow/key.ts";
import {
  REC_BOOT_MS,
  REC_BYTES,
  REC_DISPOSITION,
  REC_DROP_REASON,
  REC_DROPPED_BYTES,
  REC_DROPPED_PACKETS,
  REC_END_REASON,
  REC_FIRST_MS,
  REC_INPUT_IFINDEX,
  REC_KEY,
  REC_L3_BYTES,
  REC_LAST_MS,
  REC_OUTPUT_IFINDEX,
  REC_OUTPUT_PORT,
  REC_OUTPUTS,
  REC_PACKETS,
  REC_TCP_FLAGS,
  RecordCursor,
} from "../../src/shm/log.ts";
import type { RecordLog } from "../../src/shm/log.ts";

/** Anything left out has a usual value. */
export interface TestFlow {
  readonly bootMs?: number;
  readonly firstMs?: number;
  readonly lastMs?: number;
  readonly packets?: number;
  readonly bytes?: number;
  readonly l3Bytes?: number;
  readonly droppedPackets?: number;
  readonly droppedBytes?: number;
  /** 4 unless given; 0 = not IP. */
  readonly version?: 0 | 4 | 6;
  readonly port?: number;
  /** MAC addresses: 2 and 4 bytes. */
  readonly ethSrc?: readonly [number, number];
  readonly ethDst?: readonly [number, number];
  /** Word 4 of the key: outer tag, inner tag. */
  readonly vlan?: number;
  /** Of what is not IP; ARP unless given. */
  readonly etherType?: number;
  /** IPv6 addresses as four words. */
  readonly src6?: readonly number[];
  readonly dst6?: readonly number[];
  /** IPv4 addresses as numbers. */
  readonly src?: number;
  readonly dst?: number;
  readonly proto?: number;
  readonly tos?: number;
  /** Source and destination port, or type and code; left out: no transport header. */
  readonly l4?: readonly [number, number];
  readonly tcpFlags?: number;
  readonly input?: number;
  readonly output?: number;
  readonly outputs?: number;
  readonly disposition?: number;
  readonly dropReason?: number;
  readonly endReason?: number;
}

export const TEST_BOOT_MS = Date.UTC(2026, 0, 2, 3, 4, 5, 678);

const cursor = new RecordCursor();

export function appendRecord(log: RecordLog, flow: TestFlow): void {
  const { f64, u32, f, w } = log.next(cursor);
  const packets = flow.packets ?? 1;
  f64[f + REC_BOOT_MS] = flow.bootMs ?? TEST_BOOT_MS;
  f64[f + REC_FIRST_MS] = flow.firstMs ?? 1000;
  f64[f + REC_LAST_MS] = flow.lastMs ?? flow.firstMs ?? 1000;
  f64[f + REC_PACKETS] = packets;
  f64[f + REC_L3_BYTES] = flow.l3Bytes ?? packets * 46;
  f64[f + REC_BYTES] = flow.bytes ?? (flow.l3Bytes ?? packets * 46) + packets * 14;
  f64[f + REC_DROPPED_PACKETS] = flow.droppedPackets ?? 0;
  f64[f + REC_DROPPED_BYTES] = flow.droppedBytes ?? 0;
  const version = flow.version ?? 4;
  const key = w + REC_KEY;
  u32.fill(0, key, key + KEY_WORDS);
  u32[key + KEY_PORT] =
    ((flow.port ?? 1) << 16) |
    (version === 4 ? KEY_IPV4 : version === 6 ? KEY_IPV6 : 0) |
    (flow.l4 ? KEY_L4_PRESENT : 0);
  const etherType = version === 4 ? 0x0800 : version === 6 ? 0x86dd : (flow.etherType ?? 0x0806);
  const [dstHigh, dstLow] = flow.ethDst ?? [0, 0];
  const [srcHigh, srcLow] = flow.ethSrc ?? [0, 0];
  u32[key + KEY_ETH_DST] = (dstHigh << 16) | (dstLow >>> 16);
  u32[key + KEY_ETH_DST_SRC] = (dstLow << 16) | srcHigh;
  u32[key + KEY_ETH_SRC] = srcLow;
  u32[key + KEY_VLAN] = flow.vlan ?? 0;
  u32[key + KEY_TYPE] = (etherType << 16) | ((flow.proto ?? 17) << 8) | (flow.tos ?? 0);
  u32[key + KEY_IP_SRC] = flow.src ?? 0x0a000001;
  u32[key + KEY_IP_DST] = flow.dst ?? 0x0a000002;
  if (flow.src6) u32.set(flow.src6, key + KEY_IP_SRC);
  if (flow.dst6) u32.set(flow.dst6, key + KEY_IP_DST);
  if (flow.l4) u32[key + KEY_L4] = (flow.l4[0] << 16) | flow.l4[1];
  u32[w + REC_TCP_FLAGS] = flow.tcpFlags ?? 0;
  u32[w + REC_END_REASON] = flow.endReason ?? END_IDLE;
  u32[w + REC_DISPOSITION] = flow.disposition ?? FORWARDED;
  u32[w + REC_DROP_REASON] = flow.dropReason ?? 0;
  u32[w + REC_OUTPUTS] = flow.outputs ?? 1;
  u32[w + REC_OUTPUT_PORT] = 2;
  u32[w + REC_INPUT_IFINDEX] = flow.input ?? 20001;
  u32[w + REC_OUTPUT_IFINDEX] = flow.output ?? 20002;
  log.publish();
}
