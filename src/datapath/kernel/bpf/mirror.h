/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Copies of a frame for mirror sessions (src/datapath/userspace/mirror.ts is the twin). The action block says who wants
 * copies where; each session's gate is asked once a frame. SPAN and RSPAN copies are sent here as clones, all others go
 * up in a ring of their own. What does not fit is counted, and nothing of it touches counters of ports and flows.
 */
#ifndef WEIR_MIRROR_H
#define WEIR_MIRROR_H

#include <bpf/bpf_helpers.h>
#include "actions.h"
#include "count.h"
#include "frame.h"
#include "gate.h"
#include "maps.h"
#include "offload.h"
#include "rules.h"

/* Records of the ring come in sizes that the verifier knows beforehand. */
#define COPY_SMALL 256
#define COPY_PACKET 2048
#define COPY_JUMBO 10240
#define COPY_HALF 33792
#define COPY_LARGE 66048
#define ETHERNET_PARTS 16 /* addresses and a tag */

/* The frame in hand, for loops. */
struct weir_mirror {
	struct __sk_buff *skb;
	const struct weir_frame *frame;
};

/* What is known of its copies: beside the stack, of which there are 512 bytes. */
struct weir_mirror_work {
	/* The first part of the action block, the word where its copies begin, why the frame was refused. */
	__u32 block, copies_at, reason;
	/* The kind of copies that are not this frame's: of one that is observed, those of the other direction. */
	__u32 other;
	/* Sessions: bits still to be asked, those whose gate is open, those that a copy has gone to. */
	__u32 left, admitted, sent;
	/* The most that an admitted session wants of a frame. */
	__u32 snaplen;
	/* The copy in hand: its words in the block, and whether it went. */
	__u32 target, operand, sessions, failed;
	struct weir_copy_head head;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct weir_mirror_work);
} mirror_work SEC(".maps");

static __always_inline struct weir_mirror_work *get_work(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&mirror_work, &zero);
}

static __always_inline __u32 block_word(__u32 block, __u32 n)
{
	__u32 at = block + n / BLOCK_WORDS;
	struct weir_block *part = bpf_map_lookup_elem(&blocks, &at);

	return part ? part->word[n & (BLOCK_WORDS - 1)] : 0;
}

static __always_inline struct weir_session_counts *counts_of(__u32 bit)
{
	struct weir_settings *settings = get_settings();

	if (!settings)
		return NULL;
	__u32 at = bit * settings->word[SET_CPUS] + bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&mirror_counts, &at);
}

/* A clone by the port of a SPAN or RSPAN; the frame is then as it was. Returns 1 where the device took it. */
__noinline int send_copy(struct __sk_buff *skb, const struct weir_frame *frame)
{
	struct weir_mirror_work *work = get_work();

	if (!frame || !work)
		return 0;
	struct weir_output output = {
		.port = work->target & 0xffff,
		.operation = work->target >> 16 & 0xff,
		.tci = work->operand & 0xffff,
		.tpid = work->operand >> 16,
	};
	struct weir_port *entry = bpf_map_lookup_elem(&ports, &output.port);
	__u16 proto = skb->vlan_proto, tci = skb->vlan_tci;

	/* A device takes one tag more than its MTU says: what is pushed may come on top of the largest frame. */
	if (!entry || !(entry->word[P_FLAGS] & PORT_UP) || segment_length(frame) > entry->word[P_MAX_FRAME] + 4)
		return 0;
	if ((output.operation == TAG_POP || output.operation == TAG_SET_VID) && !frame->beside)
		return 0;
	if (apply_tag(skb, &output))
		return 0;
	int isSent = bpf_clone_redirect(skb, entry->word[P_IFINDEX], 0) == 0;

	if (output.operation == TAG_PUSH || output.operation == TAG_SET_VID)
		bpf_skb_vlan_pop(skb);
	if (output.operation == TAG_POP || output.operation == TAG_SET_VID)
		bpf_skb_vlan_push(skb, proto, tci);
	return isSent;
}

/* Fill a record of `room` bytes, a constant. Returns 1, or 0 where the ring is full. */
static __always_inline int put_record(struct __sk_buff *skb, const struct weir_copy_head *head, __u32 beside, __u32 left,
				      const __u32 room)
{
	__u8 *record = bpf_ringbuf_reserve(&copies, room, 0);
	__u32 from = 0, at = COPY_HEAD_BYTES;

	if (!record)
		return 0;
	__builtin_memcpy(record, head, COPY_HEAD_BYTES);
	if (beside) {
		__u16 proto = skb->vlan_proto, raw = bpf_htons(skb->vlan_tci & 0xffff);

		bpf_skb_load_bytes(skb, 0, record + COPY_HEAD_BYTES, MACS);
		__builtin_memcpy(record + COPY_HEAD_BYTES + MACS, &proto, 2);
		__builtin_memcpy(record + COPY_HEAD_BYTES + MACS + 2, &raw, 2);
		from = MACS;
		at = COPY_HEAD_BYTES + ETHERNET_PARTS;
	}
	/* The verifier wants to see both bounds, on this very register. */
	asm volatile("" : "+r"(left));
	if (left > 0 && left <= room - COPY_HEAD_BYTES - ETHERNET_PARTS)
		bpf_skb_load_bytes(skb, from, record + at, left);
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	return 1;
}

/* Into the ring, for the process. Returns 1 where it went. */
__noinline int keep_copy(struct __sk_buff *skb, const struct weir_frame *frame)
{
	struct weir_mirror_work *work = get_work();

	if (!frame || !work)
		return 0;
	struct weir_copy_head *head = &work->head;
	__u32 bytes = frame->length, beside = frame->beside;

	head->time = bpf_ktime_get_ns();
	head->sessions = work->sessions;
	head->port = work->target & 0xffff;
	head->direction = work->target >> 24 == COPY_IN ? 1 : 2;
	head->reason = work->reason;
	head->length = bytes;
	head->tag = (work->target >> 16 & 0xff) | work->operand << 16;
	head->tpid = work->operand >> 16;
	head->has_vnet = 1;
	/* A super-packet is cut into segments first, a partial checksum is completed first: both need all of it. */
	if (!describe_offload(skb, frame, head) && bytes > work->snaplen + 4)
		bytes = work->snaplen + 4;
	if (bytes > COPY_LARGE - COPY_HEAD_BYTES)
		bytes = COPY_LARGE - COPY_HEAD_BYTES;
	if (beside && bytes < ETHERNET_PARTS)
		bytes = ETHERNET_PARTS;
	head->captured = bytes;
	__u32 left = beside ? bytes - ETHERNET_PARTS : bytes;

	if (left <= COPY_SMALL - COPY_HEAD_BYTES - ETHERNET_PARTS)
		return put_record(skb, head, beside, left, COPY_SMALL);
	if (left <= COPY_PACKET - COPY_HEAD_BYTES - ETHERNET_PARTS)
		return put_record(skb, head, beside, left, COPY_PACKET);
	if (left <= COPY_JUMBO - COPY_HEAD_BYTES - ETHERNET_PARTS)
		return put_record(skb, head, beside, left, COPY_JUMBO);
	if (left <= COPY_HALF - COPY_HEAD_BYTES - ETHERNET_PARTS)
		return put_record(skb, head, beside, left, COPY_HALF);
	return put_record(skb, head, beside, left, COPY_LARGE);
}

/*
 * The steps of a frame's copies. Each is a function for the first item, nearly always the only one, and a loop for the
 * rest: with one session on one output the four loops took more time than all that they did.
 */

/* Who wants copy n? */
static __always_inline void collect(struct weir_mirror_work *work, __u32 n)
{
	__u32 at = work->copies_at + n * ACTION_COPY_WORDS;

	if (block_word(work->block, at) >> 24 != work->other)
		work->left |= block_word(work->block, at + 2);
}

static long collect_one(__u32 n, struct weir_mirror *mirror)
{
	struct weir_mirror_work *work = get_work();

	if (!work)
		return 1;
	collect(work, n + 1);
	return 0;
}

/* The next session that is left. */
static __always_inline __u32 take_session(__u32 *sessions)
{
	__u32 bit = lowest(*sessions);

	*sessions &= *sessions - 1;
	return bit;
}

/* Ask the gate of the next session. A call even for the first: a filter needs the stack (512 bytes along the calls). */
static __noinline long ask_one(__u32 n, struct weir_mirror *mirror)
{
	struct weir_mirror_work *work = get_work();

	if (!work || work->left == 0)
		return 1;
	const struct weir_frame *frame = mirror->frame;
	__u32 bit = take_session(&work->left), packets = frame->packets;
	struct weir_session_counts *counts = counts_of(bit);
	struct weir_gate *gate = bpf_map_lookup_elem(&gates, &bit);

	if (!gate || !counts || !is_wanted(mirror->skb, frame, gate, bit))
		return 0;
	__u32 why = pass_gate(gate, frame);

	if (why == SESSION_IS_DONE)
		return 0;
	counts->word[M_MATCHED] += packets;
	if (why) {
		counts->word[why & (SESSION_COUNTERS - 1)] += packets;
		return 0;
	}
	__u32 snaplen = gate->word[G_SNAPLEN];

	if (snaplen == 0)
		snaplen = COPY_LARGE;
	if (work->snaplen < snaplen)
		work->snaplen = snaplen;
	work->admitted |= 1 << bit;
	return 0;
}

/* One session's part in the copy in hand: with the output that it is (`MirrorGate.outputs`), or where the ring was full. */
static __always_inline void count_copy(struct weir_mirror_work *work, const struct weir_frame *frame)
{
	__u32 kind = work->target >> 24, packets = frame->packets, bit = take_session(&work->left);
	struct weir_session_counts *counts = counts_of(bit);
	struct weir_gate *gate = bpf_map_lookup_elem(&gates, &bit);

	if (!counts || !gate)
		return;
	if (kind == COPY_IN || kind == COPY_OUT) {
		counts->word[M_QUEUE_DROPPED] += packets;
		return;
	}
	/* An RSPAN copy's operand says its VLAN whatever becomes of the tag. */
	__u32 output = kind << 24 | (kind == COPY_SPAN ? work->target & 0xffff : work->operand & TCI_VID);
	const __u32 *outputs = (__u32 *)&gate->word[G_OUTPUTS];

	if (work->failed)
		counts->word[M_FAILED] += packets;
	for (int at = 0; at < MAX_OUTPUTS; at++) {
		__u64 *counter = &counts->word[M_OUTPUTS + at * OUTPUT_COUNTERS];

		if (outputs[at] != output)
			continue;
		if (work->failed) {
			counter[2] += packets;
		} else {
			counter[0] += packets;
			counter[1] += frame->wire_bytes;
		}
		return;
	}
}

static long count_one(__u32 n, struct weir_mirror *mirror)
{
	struct weir_mirror_work *work = get_work();

	if (!work || work->left == 0)
		return 1;
	count_copy(work, mirror->frame);
	return 0;
}

/* Make copy n of the block, if a session that is let through wants it. */
static __always_inline void copy(struct weir_mirror_work *work, __u32 n, struct weir_mirror *mirror)
{
	__u32 at = work->copies_at + n * ACTION_COPY_WORDS, sessions = block_word(work->block, at + 2) & work->admitted;

	if (sessions == 0)
		return;
	work->target = block_word(work->block, at);
	if (work->target >> 24 == work->other)
		return;
	work->operand = block_word(work->block, at + 1);
	work->sessions = work->left = sessions;
	__u32 kind = work->target >> 24;

	if (kind == COPY_IN || kind == COPY_OUT) {
		if (keep_copy(mirror->skb, mirror->frame))
			work->left = 0;
		work->failed = work->left;
	} else {
		work->failed = !send_copy(mirror->skb, mirror->frame);
	}
	if (!work->failed)
		work->sent |= sessions;
	if (work->left)
		count_copy(work, mirror->frame);
	if (work->left)
		bpf_loop(MAX_SESSIONS, count_one, mirror, 0);
}

static long copy_one(__u32 n, struct weir_mirror *mirror)
{
	struct weir_mirror_work *work = get_work();

	if (!work)
		return 1;
	copy(work, n + 1, mirror);
	return 0;
}

/* A session that got the frame, whichever way, counts it once; for another it does not count against its limit. */
static __always_inline void settle(struct weir_mirror_work *work, const struct weir_frame *frame)
{
	__u32 bit = take_session(&work->admitted), packets = frame->packets, bytes = frame->wire_bytes;
	struct weir_session_counts *counts = counts_of(bit);
	struct weir_gate *gate = bpf_map_lookup_elem(&gates, &bit);

	if (!gate || !counts)
		return;
	if (!(work->sent >> bit & 1)) {
		if (gate->word[G_PACKETS])
			__sync_fetch_and_add(&gate->word[G_TAKEN], -(__u64)packets);
		return;
	}
	__u64 most = gate->word[G_SNAPLEN] * packets;

	counts->word[M_SENT] += packets;
	counts->word[M_BYTES_BEFORE] += bytes;
	counts->word[M_BYTES_AFTER] += most && most < bytes ? most : bytes;
}

static long settle_one(__u32 n, struct weir_mirror *mirror)
{
	struct weir_mirror_work *work = get_work();

	if (!work || work->admitted == 0)
		return 1;
	settle(work, mirror->frame);
	return 0;
}

/* Copy the frame as its action block says, which has copies. `reason`: why it was refused, 0 = it was not. */
__noinline int mirror(struct __sk_buff *skb, const struct weir_frame *frame, __u32 block, __u32 outputs, __u32 reason)
{
	struct weir_mirror_work *work = get_work();
	struct weir_settings *settings = get_settings();

	/* Without the process nobody ends a session when its time is over. */
	if (!frame || !work || !settings || is_away(settings))
		return 0;
	struct weir_mirror mirror = { .skb = skb, .frame = frame };
	__u32 head = block_word(block, 0), count = head >> 24;

	work->block = block;
	work->copies_at = ACTION_HEADER_WORDS + outputs * ACTION_OUTPUT_WORDS;
	work->reason = reason;
	work->other = 0;
	if ((head & 0xff) == OBSERVED)
		work->other = skb->ingress_ifindex == skb->ifindex ? COPY_OUT : COPY_IN;
	work->left = work->admitted = work->sent = work->snaplen = 0;
	collect(work, 0);
	if (count > 1)
		bpf_loop(count - 1, collect_one, &mirror, 0);
	ask_one(0, &mirror);
	if (work->left)
		bpf_loop(MAX_SESSIONS, ask_one, &mirror, 0);
	if (work->admitted == 0)
		return 0;
	copy(work, 0, &mirror);
	if (count > 1)
		bpf_loop(count - 1, copy_one, &mirror, 0);
	settle(work, frame);
	if (work->admitted)
		bpf_loop(MAX_SESSIONS, settle_one, &mirror, 0);
	return 0;
}

#endif
