/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Counting by port. What changes with every frame stands in a stripe of the port's and this CPU's own, added to without
 * locks (a tc program is not interrupted by another one on its CPU); the rest is rare and added to atomically.
 */
#ifndef WEIR_COUNT_H
#define WEIR_COUNT_H

#include <stddef.h>
#include <bpf/bpf_helpers.h>
#include "frame.h"
#include "maps.h"

#define ADD(row, at, amount) __sync_fetch_and_add(&(row)->word[at], amount)

static __always_inline struct weir_stripe *stripe_of(const struct weir_settings *settings, __u32 port)
{
	__u32 at = port * settings->word[SET_CPUS] + bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&stripes, &at);
}

static __always_inline int is_broadcast(const struct weir_key *key)
{
	return key->word[KEY_ETH_DST] == 0xffffffff && key->word[KEY_ETH_DST_SRC] >> 16 == 0xffff;
}

static __always_inline int is_multicast(const struct weir_key *key)
{
	return (key->word[KEY_ETH_DST] & 0x01000000) != 0;
}

static __always_inline void count_unattributed(const struct weir_frame *frame, __u32 cause)
{
	__u32 port = frame->key.word[KEY_PORT] >> 16, tci = frame->key.word[KEY_VLAN] >> 16;
	struct weir_counters *row = bpf_map_lookup_elem(&counters, &port);
	__u32 vlan = tci & TCI_PRESENT && cause != CAUSE_NO_FLOW ? tci & TCI_VID : 0;
	__u32 at = port << 16 | vlan;
	struct weir_without_flow *sum = bpf_map_lookup_elem(&without_flow, &at);

	if (row) {
		ADD(row, C_UNATTRIBUTED + (cause & 7), frame->packets);
		ADD(row, C_UNATTRIBUTED_BYTES + (cause & 7), frame->wire_bytes);
	}
	if (!sum) {
		struct weir_without_flow none = {};

		bpf_map_update_elem(&without_flow, &at, &none, BPF_NOEXIST);
		sum = bpf_map_lookup_elem(&without_flow, &at);
	}
	if (!sum) {
		/* The table is full: the port's row for all other VLANs was made with the port. */
		at = port << 16 | OTHER_VLAN;
		sum = bpf_map_lookup_elem(&without_flow, &at);
	}
	if (!sum)
		return;
	__sync_fetch_and_add(&sum->packets, frame->packets);
	__sync_fetch_and_add(&sum->bytes, frame->wire_bytes);
	__sync_fetch_and_add(&sum->l3_bytes, frame->wire_l3);
}

static __always_inline void count_disposition(struct weir_counters *row, struct weir_stripe *stripe,
					      const struct weir_frame *frame, __u32 what, __u32 reason)
{
	if (what == FORWARDED) {
		stripe->word[S_FORWARDED] += frame->packets;
		stripe->word[S_FORWARDED_BYTES] += frame->wire_bytes;
	} else if (what == DROPPED) {
		ADD(row, C_DROPPED, frame->packets);
		ADD(row, C_DROPPED_BYTES, frame->wire_bytes);
		if (reason < MAX_DROP_REASONS)
			ADD(row, C_DROP_REASON + reason, frame->packets);
	} else {
		__u32 at = what == CONSUMED ? C_CONSUMED : C_OBSERVED;

		ADD(row, at, frame->packets);
		ADD(row, at + 1, frame->wire_bytes);
	}
}

/* A frame that leaves by `port`, `shift` bytes longer than it came. */
static __always_inline void count_sent(__u32 port, const struct weir_frame *frame, __s32 shift)
{
	struct weir_settings *settings = get_settings();
	struct weir_stripe *stripe = settings ? stripe_of(settings, port) : NULL;
	struct weir_counters *row;

	if (!stripe)
		return;
	stripe->word[S_TX_PACKETS] += frame->packets;
	stripe->word[S_TX_BYTES] += frame->wire_bytes + shift * (__s32)frame->packets;
	if (!is_multicast(&frame->key))
		return;
	row = bpf_map_lookup_elem(&counters, &port);
	if (row)
		ADD(row, is_broadcast(&frame->key) ? C_TX_BROADCAST : C_TX_MULTICAST, frame->packets);
}

#endif
