/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The flow slot and the ring of free slots, for writers in C. The layout's home is src/shm/slots.ts and ring.ts;
 * test/conformance/slots.ts compares every offset. README.md of this folder is the protocol.
 */
#ifndef WEIR_FLOW_SLOT_H
#define WEIR_FLOW_SLOT_H

#include <linux/types.h>

#define WEIR_SLOT_VERSION 1
#define WEIR_KEY_WORDS 20

enum weir_slot_state {
	WEIR_FREE = 0,
	WEIR_LIVE = 1,
	WEIR_CLOSING = 2,
	WEIR_RETURNED = 3,
};

struct weir_key {
	__u32 word[WEIR_KEY_WORDS];
};

struct weir_slot {
	/* line 0: all that the sweep reads */
	__u32 state;
	__u32 gen;
	__u64 packets;
	__u64 bytes;
	__u64 l3_bytes;
	__u64 last;
	__u64 first;
	__u32 tcp_flags;
	__u32 reason;
	__u32 rule;
	__u32 rule_gen;
	/* lines 1 and 2 */
	struct weir_key key;
	__u64 dropped_packets;
	__u64 dropped_bytes;
	__u64 created;
	__u64 recorded;
	__u64 recorded_drops[2];
};

_Static_assert(sizeof(struct weir_slot) == 192, "a slot is three cache lines");

/* Followed by a power of two of words: the numbers of free slots. */
struct weir_ring {
	__u32 head; /* moved by who takes a slot: cmpxchg */
	__u32 pad0[15];
	__u32 tail; /* stored by the sweeper */
	__u32 pad1[15];
	__u32 data[];
};

#endif
