/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The frame in hand: its key, what it says beside the key, and what it counts. */
#ifndef WEIR_FRAME_H
#define WEIR_FRAME_H

#include <linux/bpf.h>
#include "flow_slot.h"

struct weir_frame {
	struct weir_key key __attribute__((aligned(8)));
	/* Bytes on the wire without FCS: skb->len, and the outer tag, which the kernel keeps beside the bytes. */
	__u32 length;
	__u32 beside; /* bytes of that tag: 4 or 0 */
	/* As src/flow/facts.ts: offsets count from the frame's first byte on the wire; 0 = none. */
	__u32 l3_bytes, l3_offset, payload_offset, tcp_flags, fault;
	/* Wire packets, their frame bytes, their IP bytes (src/shm/README.md). */
	__u32 packets, wire_bytes, wire_l3;
	__u32 gso_size;
	__u32 not_to; /* port that a flood leaves out; 0 = none */
};

/*
 * What a GSO frame becomes on the wire, each segment with its own headers. gso_segs is not trusted (it is 0 on frames
 * that a VM writes to a tap) but where the headers could not be read.
 */
static __always_inline void measure(struct __sk_buff *skb, struct weir_frame *frame)
{
	__u32 size = skb->gso_size, headers = frame->payload_offset;

	frame->packets = 1;
	frame->wire_bytes = frame->length;
	frame->wire_l3 = frame->l3_bytes;
	frame->gso_size = size;
	if (size == 0)
		return;
	if (headers == 0 || headers >= frame->length) {
		frame->packets = skb->gso_segs ? skb->gso_segs : 1;
		return;
	}
	__u32 packets = (frame->length - headers + size - 1) / size;

	frame->packets = packets;
	frame->wire_bytes += (packets - 1) * headers;
	if (frame->l3_bytes)
		frame->wire_l3 += (packets - 1) * (headers - frame->l3_offset);
}

/* Length of one packet of the frame on the wire. */
static __always_inline __u32 segment_length(const struct weir_frame *frame)
{
	__u32 one = frame->payload_offset + frame->gso_size;

	return frame->gso_size && one < frame->length ? one : frame->length;
}

#endif
