/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The second writer of flow slots: makes and hits them in a mapped array as the kernel datapath will, under
 * bpf_prog_test_run. `frame` counts one frame that user space describes; `hammer` counts one of a random key, says in
 * `said` what it did, and is run many thousand times on several CPUs while the sweeper retires and reuses slots.
 */
#include <stddef.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "flow_slot.h"

#define SLOTS 512 /* a power of two: the free ring has as many words */
#define KEYS 256
#define POP_TRIES 16
#define MAX_PAUSE 2000
#define TABLE_FULL (-1)
#define RACE (-2)

struct free_ring {
	union {
		struct weir_ring ring;
		__u32 words[32 + SLOTS];
	};
};

/* What user space asks of `frame`, and what it gets back in `result`: the slot, TABLE_FULL or RACE. */
struct request {
	struct weir_key key;
	__u64 now;
	__u32 packets, bytes, l3_bytes, tcp_flags;
	__s32 result;
	__u32 pad;
};

/* One row a key of `hammer`: what is in its flows, and what found no flow. */
struct said {
	__u64 packets, bytes, unattributed, returned;
};

#define ARRAY(name, value_type, entries)                \
	struct {                                        \
		__uint(type, BPF_MAP_TYPE_ARRAY);       \
		__uint(map_flags, BPF_F_MMAPABLE);      \
		__uint(max_entries, entries);           \
		__type(key, __u32);                     \
		__type(value, value_type);              \
	} name SEC(".maps")

ARRAY(slots, struct weir_slot, SLOTS);
ARRAY(free_slots, struct free_ring, 1);
ARRAY(requests, struct request, 1);
ARRAY(said, struct said, KEYS);
ARRAY(layout, __u64, 32);

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SLOTS);
	__type(key, struct weir_key);
	__type(value, __u32);
} flows SEC(".maps");

static __always_inline int pop(void)
{
	__u32 zero = 0;
	struct free_ring *free = bpf_map_lookup_elem(&free_slots, &zero);

	if (!free)
		return TABLE_FULL;
	for (int n = 0; n < POP_TRIES; n++) {
		__u32 head = *(volatile __u32 *)&free->ring.head;

		if (head == *(volatile __u32 *)&free->ring.tail)
			return TABLE_FULL;
		/* Nobody overwrites the word before head has passed it. */
		__u32 slot = *(volatile __u32 *)&free->words[32 + (head & (SLOTS - 1))];

		if (__sync_val_compare_and_swap(&free->ring.head, head, head + 1) == head)
			return slot;
	}
	return TABLE_FULL;
}

static __always_inline int same_key(const struct weir_slot *slot, const struct weir_key *key)
{
	__u32 difference = 0;

	for (int n = 0; n < WEIR_KEY_WORDS; n++)
		difference |= slot->key.word[n] ^ key->word[n];
	return difference == 0;
}

/* Stretches the moments in which a race is lost: a pause of `turns` × some 20 ns. */
static __always_inline void pause(__u32 turns)
{
	for (__u32 n = 0; n < MAX_PAUSE && n < turns; n++)
		bpf_ktime_get_ns();
}

/* The slot of a key. An element of the hash may be reused while we hold it: the key in the slot decides. */
static __always_inline struct weir_slot *find(const struct weir_key *key, __u32 *index, int *known, __u32 turns)
{
	for (int n = 0; n < 2; n++) {
		__u32 *found = bpf_map_lookup_elem(&flows, key);

		*known = found != NULL;
		if (!found)
			return NULL;
		pause(turns);
		*index = *(volatile __u32 *)found;
		struct weir_slot *slot = bpf_map_lookup_elem(&slots, index);

		if (slot && same_key(slot, key))
			return slot;
	}
	return NULL;
}

static __always_inline struct weir_slot *create(const struct weir_key *key, __u64 now, __u32 *index, __u64 *returned,
						int *cause, __u32 turns)
{
	int popped = pop();

	*cause = TABLE_FULL;
	if (popped < 0)
		return NULL;
	*index = popped;
	struct weir_slot *slot = bpf_map_lookup_elem(&slots, index);

	if (!slot)
		return NULL;
	slot->key = *key;
	slot->created = now;
	slot->last = now;
	slot->rule = 0;
	slot->rule_gen = 1;
	pause(turns);
	if (bpf_map_update_elem(&flows, key, index, BPF_NOEXIST) == 0) {
		/* LIVE only now: what the sweeper may retire can be found and unlinked by its key. */
		__sync_lock_test_and_set(&slot->state, WEIR_LIVE);
		return slot;
	}
	__sync_lock_test_and_set(&slot->state, WEIR_RETURNED);
	__sync_fetch_and_add(returned, 1);
	int known;

	*cause = RACE;
	return find(key, index, &known, 0);
}

static __always_inline void hit(struct weir_slot *slot, __u32 packets, __u32 bytes, __u32 l3_bytes, __u32 flags,
				__u64 now)
{
	__sync_fetch_and_add(&slot->bytes, bytes);
	__sync_fetch_and_add(&slot->l3_bytes, l3_bytes);
	__sync_fetch_and_add(&slot->packets, packets);
	*(volatile __u64 *)&slot->last = now;
	/* Whose `first` is, its low word says: never 0 when set. */
	if (*(volatile __u64 *)&slot->first == 0)
		__sync_val_compare_and_swap(&slot->first, 0, (__u32)now ? now : now | 1);
	if (flags & ~*(volatile __u32 *)&slot->tcp_flags)
		__sync_fetch_and_or(&slot->tcp_flags, flags);
}

static __always_inline int count(struct request *frame, __u64 *returned, __u32 turns)
{
	__u32 index = 0;
	int known = 0, cause = RACE;
	struct weir_slot *slot = find(&frame->key, &index, &known, turns);

	if (!slot && !known)
		slot = create(&frame->key, frame->now, &index, returned, &cause, turns);
	if (!slot)
		return cause;
	pause(turns);
	hit(slot, frame->packets, frame->bytes, frame->l3_bytes, frame->tcp_flags, frame->now);
	return index;
}

SEC("tc")
int frame(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct request *request = bpf_map_lookup_elem(&requests, &zero);
	struct said *said_here = bpf_map_lookup_elem(&said, &zero);

	if (!request || !said_here)
		return 1;
	request->result = count(request, &said_here->returned, 0);
	return 0;
}

SEC("tc")
int hammer(struct __sk_buff *skb)
{
	__u32 random = bpf_get_prandom_u32();
	/* Most frames go to few keys, so that CPUs meet in one slot; the others come and go. */
	__u32 key = random & 0x80000000 ? random & 7 : random & (KEYS - 1);
	struct said *row = bpf_map_lookup_elem(&said, &key);
	struct request frame = {};

	if (!row)
		return 1;
	frame.key.word[0] = 1 << 16;
	frame.key.word[6] = key;
	frame.key.word[19] = ~key;
	frame.now = bpf_ktime_get_ns();
	frame.packets = 1 + ((random >> 16) & 3);
	frame.bytes = 60 + ((random >> 12) & 0xffff);
	frame.l3_bytes = frame.bytes - 14;
	frame.tcp_flags = 1 << ((random >> 8) & 7);
	/* One frame in 256 takes its time over every step. */
	if (count(&frame, &row->returned, random & 0xff00 ? 0 : MAX_PAUSE) < 0) {
		__sync_fetch_and_add(&row->unattributed, frame.packets);
		return 0;
	}
	__sync_fetch_and_add(&row->packets, frame.packets);
	__sync_fetch_and_add(&row->bytes, frame.bytes);
	return 0;
}

#define SAY(number, value)                                              \
	do {                                                            \
		__u32 at = number;                                      \
		__u64 *out = bpf_map_lookup_elem(&layout, &at);         \
		if (out)                                                \
			*out = value;                                   \
	} while (0)

/* The layout as this compiler sees it, in bytes, in the order of test/conformance/slots.ts. */
SEC("tc")
int tell_layout(struct __sk_buff *skb)
{
	SAY(0, sizeof(struct weir_slot));
	SAY(1, offsetof(struct weir_slot, state));
	SAY(2, offsetof(struct weir_slot, gen));
	SAY(3, offsetof(struct weir_slot, packets));
	SAY(4, offsetof(struct weir_slot, bytes));
	SAY(5, offsetof(struct weir_slot, l3_bytes));
	SAY(6, offsetof(struct weir_slot, last));
	SAY(7, offsetof(struct weir_slot, first));
	SAY(8, offsetof(struct weir_slot, tcp_flags));
	SAY(9, offsetof(struct weir_slot, reason));
	SAY(10, offsetof(struct weir_slot, rule));
	SAY(11, offsetof(struct weir_slot, rule_gen));
	SAY(12, offsetof(struct weir_slot, key));
	SAY(13, sizeof(struct weir_key));
	SAY(14, offsetof(struct weir_slot, dropped_packets));
	SAY(15, offsetof(struct weir_slot, dropped_bytes));
	SAY(16, offsetof(struct weir_slot, created));
	SAY(17, offsetof(struct weir_slot, recorded));
	SAY(18, offsetof(struct weir_slot, recorded_drops));
	SAY(19, offsetof(struct weir_ring, head));
	SAY(20, offsetof(struct weir_ring, tail));
	SAY(21, offsetof(struct weir_ring, data));
	SAY(22, WEIR_SLOT_VERSION);
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
