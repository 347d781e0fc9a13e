/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Find, make and hit flow slots: src/shm/README.md is the protocol, step by step. */
#ifndef WEIR_FLOWS_H
#define WEIR_FLOWS_H

#include <bpf/bpf_helpers.h>
#include "frame.h"
#include "maps.h"

#define POP_TRIES 16
#define NO_SLOT 0xffffffff
/* Why there is no slot. */
#define SLOT_UNKNOWN 1
#define SLOT_RACE 2
#define SLOT_FULL 3

static __always_inline __u32 pop_free(void)
{
	struct weir_settings *settings = get_settings();
	__u32 zero = 0, one = 1;
	struct weir_line *head_line = bpf_map_lookup_elem(&free_slots, &zero);
	struct weir_line *tail_line = bpf_map_lookup_elem(&free_slots, &one);

	if (!settings || !head_line || !tail_line)
		return NO_SLOT;
	for (int n = 0; n < POP_TRIES; n++) {
		__u32 head = *(volatile __u32 *)&head_line->word[0];

		if (head == *(volatile __u32 *)&tail_line->word[0])
			return NO_SLOT;
		__u32 at = head & settings->word[SET_FREE_MASK];
		__u32 line = 2 + at / FREE_LINE_WORDS;
		struct weir_line *numbers = bpf_map_lookup_elem(&free_slots, &line);

		if (!numbers)
			return NO_SLOT;
		/* Nobody overwrites the number before head has passed it. */
		__u32 slot = *(volatile __u32 *)&numbers->word[at & (FREE_LINE_WORDS - 1)];

		if (__sync_val_compare_and_swap(&head_line->word[0], head, head + 1) == head)
			return slot;
	}
	return NO_SLOT;
}

/* Words that IPv4 leaves 0, as src/flow/parse.ts says of a key whose first word is IPv4's. */
#define IS_IPV6_ONLY(n) ((n) > KEY_TYPE && (n) != KEY_IP_SRC && (n) != KEY_IP_DST && (n) != KEY_L4)

/*
 * All 20 words: where the first is equal and IPv4's, those that are 0 in both are equal unseen, and with them the slot's
 * third cache line.
 */
static __always_inline int same_key(const struct weir_slot *slot, const struct weir_key *key)
{
	__u64 difference = 0;

	/* In pairs: a slot's key stands on an 8-byte boundary, and so does a frame's. */
	for (int n = 0; n < WEIR_KEY_WORDS / 2; n++)
		if (!IS_IPV6_ONLY(2 * n))
			difference |= ((const __u64 *)slot->key.word)[n] ^ ((const __u64 *)key->word)[n];
	if (difference || key->word[KEY_PORT] & KEY_IPV4)
		return difference == 0;
	for (int n = 0; n < WEIR_KEY_WORDS / 2; n++)
		if (IS_IPV6_ONLY(2 * n))
			difference |= ((const __u64 *)slot->key.word)[n] ^ ((const __u64 *)key->word)[n];
	return difference == 0;
}

/*
 * The key's hash, as hashKey of ../flow-index.ts: words times powers of an odd number, which the processor multiplies side
 * by side, then mixed. Who makes flows that collide fills `overflow`, whose hash has a secret.
 */
static __always_inline __u32 hash_key(const struct weir_key *key)
{
	__u32 sum = 0, factor = HASH_FACTOR;

#pragma unroll
	for (int n = 0; n < WEIR_KEY_WORDS; n++, factor *= HASH_FACTOR)
		if (!IS_IPV6_ONLY(n))
			sum += key->word[n] * factor;
	if (!(key->word[KEY_PORT] & KEY_IPV4)) {
		factor = HASH_FACTOR;
#pragma unroll
		for (int n = 0; n < WEIR_KEY_WORDS; n++, factor *= HASH_FACTOR)
			if (IS_IPV6_ONLY(n))
				sum += key->word[n] * factor;
	}
	sum ^= sum >> 15;
	sum *= HASH_FACTOR;
	return sum ^ sum >> 13;
}

#define ENTRY_SLOT 0xffffff
/* Never 0, so that an entry never is. */
#define ENTRY_TAG(hash) (((hash) & 0xff000000) | 0x01000000)
/* Another processor holds a bucket for the time of one insertion. */
#define LOCK_TRIES 256

static __always_inline struct weir_bucket *bucket_of(const struct weir_settings *settings, __u32 hash)
{
	__u32 at = hash & settings->word[SET_BUCKET_MASK];

	return bpf_map_lookup_elem(&buckets, &at);
}

static __always_inline __u32 state_of(const struct weir_bucket *bucket)
{
	return *(volatile __u32 *)&bucket->word[BUCKET_STATE];
}

/*
 * The slot behind the first entry with the key's tag, if that is the key's, and its number. NULL: `is_asked` says whether
 * find_slot may know more; else nobody had made one.
 */
static __always_inline struct weir_slot *find_first(const struct weir_settings *settings, const struct weir_key *key,
						    __u32 hash, __u32 *number, int *is_asked)
{
	struct weir_bucket *bucket = bucket_of(settings, hash);

	*is_asked = 1;
	if (!bucket)
		return NULL;
	for (int n = 0; n < BUCKET_WAYS; n++) {
		__u32 entry = *(volatile __u32 *)&bucket->word[n];

		if ((entry & ~ENTRY_SLOT) != ENTRY_TAG(hash))
			continue;
		*number = entry & ENTRY_SLOT;
		struct weir_slot *slot = bpf_map_lookup_elem(&slots, number);

		/* Another key with this tag may stand behind it. */
		return slot && same_key(slot, key) ? slot : NULL;
	}
	*is_asked = state_of(bucket) != 0;
	return NULL;
}

/*
 * The slot of a key, or NO_SLOT and why. An element of the hash may be reused while we hold it: the key in the slot
 * decides.
 */
__noinline __u32 find_slot(const struct weir_key *key, __u32 hash, __u32 *why)
{
	struct weir_settings *settings = get_settings();

	if (!key || !why || !settings)
		return NO_SLOT;
	struct weir_bucket *bucket = bucket_of(settings, hash);

	*why = SLOT_UNKNOWN;
	if (!bucket)
		return NO_SLOT;
	for (int n = 0; n < BUCKET_WAYS; n++) {
		__u32 entry = *(volatile __u32 *)&bucket->word[n], index = entry & ENTRY_SLOT;

		if ((entry & ~ENTRY_SLOT) != ENTRY_TAG(hash))
			continue;
		struct weir_slot *slot = bpf_map_lookup_elem(&slots, &index);

		if (slot && same_key(slot, key))
			return index;
	}
	if ((state_of(bucket) & ~BUCKET_LOCK) == 0)
		return NO_SLOT;
	for (int n = 0; n < 2; n++) {
		__u32 *found = bpf_map_lookup_elem(&overflow, key);

		if (!found)
			return NO_SLOT;
		__u32 index = *(volatile __u32 *)found;
		struct weir_slot *slot = bpf_map_lookup_elem(&slots, &index);

		if (slot && same_key(slot, key))
			return index;
	}
	*why = SLOT_RACE;
	return NO_SLOT;
}

/* Only who inserts locks: it is in nobody's way but another one's who inserts here. A program is never ended half-way. */
static __always_inline int lock_bucket(struct weir_bucket *bucket)
{
	for (int n = 0; n < LOCK_TRIES; n++) {
		__u32 seen = state_of(bucket);

		if (!(seen & BUCKET_LOCK) &&
		    __sync_val_compare_and_swap(&bucket->word[BUCKET_STATE], seen, seen | BUCKET_LOCK) == seen)
			return 1;
	}
	return 0;
}

static __always_inline void unlock_bucket(struct weir_bucket *bucket)
{
	__sync_fetch_and_and(&bucket->word[BUCKET_STATE], ~BUCKET_LOCK);
}

/*
 * The key leads to slot `index` from here on: an entry of the bucket, else an element of the hash. Under the lock, so a
 * free entry stays free until we take it. 0, or why not.
 */
static __always_inline __u32 insert_slot(struct weir_bucket *bucket, const struct weir_key *key, __u32 hash, __u32 index)
{
	for (int n = 0; n < BUCKET_WAYS; n++) {
		if (*(volatile __u32 *)&bucket->word[n] != 0)
			continue;
		/* The key is in the slot before anybody is led there. */
		__sync_lock_test_and_set(&bucket->word[n], ENTRY_TAG(hash) | index);
		return 0;
	}
	__u32 value = index;

	if (bpf_map_update_elem(&overflow, key, &value, BPF_NOEXIST))
		return SLOT_FULL;
	__sync_fetch_and_add(&bucket->word[BUCKET_STATE], 1);
	return 0;
}

/* A slot for the key, whose hash_key is `hash`: its number, or NO_SLOT and `why`. Where another CPU was faster, its slot. */
__noinline __u32 create_slot(const struct weir_key *key, __u32 hash, __u32 rule, __u32 gen, __u32 *why)
{
	if (!key || !why)
		return NO_SLOT;
	struct weir_settings *settings = get_settings();
	__u32 port = key->word[KEY_PORT] >> 16;
	struct weir_counters *counters_of = bpf_map_lookup_elem(&counters, &port);
	__u64 now = bpf_ktime_get_coarse_ns();

	*why = SLOT_FULL;
	if (!settings || !counters_of || counters_of->word[C_FLOWS] >= settings->word[SET_MAX_FLOWS])
		return NO_SLOT;
	struct weir_bucket *bucket = bucket_of(settings, hash);
	__u32 index = pop_free();
	struct weir_slot *slot = bpf_map_lookup_elem(&slots, &index);

	if (!bucket || !slot)
		return NO_SLOT;
	slot->key = *key;
	slot->created = now;
	slot->last = now;
	slot->rule = rule;
	slot->rule_gen = gen;

	__u32 there = NO_SLOT;

	*why = SLOT_RACE;
	if (lock_bucket(bucket)) {
		there = find_slot(key, hash, why);
		if (there == NO_SLOT && *why == SLOT_UNKNOWN)
			*why = insert_slot(bucket, key, hash, index);
		unlock_bucket(bucket);
	}
	if (*why == 0) {
		/* LIVE only now: what the sweeper may retire can be found and unlinked by its key. */
		__sync_lock_test_and_set(&slot->state, WEIR_LIVE);
		__sync_fetch_and_add(&counters_of->word[C_FLOWS], 1);
		__sync_fetch_and_add(&counters_of->word[C_FLOWS_CREATED], 1);
		return index;
	}
	__sync_lock_test_and_set(&slot->state, WEIR_RETURNED);
	return there;
}

/* Count the frame: what was refused first, packets last; no look at the state, no lock. */
static __always_inline void hit_slot(struct weir_slot *slot, const struct weir_frame *frame, __u32 reason)
{
	__u64 now = bpf_ktime_get_coarse_ns();

	if (reason) {
		slot->reason = reason;
		__sync_fetch_and_add(&slot->dropped_bytes, frame->wire_bytes);
		__sync_fetch_and_add(&slot->dropped_packets, frame->packets);
	}
	__sync_fetch_and_add(&slot->bytes, frame->wire_bytes);
	__sync_fetch_and_add(&slot->l3_bytes, frame->wire_l3);
	__sync_fetch_and_add(&slot->packets, frame->packets);
	*(volatile __u64 *)&slot->last = now;
	/* Whose `first` is, its low word says: never 0 when set. */
	if (*(volatile __u64 *)&slot->first == 0)
		__sync_val_compare_and_swap(&slot->first, 0, (__u32)now ? now : now | 1);
	if (frame->tcp_flags & ~*(volatile __u32 *)&slot->tcp_flags)
		__sync_fetch_and_or(&slot->tcp_flags, frame->tcp_flags);
}

#endif
