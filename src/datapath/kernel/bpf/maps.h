/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The memory of the kernel datapath. All arrays are mapped into the process; ../README.md says who writes what. Sizes
 * that depend on the configuration are set before loading (max_entries).
 */
#ifndef WEIR_MAPS_H
#define WEIR_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "flow_slot.h"
#include "shared.h"

#define ARRAY(name, value_type, entries)          \
	struct {                                  \
		__uint(type, BPF_MAP_TYPE_ARRAY); \
		__uint(map_flags, BPF_F_MMAPABLE); \
		__uint(max_entries, entries);     \
		__type(key, __u32);               \
		__type(value, value_type);        \
	} name SEC(".maps")

#define HASH(name, key_type, value_type, entries) \
	struct {                                  \
		__uint(type, BPF_MAP_TYPE_HASH);  \
		__uint(max_entries, entries);     \
		__type(key, key_type);            \
		__type(value, value_type);        \
	} name SEC(".maps")

/* One cache line of the ring of free slots (src/shm/ring.ts): line 0 is the head, line 1 the tail, then the numbers. */
struct weir_line {
	__u32 word[FREE_LINE_WORDS];
};

/* A port's counters that change with every frame, one cache line a CPU; the rest is in `counters`. */
struct weir_stripe {
	__u64 word[STRIPE_WORDS];
};

struct weir_counters {
	__u64 word[COUNTERS_PER_PORT];
};

struct weir_port {
	__u64 word[PORT_WORDS];
};

/* Wire packets and bytes of a port that went up for want of a rule, and that came back. */
struct weir_up {
	__u64 word[UP_WORDS];
};

struct weir_settings {
	__u32 word[SETTING_WORDS];
};

struct weir_mask {
	__u32 word[MASK_ROW_WORDS];
};

/* Masks in the order in which they are tried; the set in force is SET_MASKS. */
struct weir_masks {
	__u32 count;
	__u32 pad[31];
	struct weir_mask row[MAX_MASKS];
};

/* Slots that a key's hash leads to: number, tag in the highest byte; 0 = none. Then the state. ../flow-index.ts. */
struct weir_bucket {
	__u32 word[BUCKET_WORDS];
};

struct weir_rule {
	__u32 word[2];
};

/* Part of an action block (src/pipeline/actions.ts): a block fills as many as it needs, one after the other. */
struct weir_block {
	__u32 word[BLOCK_WORDS];
};

/* A mirror session: src/datapath/kernel/layout.ts. */
struct weir_gate {
	__u64 word[GATE_WORDS];
};

struct weir_session_counts {
	__u64 word[SESSION_COUNTERS];
};

/* As Linux and libpcap have it (struct sock_filter). */
struct weir_instruction {
	__u16 code;
	__u8 yes, no;
	__u32 k;
};

/* The head of a copy for the process (src/shm/copies.ts); the time is a whole number here. */
struct weir_copy_head {
	__u64 time;
	__u32 sessions, port, direction, reason, length, captured, tag, tpid, has_vnet;
	__u16 unused;
	/* virtio-net header */
	__u8 flags, gso_type;
	__u16 header_length, gso_size, csum_start, csum_offset;
};

_Static_assert(sizeof(struct weir_copy_head) == COPY_HEAD_BYTES, "a copy's head");

struct weir_without_flow {
	__u64 packets, bytes, l3_bytes;
};

/* As a sample stands in its ring: src/shm/samples.ts, the first three numbers being integers here. */
struct weir_sample {
	__u64 time, pool, drops;
	__u32 kind, port, rate, segments, wire_length, captured;
	__u32 disposition, reason, outputs, output_port, in_tci, out_tci, slot, gen;
	__u8 data[SAMPLE_DATA_BYTES];
};

_Static_assert(sizeof(struct weir_sample) == SAMPLE_HEAD_BYTES + SAMPLE_DATA_BYTES, "a sample's head");

ARRAY(slots, struct weir_slot, 1);
ARRAY(free_slots, struct weir_line, 1);
ARRAY(stripes, struct weir_stripe, MAX_PORTS);
ARRAY(counters, struct weir_counters, MAX_PORTS);
ARRAY(ports, struct weir_port, MAX_PORTS);
ARRAY(ups, struct weir_up, MAX_PORTS);
ARRAY(settings, struct weir_settings, 1);
ARRAY(masks, struct weir_masks, 2);
ARRAY(rule_table, struct weir_rule, MAX_RULES);
ARRAY(blocks, struct weir_block, MAX_BLOCKS);
ARRAY(direct_ports, __u64, DIRECT_PORTS);
HASH(port_of, __u32, __u32, MAX_PORTS);
ARRAY(buckets, struct weir_bucket, 1);
HASH(overflow, struct weir_key, __u32, 1);
HASH(rules, struct weir_key, __u32, MAX_RULES);
HASH(away, __u32, __u32, MAX_AWAY);
HASH(without_flow, __u32, struct weir_without_flow, 4096);

/* For the next process (../kept.ts, ../pins.ts): no program looks at them. */
struct weir_meta {
	__u8 text[16384];
};

ARRAY(meta, struct weir_meta, 1);
ARRAY(kept, struct weir_line, 1);

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} samples SEC(".maps"), notices SEC(".maps");

ARRAY(gates, struct weir_gate, MAX_SESSIONS);
ARRAY(mirror_counts, struct weir_session_counts, MAX_SESSIONS);
ARRAY(filters, struct weir_instruction, MAX_SESSIONS * 2 * FILTER_BANKS * MAX_FILTER);

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 23);
} copies SEC(".maps");

static __always_inline struct weir_settings *get_settings(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&settings, &zero);
}

#endif
