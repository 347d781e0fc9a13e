/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Samples and drop notices: each kind has a ring of its own, a full one refuses and the port counts it. */
#ifndef WEIR_SAMPLE_H
#define WEIR_SAMPLE_H

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "count.h"
#include "flows.h"

#define MACS 12

/* What became of the frame, for its sample. */
struct weir_outcome {
	__u32 disposition, reason, outputs, output_port, out_tci, slot, gen;
};

/* The first `bytes` of the frame as on the wire: the outer tag is put back where it was. Returns how many. */
static __always_inline __u32 copy_head(struct __sk_buff *skb, const struct weir_frame *frame, __u8 *to, __u32 bytes)
{
	__u32 from = 0, at = 0, left;

	if (bytes > frame->length)
		bytes = frame->length;
	if (frame->beside && bytes >= MACS + 4) {
		__u16 proto = skb->vlan_proto, raw = bpf_htons(skb->vlan_tci & 0xffff);

		if (bpf_skb_load_bytes(skb, 0, to, MACS))
			return 0;
		__builtin_memcpy(to + MACS, &proto, 2);
		__builtin_memcpy(to + MACS + 2, &raw, 2);
		from = MACS;
		at = MACS + 4;
	}
	left = bytes - at;
	/* The verifier wants to see both bounds, on this very register. */
	if (left == 0 || left > SAMPLE_DATA_BYTES - MACS - 4)
		left = left == 0 ? 1 : SAMPLE_DATA_BYTES - MACS - 4;
	if (bpf_skb_load_bytes(skb, from, to + at, left))
		return at;
	return at + left;
}

__noinline int write_sample(struct __sk_buff *skb, const struct weir_frame *frame, __u32 kind,
				   const struct weir_outcome *outcome)
{
	if (!frame || !outcome)
		return 0;
	__u32 port = frame->key.word[KEY_PORT] >> 16;
	struct weir_settings *settings = get_settings();
	struct weir_counters *row = bpf_map_lookup_elem(&counters, &port);
	struct weir_port *entry = bpf_map_lookup_elem(&ports, &port);

	if (!settings || !row || !entry)
		return 0;
	struct weir_stripe *stripe = stripe_of(settings, port);
	struct weir_sample *sample;

	if (kind == SAMPLE_KIND_FLOW)
		sample = bpf_ringbuf_reserve(&samples, sizeof(*sample), 0);
	else
		sample = bpf_ringbuf_reserve(&notices, sizeof(*sample), 0);
	if (!sample)
		return 0;
	sample->time = bpf_ktime_get_ns();
	sample->pool = stripe ? stripe->word[S_SAMPLE_POOL] : 0;
	sample->drops = row->word[kind == SAMPLE_KIND_FLOW ? C_SAMPLE_DROPS : C_NOTICES_LOST];
	sample->kind = kind;
	sample->port = port;
	sample->rate = entry->word[P_RATE];
	sample->segments = frame->packets;
	sample->wire_length = segment_length(frame);
	sample->disposition = outcome->disposition;
	sample->reason = outcome->reason;
	sample->outputs = outcome->outputs;
	sample->output_port = outcome->output_port;
	sample->in_tci = frame->key.word[KEY_VLAN] >> 16;
	sample->out_tci = outcome->out_tci;
	sample->slot = outcome->slot;
	sample->gen = outcome->gen;
	sample->captured =
		copy_head(skb, frame, sample->data, kind == SAMPLE_KIND_FLOW ? entry->word[P_HEADER] : NOTICE_BYTES);
	/* Nobody waits on the ring: it is looked at many times a second. */
	bpf_ringbuf_submit(sample, BPF_RB_NO_WAKEUP);
	return 1;
}

/* One frame in N: a countdown, redrawn uniformly from 1 … 2N−1. */
static __always_inline void sample_frame(struct __sk_buff *skb, const struct weir_frame *frame,
					 struct weir_stripe *stripe, struct weir_counters *row, __u32 rate,
					 const struct weir_outcome *outcome)
{
	stripe->word[S_SAMPLE_POOL] += frame->packets;
	__s64 skip = (__s64)stripe->word[S_SKIP] - frame->packets;

	if (skip <= 0) {
		__u64 random = bpf_get_prandom_u32();

		/* What a super-packet was beyond its turn counts for the next: the mean stays 1 in `rate` packets. */
		skip += 1 + ((random * (2 * (__u64)rate - 1)) >> 32);
		if (skip < 1)
			skip = 1;
		ADD(row, write_sample(skb, frame, SAMPLE_KIND_FLOW, outcome) ? C_SAMPLES : C_SAMPLE_DROPS, 1);
	}
	stripe->word[S_SKIP] = skip;
}

static __always_inline void notice_drop(struct __sk_buff *skb, const struct weir_frame *frame,
					struct weir_settings *settings, struct weir_port *entry,
					struct weir_counters *row, const struct weir_outcome *outcome)
{
	__u32 half = outcome->reason < 32 ? settings->word[SET_QUIET_LOW] : settings->word[SET_QUIET_HIGH];
	__u64 now = bpf_ktime_get_coarse_ns();

	/* Drops of a switch at work are nobody's news. */
	if (half >> (outcome->reason & 31) & 1)
		return;
	if (now - entry->word[P_WINDOW] >= NOTICE_WINDOW_MS * 1000000ULL) {
		entry->word[P_WINDOW] = now;
		entry->word[P_NOTICES] = 0;
	}
	int kept = __sync_fetch_and_add(&entry->word[P_NOTICES], 1) < NOTICES_PER_WINDOW &&
		   write_sample(skb, frame, SAMPLE_KIND_DROP, outcome);

	ADD(row, kept ? C_NOTICES : C_NOTICES_LOST, 1);
}

#endif
