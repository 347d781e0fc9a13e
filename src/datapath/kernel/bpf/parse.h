/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From a frame to its key: src/flow/parse.ts and parse-transport.ts once more, for frames that are whole. Both are run
 * over the same captures by ../parse.test.ts and must give the same 20 words.
 *
 * Functions that are not static are verified once, each by itself: the paths through them would multiply otherwise.
 * Bytes are read by bpf_skb_load_bytes: right for paged frames too, and nothing for the verifier to lose its way in.
 * Offsets here count in the skb; the outer tag is beside it (skb->vlan_tci), so `beside` is added for the facts.
 */
#ifndef WEIR_PARSE_H
#define WEIR_PARSE_H

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "frame.h"
#include "shared.h"

#define ETH_HEADER 14
#define ETH_MAX_LENGTH 1500
#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_ARP 0x0806
#define ETHERTYPE_IPV6 0x86dd
#define ARP_FIXED 8
#define ARP_ETHERNET_IPV4 28
#define IPV4_HEADER 20
#define IPV6_HEADER 40
#define IPV6_EXT 8
#define IPV6_MAX_EXTENSIONS 8
#define IPV6_HOP_BY_HOP 0
#define IPV6_ROUTING 43
#define IPV6_FRAGMENT 44
#define IPV6_AUTHENTICATION 51
#define IPV6_NO_NEXT_HEADER 59
#define IPV6_DESTINATION_OPTIONS 60
#define IPV6_MOBILITY 135
#define PROTO_ICMP 1
#define PROTO_IGMP 2
#define PROTO_TCP 6
#define PROTO_UDP 17
#define PROTO_ICMPV6 58
#define PROTO_SCTP 132

/* One load each; the processors that Weir runs on load from odd addresses. */
#define BE16(p) ((__u32)bpf_ntohs(*(const __u16 *)(p)))
#define BE32(p) bpf_ntohl(*(const __u32 *)(p))
/* From the stack, where the verifier wants loads aligned. */
#define BYTES32(p) ((__u32)(p)[0] << 24 | (__u32)(p)[1] << 16 | (__u32)(p)[2] << 8 | (p)[3])
#define ALIGNED __attribute__((aligned(8)))
#define LOAD(skb, at, to) (bpf_skb_load_bytes(skb, at, to, sizeof(to)) == 0)

/* What the transport header is read from. `end`: where the packet ends, at most where the frame does. */
struct weir_transport {
	__u32 at, end, protocol, length_unknown;
};

static __always_inline void bad(struct weir_frame *frame, __u32 fault)
{
	frame->key.word[KEY_PORT] |= fault << KEY_FAULT_SHIFT;
	frame->fault = fault;
}

static __always_inline __u32 tpid_code(__u32 type)
{
	return type == 0x8100 ? TPID_8100 : type == 0x88a8 ? TPID_88A8 : type == 0x9100 ? TPID_9100 : 0;
}

__noinline int parse_transport(struct __sk_buff *skb, struct weir_frame *frame, struct weir_transport *t)
{
	if (!frame || !t)
		return 0;
	__u32 word0 = frame->key.word[KEY_PORT], protocol = t->protocol, at = t->at, header, fault, word14;
	int v4 = (word0 & KEY_IPV4) != 0;
	__u8 b[14] ALIGNED = {};

	if (protocol == PROTO_TCP)
		header = 20, fault = FAULT_TCP;
	else if (protocol == PROTO_UDP)
		header = 8, fault = FAULT_UDP;
	else if (protocol == PROTO_ICMP && v4)
		header = 8, fault = FAULT_ICMP;
	else if (protocol == PROTO_ICMPV6 && !v4)
		header = 4, fault = FAULT_ICMPV6;
	else if (protocol == PROTO_IGMP && v4)
		header = 8, fault = FAULT_IGMP;
	else if (protocol == PROTO_SCTP)
		header = 12, fault = FAULT_SCTP;
	else
		return 0;
	if (at + header > t->end) {
		bad(frame, fault);
		return 0;
	}
	if (protocol == PROTO_TCP) {
		if (!LOAD(skb, at, b))
			return 0;
		header = (__u32)(b[12] >> 4) << 2;
		if (header < 20 || at + header > t->end) {
			bad(frame, fault);
			return 0;
		}
		frame->tcp_flags = (__u32)(b[12] & 1) << 8 | b[13];
	} else if (protocol == PROTO_UDP) {
		if (bpf_skb_load_bytes(skb, at, b, 8))
			return 0;
		__u32 bytes = BE16(b + 4);
		/* The length of a fragmented datagram is the whole one's. */
		int too_long = at + bytes > t->end && (word0 & KEY_FRAGMENT_MASK) != FRAGMENT_FIRST;

		if (too_long || (bytes < 8 && !(bytes == 0 && t->length_unknown))) {
			bad(frame, fault);
			return 0;
		}
	} else if (bpf_skb_load_bytes(skb, at, b, 4)) {
		return 0;
	}
	word14 = BE32(b);
	if (protocol == PROTO_IGMP)
		word14 = (__u32)b[0] << 16;
	else if (protocol == PROTO_ICMP || protocol == PROTO_ICMPV6)
		word14 = (__u32)b[0] << 16 | b[1];
	frame->key.word[KEY_PORT] = word0 | KEY_L4_PRESENT;
	frame->key.word[KEY_L4] = word14;
	frame->payload_offset = at + header + frame->beside;
	return 0;
}

/* RFC 791 */
static __always_inline int parse_ipv4(struct __sk_buff *skb, struct weir_frame *frame, __u32 at)
{
	__u32 end = skb->len;
	__u8 b[IPV4_HEADER] ALIGNED;

	if (at + IPV4_HEADER > end || !LOAD(skb, at, b)) {
		bad(frame, FAULT_IPV4);
		return 0;
	}
	__u32 header = (__u32)(b[0] & 0x0f) << 2, total = BE16(b + 2), bits = BE16(b + 6), protocol = b[9];

	if (b[0] >> 4 != 4 || header < IPV4_HEADER || at + header > end || (total < header && total != 0)) {
		bad(frame, FAULT_IPV4);
		return 0;
	}
	/* A total length beyond the frame is believed for the octets, and not for what lies inside. */
	frame->l3_bytes = total == 0 ? end - at : total;
	if (total != 0 && at + total < end)
		end = at + total;
	__u32 fragment = bits & 0x1fff ? FRAGMENT_LATER : bits & 0x2000 ? FRAGMENT_FIRST : 0;

	frame->key.word[KEY_PORT] |= KEY_IPV4 | fragment;
	frame->key.word[KEY_TYPE] |= protocol << 8 | b[1];
	frame->key.word[KEY_IP_SRC] = BE32(b + 12);
	frame->key.word[KEY_IP_DST] = BE32(b + 16);
	if (fragment == FRAGMENT_LATER)
		return 0;
	struct weir_transport t = { at + header, end, protocol, total == 0 };

	return parse_transport(skb, frame, &t);
}

static __always_inline int is_extension(__u32 next)
{
	return next == IPV6_HOP_BY_HOP || next == IPV6_ROUTING || next == IPV6_FRAGMENT ||
	       next == IPV6_AUTHENTICATION || next == IPV6_DESTINATION_OPTIONS || next == IPV6_MOBILITY;
}

/*
 * Walk the extension headers from t->at on, whose type is t->protocol; both are moved on. Returns 1 where a transport
 * header may follow, 0 where the key ends here.
 */
__noinline int parse_extensions(struct __sk_buff *skb, struct weir_frame *frame, struct weir_transport *t)
{
	if (!frame || !t)
		return 0;
	for (int n = 0; n <= IPV6_MAX_EXTENSIONS; n++) {
		__u32 next = t->protocol, at = t->at, bytes;
		__u8 b[4] ALIGNED;

		if (!is_extension(next))
			return 1;
		if (at + IPV6_EXT > t->end || n == IPV6_MAX_EXTENSIONS || !LOAD(skb, at, b)) {
			bad(frame, FAULT_IPV6_EXT);
			return 0;
		}
		if (next == IPV6_FRAGMENT)
			bytes = IPV6_EXT;
		else if (next == IPV6_AUTHENTICATION)
			bytes = ((__u32)b[1] + 2) << 2;
		else
			bytes = ((__u32)b[1] + 1) << 3;
		if (at + bytes > t->end) {
			bad(frame, FAULT_IPV6_EXT);
			return 0;
		}
		/* A mobility header that is itself what the packet carries. */
		if (next == IPV6_MOBILITY && b[0] == IPV6_NO_NEXT_HEADER)
			return 0;
		t->protocol = b[0];
		t->at = at + bytes;
		if (next != IPV6_FRAGMENT)
			continue;
		/* An atomic fragment (RFC 6946: offset 0, M 0) is a whole packet. */
		if (BE16(b + 2) & 0xfff8) {
			/* FRAGMENT_FIRST may stand there already: both bits, as in parse.ts. */
			frame->key.word[KEY_PORT] |= FRAGMENT_LATER;
			return 0;
		}
		if (b[3] & 1)
			frame->key.word[KEY_PORT] |= FRAGMENT_FIRST;
	}
	return 0;
}

/* RFC 8200 */
static __always_inline int parse_ipv6(struct __sk_buff *skb, struct weir_frame *frame, __u32 at)
{
	__u32 end = skb->len;
	__u8 b[IPV6_HEADER] ALIGNED;

	if (at + IPV6_HEADER > end || !LOAD(skb, at, b) || b[0] >> 4 != 6) {
		bad(frame, FAULT_IPV6);
		return 0;
	}
	__u32 payload = BE16(b + 4), next = b[6];
	/* 0 with something behind it: a jumbogram (RFC 2675), or a sender that left the length to its NIC. */
	int unknown = payload == 0 && next != IPV6_NO_NEXT_HEADER;

	frame->l3_bytes = unknown ? end - at : payload + IPV6_HEADER;
	if (!unknown && at + IPV6_HEADER + payload < end)
		end = at + IPV6_HEADER + payload;
	for (int n = 0; n < 4; n++) {
		frame->key.word[KEY_IP_SRC + n] = BE32(b + 8 + 4 * n);
		frame->key.word[KEY_IP_DST + n] = BE32(b + 24 + 4 * n);
	}
	struct weir_transport t = { at + IPV6_HEADER, end, next, unknown };
	/* Its header is judged before the presence bit is set (parse.ts): a mobility header or fault leaves it out. */
	int more = parse_extensions(skb, frame, &t);

	frame->key.word[KEY_PORT] |= KEY_IPV6;
	frame->key.word[KEY_TYPE] |= t.protocol << 8 | (__u32)(b[0] & 0x0f) << 4 | b[1] >> 4;
	return more ? parse_transport(skb, frame, &t) : 0;
}

static __always_inline void parse_arp(struct __sk_buff *skb, struct weir_frame *frame, __u32 at)
{
	__u8 b[ARP_FIXED] ALIGNED, addresses[20] ALIGNED;

	if (at + ARP_FIXED > skb->len || !LOAD(skb, at, b)) {
		bad(frame, FAULT_ARP);
		return;
	}
	__u32 whole = at + ARP_FIXED + 2 * ((__u32)b[4] + b[5]);

	if (whole > skb->len) {
		bad(frame, FAULT_ARP);
		return;
	}
	frame->key.word[KEY_L4] = BE16(b + 6);
	if (BE16(b) != 1 || BE16(b + 2) != ETHERTYPE_IPV4 || b[4] != 6 || b[5] != 4 || !LOAD(skb, at + ARP_FIXED, addresses))
		return;
	frame->key.word[KEY_IP_SRC] = BYTES32(addresses + 6);
	frame->key.word[KEY_IP_DST] = BYTES32(addresses + 16);
}

/* The Ethertype of SNAP with OUI 0, else DSAP and SSAP. */
static __always_inline void parse_llc(struct __sk_buff *skb, struct weir_frame *frame, __u32 at)
{
	__u8 b[3] ALIGNED, snap[5] ALIGNED;

	frame->key.word[KEY_PORT] |= KEY_LLC;
	frame->key.word[KEY_TYPE] = 0;
	if (at + 3 > skb->len || !LOAD(skb, at, b)) {
		bad(frame, FAULT_LLC);
		return;
	}
	frame->key.word[KEY_TYPE] = BE16(b) << 16;
	if (BE16(b) != 0xaaaa || b[2] != 3)
		return;
	if (at + 8 > skb->len || !LOAD(skb, at + 3, snap)) {
		bad(frame, FAULT_LLC);
		return;
	}
	if (snap[0] == 0 && snap[1] == 0 && snap[2] == 0)
		frame->key.word[KEY_TYPE] = ((__u32)snap[3] << 8 | snap[4]) << 16;
}

/*
 * The common frame, read where it lies: IPv4 without options or fragments, whole TCP or UDP. Returns 0 where it is
 * anything else; nothing is written then.
 */
static __always_inline int parse_common(struct __sk_buff *skb, struct weir_frame *frame, __u32 word0, __u32 tci)
{
	const __u8 *p = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	const __u8 *l4 = p + ETH_HEADER + IPV4_HEADER;
	__u32 header = 8;

	if (l4 + 14 > end || BE16(p + 12) != ETHERTYPE_IPV4 || p[14] != 0x45 || BE16(p + 20) & 0x3fff)
		return 0;
	__u32 total = BE16(p + 16), protocol = p[23], inside = total - IPV4_HEADER;

	if (total < IPV4_HEADER || ETH_HEADER + total > skb->len)
		return 0;
	if (protocol == PROTO_TCP) {
		header = (__u32)(l4[12] >> 4) << 2;
		if (header < 20 || header > inside)
			return 0;
		frame->tcp_flags = (__u32)(l4[12] & 1) << 8 | l4[13];
	} else if (protocol != PROTO_UDP || inside < 8 || BE16(l4 + 4) < 8 || BE16(l4 + 4) > inside) {
		return 0;
	}
	frame->key.word[KEY_PORT] = word0 | KEY_IPV4 | KEY_L4_PRESENT;
	frame->key.word[KEY_ETH_DST] = BE32(p);
	frame->key.word[KEY_ETH_DST_SRC] = BE32(p + 4);
	frame->key.word[KEY_ETH_SRC] = BE32(p + 8);
	frame->key.word[KEY_VLAN] = tci;
	frame->key.word[KEY_TYPE] = ETHERTYPE_IPV4 << 16 | protocol << 8 | p[15];
	frame->key.word[KEY_IP_SRC] = BE32(p + 26);
	frame->key.word[KEY_IP_DST] = BE32(p + 30);
	frame->key.word[KEY_L4] = BE32(l4);
	frame->l3_bytes = total;
	frame->l3_offset = ETH_HEADER + frame->beside;
	frame->payload_offset = ETH_HEADER + IPV4_HEADER + header + frame->beside;
	return 1;
}

/* Fill `frame`, which is zero. Returns 0 where not even an Ethernet header is there. */
__noinline int parse_frame(struct __sk_buff *skb, struct weir_frame *frame, __u32 port)
{
	if (!frame)
		return 0;
	__u32 word0 = port << 16, at = ETH_HEADER, type, code;
	__u8 b[ETH_HEADER] ALIGNED, tag[4] ALIGNED;

	frame->length = skb->len;
	__u32 tags = 0, tci = 0;

	if (skb->vlan_present) {
		frame->beside = 4;
		frame->length += 4;
		word0 |= tpid_code(bpf_ntohs(skb->vlan_proto)) << KEY_OUTER_TPID_SHIFT;
		tci = ((skb->vlan_tci & 0xffff) | TCI_PRESENT) << 16;
		tags = 1;
	}
	if (parse_common(skb, frame, word0, tci))
		return 1;
	frame->key.word[KEY_PORT] = port << 16;
	if (skb->len < ETH_HEADER || !LOAD(skb, 0, b))
		return 0;
	frame->key.word[KEY_ETH_DST] = BE32(b);
	frame->key.word[KEY_ETH_DST_SRC] = BE32(b + 4);
	frame->key.word[KEY_ETH_SRC] = BE32(b + 8);
	type = BE16(b + 12);
	for (int n = 0; n < 2; n++) {
		code = tpid_code(type);
		if (code == 0 || tags == 2)
			break;
		/* Half a tag decides nothing: the Ethertype stays the TPID, so that nobody takes it for untagged. */
		if (at + 4 > skb->len || !LOAD(skb, at, tag)) {
			frame->key.word[KEY_VLAN] = tci;
			frame->key.word[KEY_PORT] = word0;
			frame->key.word[KEY_TYPE] = type << 16;
			bad(frame, FAULT_VLAN);
			return 1;
		}
		if (tags == 0) {
			tci = (BE16(tag) | TCI_PRESENT) << 16;
			word0 |= code << KEY_OUTER_TPID_SHIFT;
		} else {
			tci |= BE16(tag) | TCI_PRESENT;
			word0 |= code << KEY_INNER_TPID_SHIFT;
		}
		tags++;
		type = BE16(tag + 2);
		at += 4;
	}
	frame->key.word[KEY_VLAN] = tci;
	frame->key.word[KEY_PORT] = word0;
	frame->key.word[KEY_TYPE] = type << 16;
	frame->l3_offset = at + frame->beside;
	if (type == ETHERTYPE_IPV4)
		parse_ipv4(skb, frame, at);
	else if (type == ETHERTYPE_IPV6)
		parse_ipv6(skb, frame, at);
	else if (type == ETHERTYPE_ARP)
		parse_arp(skb, frame, at);
	else if (type <= ETH_MAX_LENGTH)
		parse_llc(skb, frame, at);
	return 1;
}

#endif
