/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel datapath's fast path. `ingress` stands on every port's way in; `resume` on the private veth by which frames
 * that waited for a rule come back. The way of a frame is that of the userspace engine: parse, count, flow table, else
 * rule cache, else up to the process; then outputs, disposition, flow, sample.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "actions.h"
#include "count.h"
#include "flows.h"
#include "frame.h"
#include "maps.h"
#include "mirror.h"
#include "parse.h"
#include "rules.h"
#include "sample.h"

#define STAG_PROTO 0xa888 /* 0x88a8 in network order */

/* Refuse the frame without a flow. */
__noinline int refuse(struct __sk_buff *skb, const struct weir_frame *frame, __u32 reason, __u32 cause)
{
	if (!frame)
		return TC_ACT_SHOT;
	__u32 port = frame->key.word[KEY_PORT] >> 16;
	struct weir_settings *settings = get_settings();
	struct weir_counters *row = bpf_map_lookup_elem(&counters, &port);
	struct weir_port *entry = bpf_map_lookup_elem(&ports, &port);

	if (!settings || !row || !entry)
		return TC_ACT_SHOT;
	struct weir_stripe *stripe = stripe_of(settings, port);

	if (!stripe)
		return TC_ACT_SHOT;
	struct weir_outcome outcome = { .disposition = DROPPED, .reason = reason, .slot = NO_SLOT, .gen = NO_SLOT };

	count_disposition(row, stripe, frame, DROPPED, reason);
	count_unattributed(frame, cause);
	if (entry->word[P_RATE])
		sample_frame(skb, frame, stripe, row, entry->word[P_RATE], &outcome);
	notice_drop(skb, frame, settings, entry, row, &outcome);
	return TC_ACT_SHOT;
}

/*
 * No rule: the frame goes whole to the process, and comes back whole. An S-tag before what it has names its port. The
 * process says how many it has taken; so many may be on the way that its ring holds them.
 */
__noinline int go_up(struct __sk_buff *skb, const struct weir_frame *frame)
{
	if (!frame)
		return TC_ACT_SHOT;
	__u32 port = frame->key.word[KEY_PORT] >> 16;
	struct weir_settings *settings = get_settings();
	struct weir_counters *row = bpf_map_lookup_elem(&counters, &port);
	struct weir_up *up = bpf_map_lookup_elem(&ups, &port);

	if (!settings || !row || !up)
		return TC_ACT_SHOT;
	ADD(row, C_MISSES, 1);
	__u32 sent = *(volatile __u32 *)&settings->word[SET_MISSES_SENT];
	__u32 taken = *(volatile __u32 *)&settings->word[SET_MISSES_TAKEN];

	/* Signed: a frame of many segments may arrive as several. */
	if ((__s32)(sent - taken) >= (__s32)settings->word[SET_MISS_ROOM] || bpf_skb_vlan_push(skb, STAG_PROTO, port))
		return refuse(skb, frame, DROP_CPU_BACKLOG, CAUSE_MISS_REFUSED);
	__sync_fetch_and_add(&settings->word[SET_MISSES_SENT], 1);
	ADD(up, UP_SENT, frame->packets);
	ADD(up, UP_SENT_BYTES, frame->wire_bytes);
	return bpf_redirect(settings->word[SET_MISS_IFINDEX], 0);
}

/* Observe mode: no rule yet, or no whole header. Nobody waits for an answer. */
__noinline int pass_without_flow(const struct weir_frame *frame, __u32 cause)
{
	if (!frame)
		return TCX_NEXT;
	__u32 port = frame->key.word[KEY_PORT] >> 16;
	struct weir_settings *settings = get_settings();
	struct weir_counters *row = bpf_map_lookup_elem(&counters, &port);
	struct weir_stripe *stripe = settings ? stripe_of(settings, port) : NULL;

	if (!row || !stripe)
		return TCX_NEXT;
	count_disposition(row, stripe, frame, OBSERVED, 0);
	count_unattributed(frame, cause);
	return TCX_NEXT;
}

/* Find or make the flow, follow its rule, settle. The frame is parsed, and counted as received. */
static __always_inline int decide(struct __sk_buff *skb, struct weir_frame *frame, struct weir_settings *settings,
				  struct weir_port *entry, struct weir_counters *row, struct weir_stripe *stripe)
{
	struct weir_rule *rule = NULL;
	__u32 index = 0, block = NO_RULE, why = 0, number = NO_SLOT;
	__u32 hash = hash_key(&frame->key);
	int is_asked = 0;
	struct weir_slot *slot = find_first(settings, &frame->key, hash, &number, &is_asked);

	if (!slot) {
		number = NO_SLOT;
		why = SLOT_UNKNOWN;
		if (is_asked)
			number = find_slot(&frame->key, hash, &why);
		/* NO_SLOT is beyond the array: no slot then. */
		slot = bpf_map_lookup_elem(&slots, &number);
	}

	if (slot) {
		index = slot->rule;
		rule = bpf_map_lookup_elem(&rule_table, &index);
		__u32 gen = rule ? *(volatile __u32 *)&rule->word[RULE_GEN] : 0;

		/* Generation 0: no rule. */
		if (gen == 0 || gen != slot->rule_gen)
			rule = NULL;
	}
	if (!rule) {
		index = classify(frame, hash);
		__u32 gen = 0;

		if (index == NO_RULE) {
			if (settings->word[SET_OBSERVE])
				return pass_without_flow(frame, CAUSE_MISS_REFUSED);
			if (!is_away(settings))
				return go_up(skb, frame);
			block = away_block(settings, frame);
			if (block == NO_RULE) {
				__sync_fetch_and_add(&settings->word[SET_AWAY_REFUSED], frame->packets);
				return refuse(skb, frame, DROP_CPU_BACKLOG, CAUSE_MISS_REFUSED);
			}
			__sync_fetch_and_add(&settings->word[SET_AWAY_FLOODED], frame->packets);
			frame->not_to = frame->key.word[KEY_PORT] >> 16;
		} else {
			rule = bpf_map_lookup_elem(&rule_table, &index);
			if (!rule)
				return TC_ACT_SHOT;
			ADD(row, C_RULE_HITS, 1);
			gen = *(volatile __u32 *)&rule->word[RULE_GEN];
		}

		if (slot) {
			slot->rule = index;
			slot->rule_gen = gen;
		} else if (why == SLOT_UNKNOWN) {
			number = create_slot(&frame->key, hash, index, gen, &why);
			slot = bpf_map_lookup_elem(&slots, &number);
		}
	}

	if (rule)
		block = *(volatile __u32 *)&rule->word[RULE_BLOCK];
	struct weir_block *first = bpf_map_lookup_elem(&blocks, &block);

	if (!first)
		return TC_ACT_SHOT;
	__u32 what = first->word[0] & 0xff, outputs = first->word[0] >> 8 & 0xffff;
	struct weir_outcome outcome = { .disposition = what, .slot = NO_SLOT, .gen = NO_SLOT };
	struct weir_output output = {};
	struct weir_port *out = NULL;

	if (what == DROPPED) {
		outcome.reason = first->word[1];
	} else if (what == FORWARDED) {
		/* The first output stands in the block's first part. */
		unpack_output(first->word[ACTION_HEADER_WORDS], first->word[ACTION_HEADER_WORDS + 1], &output);
		if (outputs == 1 && output.port != frame->not_to) {
			out = bpf_map_lookup_elem(&ports, &output.port);
			outcome.reason = judge(frame, &output, out);
			if (outcome.reason)
				count_failed(output.port, frame);
		} else {
			outcome.reason = judge_all(frame, block, outputs);
		}
		if (outcome.reason) {
			outcome.disposition = DROPPED;
		} else if (entry->word[P_RATE]) {
			outcome.outputs = outputs;
			outcome.output_port = output.port;
			outcome.out_tci = outgoing_tci(&output, frame->key.word[KEY_VLAN] >> 16);
		}
	}
	count_disposition(row, stripe, frame, outcome.disposition, outcome.reason);
	if (slot) {
		hit_slot(slot, frame, outcome.reason);
		outcome.slot = number;
		outcome.gen = slot->gen;
	} else {
		count_unattributed(frame, why == SLOT_FULL ? CAUSE_TABLE_FULL : CAUSE_RACE);
	}
	if (entry->word[P_RATE])
		sample_frame(skb, frame, stripe, row, entry->word[P_RATE], &outcome);
	if (outcome.reason)
		notice_drop(skb, frame, settings, entry, row, &outcome);
	if (first->word[0] >> 24)
		mirror(skb, frame, block, outputs, outcome.reason);
	if (outcome.disposition == OBSERVED)
		return TCX_NEXT;
	if (outcome.disposition != FORWARDED)
		return TC_ACT_SHOT;
	return out ? send_one(skb, frame, &output, out) : send_all(skb, frame, block, outputs);
}

/* 0 = none. Devices have small numbers, mostly. */
static __always_inline __u32 port_of_device(__u32 ifindex)
{
	__u64 *direct = bpf_map_lookup_elem(&direct_ports, &ifindex);

	if (direct)
		return *direct;
	__u32 *number = bpf_map_lookup_elem(&port_of, &ifindex);

	return number ? *number : 0;
}

/* Of a port in observe mode that is asked for both directions it stands on the way out, too. */
SEC("tc")
int ingress(struct __sk_buff *skb)
{
	struct weir_settings *settings = get_settings();
	__u32 port = port_of_device(skb->ifindex);

	if (!settings)
		return TC_ACT_SHOT;
	int otherwise = settings->word[SET_OBSERVE] ? TCX_NEXT : TC_ACT_SHOT;

	if (port == 0)
		return otherwise;
	struct weir_port *entry = bpf_map_lookup_elem(&ports, &port);
	struct weir_counters *row = bpf_map_lookup_elem(&counters, &port);
	struct weir_stripe *stripe = stripe_of(settings, port);

	/* A port that is not enabled receives nothing. */
	if (!entry || !row || !stripe || !(entry->word[P_FLAGS] & PORT_ENABLED))
		return otherwise;
	struct weir_frame frame = {};
	int whole = parse_frame(skb, &frame, port);

	measure(skb, &frame);
	stripe->word[S_RX_PACKETS] += frame.packets;
	stripe->word[S_RX_BYTES] += frame.wire_bytes;
	if (!whole)
		return settings->word[SET_OBSERVE] ? pass_without_flow(&frame, CAUSE_NO_FLOW) :
						     refuse(skb, &frame, DROP_PKT_TOO_SMALL, CAUSE_NO_FLOW);
	if (is_multicast(&frame.key))
		ADD(row, is_broadcast(&frame.key) ? C_RX_BROADCAST : C_RX_MULTICAST, frame.packets);
	if (frame.fault)
		ADD(row, C_FAULT + (frame.fault & 15), frame.packets);
	return decide(skb, &frame, settings, entry, row, stripe);
}

SEC("tc")
int resume(struct __sk_buff *skb)
{
	struct weir_settings *settings = get_settings();

	if (!settings || !skb->vlan_present || skb->vlan_proto != STAG_PROTO)
		return TC_ACT_SHOT;
	__u32 port = skb->vlan_tci & TCI_VID;
	struct weir_port *entry = bpf_map_lookup_elem(&ports, &port);
	struct weir_counters *row = bpf_map_lookup_elem(&counters, &port);
	struct weir_up *up = bpf_map_lookup_elem(&ups, &port);
	struct weir_stripe *stripe = stripe_of(settings, port);

	if (!entry || !row || !up || !stripe || bpf_skb_vlan_pop(skb))
		return TC_ACT_SHOT;
	struct weir_frame frame = {};

	if (!parse_frame(skb, &frame, port))
		return TC_ACT_SHOT;
	measure(skb, &frame);
	ADD(up, UP_BACK, frame.packets);
	ADD(up, UP_BACK_BYTES, frame.wire_bytes);
	return decide(skb, &frame, settings, entry, row, stripe);
}

/* For tests: the key and facts of the frame that bpf_prog_test_run gives it, and the key's hash. */
struct weir_told {
	struct weir_frame frame;
	__u32 whole, hash;
};

ARRAY(told, struct weir_told, 1);

SEC("tc")
int tell_key(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct weir_told *out = bpf_map_lookup_elem(&told, &zero);
	struct weir_frame frame = {};

	if (!out)
		return TC_ACT_SHOT;
	out->whole = parse_frame(skb, &frame, 7);
	measure(skb, &frame);
	out->frame = frame;
	out->hash = hash_key(&frame.key);
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
