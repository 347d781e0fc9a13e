/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a mirror session lets through: its filter, 1 in N, ceilings, a limit of packets. All processors share a gate's
 * state, so it is kept in numbers that one atomic step changes.
 */
#ifndef WEIR_GATE_H
#define WEIR_GATE_H

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "frame.h"
#include "maps.h"
#include "sample.h"

#define PAY_TRIES 8
#define FILTER_COUNT ((1 << FILTER_BANK_SHIFT) - 1)
/* No counter: the session has all the packets that it wanted. */
#define SESSION_IS_DONE 255
#define TICKS_PER_SECOND (1000000000ULL * GATE_TICKS)
#define BURST_TICKS (GATE_BURST_MS * 1000000ULL * GATE_TICKS)

/* Number of the lowest bit that is set; `bits` is not 0. */
static __always_inline __u32 lowest(__u32 bits)
{
	__u32 one = bits & -bits, n = 0;

	if (one & 0xffff0000)
		n += 16;
	if (one & 0xff00ff00)
		n += 8;
	if (one & 0xf0f0f0f0)
		n += 4;
	if (one & 0xcccccccc)
		n += 2;
	if (one & 0xaaaaaaaa)
		n += 1;
	return n;
}

/* ---- the filter: classic BPF (src/wire/bpf.ts, which checks a program before it gets here) ------------------------- */

#define FILTER_MEMORY 16

struct weir_filter {
	struct __sk_buff *skb;
	const struct weir_frame *frame;
	/* First instruction, and the one that is next. */
	__u32 base, at;
	__u32 a, x, verdict;
};

/* Beside the stack, of which there are 512 bytes. libpcap stores before it loads. */
struct weir_filter_memory {
	__u32 word[FILTER_MEMORY];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct weir_filter_memory);
} filter_memory SEC(".maps");

static __always_inline __u32 *memory_word(__u32 k)
{
	__u32 zero = 0;
	struct weir_filter_memory *memory = bpf_map_lookup_elem(&filter_memory, &zero);

	return memory ? &memory->word[k & (FILTER_MEMORY - 1)] : NULL;
}

/* One byte of the frame as it is on the wire, where the outer tag stands beside the bytes. */
static __always_inline __u32 wire_byte(struct __sk_buff *skb, __u32 place)
{
	__u8 byte = 0;

	if (place >= MACS && place < MACS + 4) {
		__u32 tag = bpf_ntohs(skb->vlan_proto) << 16 | (skb->vlan_tci & 0xffff);

		return tag >> (8 * (MACS + 3 - place)) & 0xff;
	}
	bpf_skb_load_bytes(skb, place < MACS ? place : place - 4, &byte, 1);
	return byte;
}

/* A number of 1, 2 or 4 bytes at `place` of the frame. Returns 0 where it is not inside. */
static __always_inline int wire_load(const struct weir_filter *filter, __u32 place, __u32 width, __u32 *value)
{
	struct __sk_buff *skb = filter->skb;
	__u32 length = filter->frame->length, at = place;

	if (place >= length || width > length - place)
		return 0;
	if (filter->frame->beside && place + width > MACS) {
		if (place < MACS + 4) {
			__u32 sum = 0;

			for (__u32 n = 0; n < 4; n++)
				if (n < width)
					sum = sum << 8 | wire_byte(skb, place + n);
			*value = sum;
			return 1;
		}
		at = place - 4;
	}
	if (width == 1) {
		__u8 byte;

		if (bpf_skb_load_bytes(skb, at, &byte, 1))
			return 0;
		*value = byte;
	} else if (width == 2) {
		__u16 half;

		if (bpf_skb_load_bytes(skb, at, &half, 2))
			return 0;
		*value = bpf_ntohs(half);
	} else {
		__u32 word;

		if (bpf_skb_load_bytes(skb, at, &word, 4))
			return 0;
		*value = bpf_ntohl(word);
	}
	return 1;
}

/* One instruction. Returns 1 where the program ends; jumps go forward, so it does. */
static long filter_step(__u32 n, struct weir_filter *filter)
{
	__u32 at = filter->base + filter->at;
	const struct weir_instruction *one = bpf_map_lookup_elem(&filters, &at);

	if (!one)
		return 1;
	__u32 code = one->code, k = one->k, kind = code & 7, value = 0;

	filter->at++;
	if (kind == 0 || kind == 1) {
		__u32 mode = code & 0xe0, size = code & 0x18;

		if (mode == 0x00)
			value = k;
		else if (mode == 0x60) {
			__u32 *word = memory_word(k);

			value = word ? *word : 0;
		} else if (mode == 0x80)
			value = filter->frame->length;
		else if (kind == 1 || size == 0x10) {
			if (!wire_load(filter, mode == 0x40 ? filter->x + k : k, 1, &value))
				return 1;
			if (kind == 1)
				value = (value & 0x0f) << 2;
		} else if (size == 0x08) {
			if (!wire_load(filter, mode == 0x40 ? filter->x + k : k, 2, &value))
				return 1;
		} else if (!wire_load(filter, mode == 0x40 ? filter->x + k : k, 4, &value)) {
			return 1;
		}
		if (kind == 0)
			filter->a = value;
		else
			filter->x = value;
	} else if (kind == 2 || kind == 3) {
		__u32 *word = memory_word(k);

		if (word)
			*word = kind == 2 ? filter->a : filter->x;
	} else if (kind == 4) {
		__u32 operand = code & 8 ? filter->x : k, operation = code & 0xf0, a = filter->a;

		if (operation == 0x00)
			a += operand;
		else if (operation == 0x10)
			a -= operand;
		else if (operation == 0x20)
			a *= operand;
		else if (operation == 0x30 || operation == 0x90) {
			if (operand == 0)
				return 1;
			a = operation == 0x30 ? a / operand : a % operand;
		} else if (operation == 0x40)
			a |= operand;
		else if (operation == 0x50)
			a &= operand;
		else if (operation == 0x60)
			a = operand > 31 ? 0 : a << (operand & 31);
		else if (operation == 0x70)
			a = operand > 31 ? 0 : a >> (operand & 31);
		else if (operation == 0x80)
			a = -a;
		else
			a ^= operand;
		filter->a = a;
	} else if (kind == 5) {
		__u32 operand = code & 8 ? filter->x : k, jump = code & 0xf0, a = filter->a;

		if (jump == 0) {
			filter->at += k;
			return 0;
		}
		int is_true = jump == 0x10 ? a == operand :
			      jump == 0x20 ? a > operand :
			      jump == 0x30 ? a >= operand :
					     (a & operand) != 0;

		filter->at += is_true ? one->yes : one->no;
	} else if (kind == 6) {
		filter->verdict = code & 0x10 ? filter->a : k;
		return 1;
	} else if (code & 0x80) {
		filter->a = filter->x;
	} else {
		filter->x = filter->a;
	}
	return 0;
}

/* Run a session's filter on the frame; `where`: its bank and length, as G_PLAIN or G_TAGGED says. */
__noinline int run_filter(struct __sk_buff *skb, const struct weir_frame *frame, __u32 bit, __u32 where)
{
	if (!frame)
		return 0;
	__u32 tagged = frame->key.word[KEY_VLAN] != 0, count = where & FILTER_COUNT;
	__u32 bank = where >> FILTER_BANK_SHIFT & (FILTER_BANKS - 1);
	struct weir_filter filter = { .skb = skb, .frame = frame, .base = ((bit * 2 + tagged) * FILTER_BANKS + bank) * MAX_FILTER };

	bpf_loop(count < MAX_FILTER ? count : MAX_FILTER, filter_step, &filter, 0);
	return filter.verdict != 0;
}

/* Is the session running, and does it want this frame? */
static __always_inline int is_wanted(struct __sk_buff *skb, const struct weir_frame *frame, const struct weir_gate *gate,
				     __u32 bit)
{
	if (gate->word[G_EPOCH] == 0)
		return 0;
	__u32 where = gate->word[frame->key.word[KEY_VLAN] ? G_TAGGED : G_PLAIN];

	return (where & FILTER_COUNT) == 0 || run_filter(skb, frame, bit, where);
}

/* ---- 1 in N and the ceilings ---------------------------------------------------------------------------------------- */

/*
 * A ceiling as the time until which it is used up (GCRA, ITU-T I.371): `price` ticks more for what goes now, refused
 * where that time is more than `slack` ahead. What has not been used for a while is worth `slack` at once.
 */
static __always_inline int is_affordable(__u64 paid, __u64 now, __u64 slack)
{
	return paid <= now + slack;
}

static __always_inline int pay(__u64 *paid, __u64 now, __u64 price, __u64 slack)
{
	for (int n = 0; n < PAY_TRIES; n++) {
		__u64 before = *(volatile __u64 *)paid;

		if (!is_affordable(before, now, slack))
			return 0;
		if (__sync_val_compare_and_swap(paid, before, (before > now ? before : now) + price) == before)
			return 1;
	}
	return 0;
}

/* 0, or the counter of why the frame does not pass; SESSION_IS_DONE. */
static __always_inline __u32 pass_gate(struct weir_gate *gate, const struct weir_frame *frame)
{
	__u64 packets = frame->packets, sample = gate->word[G_SAMPLE], limit = gate->word[G_PACKETS];
	__u64 pps = gate->word[G_PPS], bps = gate->word[G_BPS], snaplen = gate->word[G_SNAPLEN];

	if (limit && *(volatile __u64 *)&gate->word[G_TAKEN] >= limit)
		return SESSION_IS_DONE;
	if (sample > 1) {
		__u64 seen = __sync_fetch_and_add(&gate->word[G_SEEN], packets) + packets;

		if (seen <= *(volatile __u64 *)&gate->word[G_NEXT])
			return M_SAMPLED_OUT;
		/* A super-packet that is taken counts for as many as it is. */
		__sync_fetch_and_add(&gate->word[G_NEXT], sample * packets);
	}
	if (pps || bps) {
		__u64 now = bpf_ktime_get_coarse_ns() * GATE_TICKS, bytes = frame->wire_bytes;

		if (snaplen && bytes > snaplen * packets)
			bytes = snaplen * packets;
		if (bps && !is_affordable(*(volatile __u64 *)&gate->word[G_BITS_PAID], now, BURST_TICKS))
			return M_RATE_DROPPED;
		if (pps) {
			__u64 one = TICKS_PER_SECOND / pps;

			if (!pay(&gate->word[G_PACKETS_PAID], now, one * packets, one < BURST_TICKS ? BURST_TICKS - one : 0))
				return M_RATE_DROPPED;
		}
		if (bps && !pay(&gate->word[G_BITS_PAID], now, bytes * 8 * TICKS_PER_SECOND / bps, BURST_TICKS))
			return M_RATE_DROPPED;
	}
	if (limit && __sync_fetch_and_add(&gate->word[G_TAKEN], packets) >= limit)
		return SESSION_IS_DONE;
	return 0;
}

#endif
