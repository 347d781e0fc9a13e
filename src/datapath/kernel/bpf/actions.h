/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Executing an action block (src/pipeline/actions.ts). First every output is judged, which decides what became of the
 * frame; it is then counted and sampled as received; then it is sent. What a device refuses later is that device's loss.
 *
 * A tag operation is relative to the frame as received. The kernel keeps the outer tag beside the bytes, so pushing,
 * popping and changing it mostly moves no byte, and undoing it for the next output neither.
 */
#ifndef WEIR_ACTIONS_H
#define WEIR_ACTIONS_H

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "count.h"
#include "frame.h"
#include "maps.h"
#include "sample.h"

#define TC_ACT_SHOT 2
/* Let the frame be: others on the hook, then the host. TC_ACT_UNSPEC where that is clsact. */
#define TCX_NEXT -1
#define PACKET_HOST 0

struct weir_output {
	__u32 port, operation, tci, tpid;
};

/* What a loop over outputs needs; `block` is the number of the block's first part. */
struct weir_send {
	struct __sk_buff *skb;
	const struct weir_frame *frame;
	__u32 block, sent, reason;
};

static __always_inline void unpack_output(__u32 target, __u32 operand, struct weir_output *output)
{
	output->port = target & 0xffff;
	output->operation = target >> 16 & 0xff;
	output->tci = operand & 0xffff;
	output->tpid = operand >> 16;
}

static __always_inline void read_output(__u32 block, __u32 n, struct weir_output *output)
{
	__u32 word = ACTION_HEADER_WORDS + n * ACTION_OUTPUT_WORDS, at = block + word / BLOCK_WORDS;
	struct weir_block *part = bpf_map_lookup_elem(&blocks, &at);

	output->port = 0;
	if (!part)
		return;
	word &= BLOCK_WORDS - 2;
	unpack_output(part->word[word], part->word[word + 1], output);
}

/* TCI with the present bit that the frame leaves with; 0 = untagged. */
static __always_inline __u32 outgoing_tci(const struct weir_output *output, __u32 in_tci)
{
	if (output->operation == TAG_PUSH)
		return output->tci | TCI_PRESENT;
	if (output->operation == TAG_POP)
		return 0;
	if (output->operation == TAG_SET_VID)
		return (in_tci & 0xf000) | output->tci;
	return in_tci;
}

/*
 * May the frame leave by this output, whose row is `entry`? 0, or a drop reason. A frame is too big by its payload: tags do
 * not count.
 */
static __always_inline __u32 judge(const struct weir_frame *frame, const struct weir_output *output,
				   const struct weir_port *entry)
{
	if (!entry || !(entry->word[P_FLAGS] & PORT_UP))
		return DROP_DEV_READY;
	__u32 most = entry->word[P_MAX_FRAME], length = segment_length(frame);

	if (length > most && length - (frame->key.word[KEY_VLAN] ? 4 : 0) > most)
		return DROP_PKT_TOO_BIG;
	/* A tag that the kernel did not take out of the bytes (TPID 0x9100) cannot be changed there. */
	if ((output->operation == TAG_POP || output->operation == TAG_SET_VID) && !frame->beside)
		return DROP_TX_FAILED;
	return 0;
}

static __always_inline __s32 tag_shift(__u32 operation)
{
	return operation == TAG_PUSH ? 4 : operation == TAG_POP ? -4 : 0;
}

/* 0, or an error. */
static __always_inline long apply_tag(struct __sk_buff *skb, const struct weir_output *output)
{
	if (output->operation == TAG_PUSH)
		return bpf_skb_vlan_push(skb, bpf_htons(output->tpid), output->tci);
	if (output->operation == TAG_POP)
		return bpf_skb_vlan_pop(skb);
	if (output->operation == TAG_SET_VID) {
		__u16 proto = skb->vlan_proto, tci = (skb->vlan_tci & 0xf000) | output->tci;
		long error = bpf_skb_vlan_pop(skb);

		return error ? error : bpf_skb_vlan_push(skb, proto, tci);
	}
	return 0;
}

/* The frame does not leave by `port`. */
static __always_inline void count_failed(__u32 port, const struct weir_frame *frame)
{
	struct weir_counters *row = bpf_map_lookup_elem(&counters, &port);

	if (row)
		ADD(row, C_TX_FAILED, frame->packets);
}

/* Judge output n of a flood; its losses are counted on its port. */
static long judge_one(__u32 n, struct weir_send *send)
{
	struct weir_output output;

	read_output(send->block, n, &output);
	if (output.port == send->frame->not_to)
		return 0;
	__u32 reason = judge(send->frame, &output, bpf_map_lookup_elem(&ports, &output.port));

	if (reason == 0) {
		send->sent++;
		return 0;
	}
	send->reason = reason;
	count_failed(output.port, send->frame);
	return 0;
}

/* Of a flood: may the frame leave by any output of the block? 0, or why it is refused by the last of them. */
__noinline __u32 judge_all(const struct weir_frame *frame, __u32 block, __u32 outputs)
{
	if (!frame)
		return DROP_TX_FAILED;
	struct weir_send send = { .frame = frame, .block = block, .reason = DROP_DEV_READY };

	bpf_loop(outputs, judge_one, &send, 0);
	return send.sent ? 0 : send.reason;
}

/* Send a clone by output n, and leave the frame as it was. */
static long clone_one(__u32 n, struct weir_send *send)
{
	struct __sk_buff *skb = send->skb;
	struct weir_output output;

	read_output(send->block, n, &output);
	struct weir_port *entry = bpf_map_lookup_elem(&ports, &output.port);

	if (!entry || output.port == send->frame->not_to || judge(send->frame, &output, entry))
		return 0;
	__u32 ifindex = entry->word[P_IFINDEX];
	__u16 proto = skb->vlan_proto, tci = skb->vlan_tci;

	if (apply_tag(skb, &output) == 0) {
		bpf_clone_redirect(skb, ifindex, 0);
		count_sent(output.port, send->frame, tag_shift(output.operation));
	}
	if (output.operation == TAG_PUSH || output.operation == TAG_SET_VID)
		bpf_skb_vlan_pop(skb);
	if (output.operation == TAG_POP || output.operation == TAG_SET_VID)
		bpf_skb_vlan_push(skb, proto, tci);
	return 0;
}

/*
 * May the frame go straight into the other end of this veth? There it keeps its packet type, which says whether it is
 * for the host that it arrived at; that must be made true for the new one.
 */
static __always_inline int for_peer(struct __sk_buff *skb, const struct weir_frame *frame, __u64 mac)
{
	const __u32 *word = frame->key.word;

	if (is_multicast(&frame->key))
		return 1;
	if (((__u64)word[KEY_ETH_DST] << 16 | word[KEY_ETH_DST_SRC] >> 16) != mac)
		return 0;
	return skb->pkt_type == PACKET_HOST || bpf_skb_change_type(skb, PACKET_HOST) == 0;
}

/* Of a flood: send to all outputs of the block that take it. Returns the program's verdict. */
__noinline int send_all(struct __sk_buff *skb, const struct weir_frame *frame, __u32 block, __u32 outputs)
{
	if (!frame)
		return TC_ACT_SHOT;
	struct weir_send send = { .skb = skb, .frame = frame, .block = block };

	bpf_loop(outputs, clone_one, &send, 0);
	return TC_ACT_SHOT;
}

/* Send by the only output, whose row is `entry`. Returns the program's verdict. */
static __always_inline int send_one(struct __sk_buff *skb, const struct weir_frame *frame,
				    const struct weir_output *output, const struct weir_port *entry)
{
	if (output->operation != TAG_KEEP && apply_tag(skb, output))
		return TC_ACT_SHOT;
	count_sent(output->port, frame, tag_shift(output->operation));
	if (entry->word[P_FLAGS] & PORT_PEER && for_peer(skb, frame, entry->word[P_PEER_MAC]))
		return bpf_redirect_peer(entry->word[P_IFINDEX], 0);
	return bpf_redirect(entry->word[P_IFINDEX], 0);
}

#endif
