/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the sender of a frame left to the device, as a virtio-net header. The programs' view of a frame does not have it,
 * so it is read from the kernel's own, whose layout the loader finds in the kernel's BTF.
 */
#ifndef WEIR_OFFLOAD_H
#define WEIR_OFFLOAD_H

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include "frame.h"
#include "maps.h"

#define CHECKSUM_PARTIAL 3
#define GSO_TCPV4 (1 << 0)
#define GSO_DODGY (1 << 1)
#define GSO_TCP_ECN (1 << 2)
#define GSO_TCP_FIXEDID (1 << 3)
#define GSO_TCPV6 (1 << 4)
#define GSO_UDP_L4 (1 << 17)

struct sk_buff {
	__u8 ip_summed : 2;
	__u16 csum_start, csum_offset;
	unsigned int end;
	unsigned char *head, *data;
} __attribute__((preserve_access_index));

struct skb_shared_info {
	unsigned int gso_type;
} __attribute__((preserve_access_index));

/* Fill the virtio-net header. Returns 0 where nothing is left to be done to the frame. */
static __always_inline int describe_offload(struct __sk_buff *skb, const struct weir_frame *frame,
					    struct weir_copy_head *head)
{
	struct sk_buff *kernel = (void *)skb;
	unsigned char *start = BPF_CORE_READ(kernel, head);
	int open = 0;

	head->flags = head->gso_type = 0;
	head->gso_size = 0;

	if (BPF_CORE_READ_BITFIELD_PROBED(kernel, ip_summed) == CHECKSUM_PARTIAL) {
		__u32 before = BPF_CORE_READ(kernel, data) - start;

		head->flags = VNET_NEEDS_CSUM;
		head->csum_start = BPF_CORE_READ(kernel, csum_start) - before + frame->beside;
		head->csum_offset = BPF_CORE_READ(kernel, csum_offset);
		open = 1;
	}
	if (frame->gso_size == 0)
		return open;
	struct skb_shared_info *shared = (void *)(start + BPF_CORE_READ(kernel, end));
	__u32 type = BPF_CORE_READ(shared, gso_type) & ~(GSO_DODGY | GSO_TCP_ECN | GSO_TCP_FIXEDID);

	head->gso_size = frame->gso_size;
	head->header_length = frame->payload_offset;
	head->gso_type = type == GSO_TCPV4 ? VNET_GSO_TCPV4 :
			 type == GSO_TCPV6 ? VNET_GSO_TCPV6 :
			 type == GSO_UDP_L4 ? VNET_GSO_UDP_L4 :
					      VNET_GSO_OTHER;
	return 1;
}

#endif
