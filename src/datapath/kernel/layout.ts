/**
 * The memory that the BPF programs and this process share, beside the flow slots: word offsets in the elements of each
 * map. bpf/shared.h has the same names and values, bpf/maps.h the maps; shared-numbers.test.ts compares them.
 *
 * ```
 * stripes    port × CPU: 8 u64      what changes with every frame, one cache line, one writer
 * counters   port: 104 u64          the rest, by C_… of src/shm/counters.ts
 * ports      port: 8 u64            ifIndex, flags, limits; written here, the notice window there
 * ups        port: 4 u64            wire packets and bytes sent up for want of a rule, and come back
 * settings   16 u32                 one element
 * masks      2 × (32 u32 head, 32 rows of 32 u32: 20 words of mask, its number)     the set in force is SET_MASKS
 * rules      hash: masked key with the mask's number in its last word → rule index
 * rule_table rule: 2 u32            generation, first part of its action block
 * blocks     16 u32 a part          action blocks, immutable while a rule or a running program may point at them
 * gates      mirror session: 24 u64       its limits, written here; behind them what they have used up, written there
 * mirror_counts  session × CPU: 64 u64    by M_… of src/shm/copies.ts, one writer
 * filters    session × 2 × 2 × 2048 u64   classic BPF for frames without a tag and with one, in two banks each
 * ```
 */
import { MAX_MASKS } from "../datapath.ts";

/** u64 words of a stripe. */
export const STRIPE_WORDS = 8;
export const S_RX_PACKETS = 0;
export const S_RX_BYTES = 1;
export const S_TX_PACKETS = 2;
export const S_TX_BYTES = 3;
export const S_FORWARDED = 4;
export const S_FORWARDED_BYTES = 5;
export const S_SAMPLE_POOL = 6;
/** Packets until the next sample, signed. */
export const S_SKIP = 7;
/** u64 words of a port. */
export const PORT_WORDS = 8;
/** Devices below this ifIndex are found in an array (direct_ports), others in a hash (port_of). */
export const DIRECT_PORTS = 16384;
export const P_IFINDEX = 0;
export const P_FLAGS = 1;
export const P_MAX_FRAME = 2;
export const P_RATE = 3;
export const P_HEADER = 4;
export const P_NOTICES = 5;
/** Start of the window in which notices are counted. */
export const P_WINDOW = 6;
/** Address of a veth's other end, for frames that go straight there. */
export const P_PEER_MAC = 7;
/** Flags of a port: receives; may send; its other end can be handed frames directly. */
export const PORT_ENABLED = 1;
export const PORT_UP = 2;
export const PORT_PEER = 4;
/** u64 words. */
export const UP_WORDS = 4;
export const UP_SENT = 0;
export const UP_SENT_BYTES = 1;
export const UP_BACK = 2;
export const UP_BACK_BYTES = 3;
/** u32 words. */
export const SETTING_WORDS = 16;
export const SET_CPUS = 0;
export const SET_MISS_IFINDEX = 1;
export const SET_MASKS = 2;
export const SET_MAX_FLOWS = 3;
export const SET_FREE_MASK = 4;
/** Frames sent up; taken in by the process; how many may be on the way. */
export const SET_MISSES_SENT = 5;
export const SET_MISSES_TAKEN = 6;
export const SET_MISS_ROOM = 7;
/** Bit n: drop reason n is expected, so nobody is told. */
export const SET_QUIET_LOW = 8;
export const SET_QUIET_HIGH = 9;
/** 1: something else forwards the frames; the programs count them and let them be. */
export const SET_OBSERVE = 10;
/** Buckets, less one: the number is a power of two. */
export const SET_BUCKET_MASK = 11;
/** Words of a bucket (flow-index.ts): so many entries, then its state: the lock, and how many found no room. */
export const BUCKET_WAYS = 7;
export const BUCKET_STATE = 7;
export const BUCKET_WORDS = 8;
export const BUCKET_LOCK = 0x80000000;
export const HASH_FACTOR = 0x9e3779b1;
/** While no process is there: packets flooded, and refused. */
export const SET_AWAY_FLOODED = 12;
export const SET_AWAY_REFUSED = 13;
/** 1: a frame without a rule floods in its VLAN then; 0: it is refused. */
export const SET_STANDALONE = 14;
/** When the process was last seen: ns of the monotonic clock >> HEARTBEAT_SHIFT; older than AWAY_TICKS (3 s), it is away. */
export const SET_HEARTBEAT = 15;
export const HEARTBEAT_SHIFT = 20;
export const AWAY_TICKS = 2861;
/** Elements of `away`: port and VLAN id as received (or AWAY_UNTAGGED) → first part of the block that floods it. */
export const MAX_AWAY = 65536;
export const AWAY_UNTAGGED = 0xffff;
/** u32 words. */
export const MASK_ROW_WORDS = 32;
export const MASK_ROW_ID = 20;
/** One in 64 of the new flows that the mask decided. */
export const MASK_ROW_HITS = 21;
/** Of a set of masks: a head of one row, then the rows. */
export const MASK_SET_WORDS = MASK_ROW_WORDS * (1 + MAX_MASKS);
/** u32 words of a part. */
export const BLOCK_WORDS = 16;
export const MAX_BLOCKS = 65536;
export const RULE_GEN = 0;
export const RULE_BLOCK = 1;
export const FREE_LINE_WORDS = 16;
export const SAMPLE_DATA_BYTES = 512;
export const NOTICE_BYTES = 128;
export const NOTICES_PER_WINDOW = 20;
export const NOTICE_WINDOW_MS = 100;
/** u64 words of a mirror session's gate: `MirrorGate` (src/datapath/datapath.ts), instructions of its filters … */
export const GATE_WORDS = 24;
export const G_EPOCH = 0;
export const G_SNAPLEN = 1;
export const G_SAMPLE = 2;
export const G_PPS = 3;
export const G_BPS = 4;
export const G_PACKETS = 5;
export const G_PLAIN = 6;
export const G_TAGGED = 7;
/** … and, a cache line on, packets that passed the filter, and how many must have before the next is taken; */
export const G_SEEN = 8;
export const G_NEXT = 9;
/** until when the ceilings are used up, in ticks of the clock; packets against the limit. */
export const G_PACKETS_PAID = 10;
export const G_BITS_PAID = 11;
export const G_TAKEN = 12;
/** Its outputs, as u32. */
export const G_OUTPUTS = 16;
/** Ticks a nanosecond: the price of one packet at the highest rate is still a number of many digits. */
export const GATE_TICKS = 64;
/** What a ceiling lets through at once after a pause. */
export const GATE_BURST_MS = 100;
/** A filter is one word: its length, and behind it the number of its bank. */
export const FILTER_BANK_SHIFT = 16;
/** What is replaced is written into the other bank: a running program may be in the middle of this one. */
export const FILTER_BANKS = 2;
/** GSO type (src/wire/vnet.ts) of what nobody here can cut: captured whole. */
export const VNET_GSO_OTHER = 127;
