/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The rule cache: masks in order, one hash for all of them. The last word of a key is not used by any field; in `rules`
 * it holds the mask's number, so that equal words under two masks are two rules.
 */
#ifndef WEIR_RULES_H
#define WEIR_RULES_H

#include <bpf/bpf_helpers.h>
#include "frame.h"
#include "maps.h"

#define NO_RULE 0xffffffff
#define KEY_MASK_NUMBER 19

/* Of the new flows that a mask decides, one in so many is counted, by the key's hash. */
#define HITS_OF 64

__noinline __u32 classify(const struct weir_frame *frame, __u32 hash)
{
	if (!frame)
		return NO_RULE;
	struct weir_settings *settings = get_settings();
	struct weir_key masked;

	if (!settings)
		return NO_RULE;
	__u32 which = *(volatile __u32 *)&settings->word[SET_MASKS] & 1;
	struct weir_masks *set = bpf_map_lookup_elem(&masks, &which);

	if (!set)
		return NO_RULE;
	for (__u32 n = 0; n < MAX_MASKS; n++) {
		if (n >= set->count)
			break;
		struct weir_mask *row = &set->row[n];

		for (int word = 0; word < WEIR_KEY_WORDS; word++)
			masked.word[word] = frame->key.word[word] & row->word[word];
		masked.word[KEY_MASK_NUMBER] = row->word[MASK_ROW_ID];
		__u32 *index = bpf_map_lookup_elem(&rules, &masked);

		if (!index)
			continue;
		/* Two processors may count one for both: it is an order, no sum. */
		if (hash % HITS_OF == 0)
			row->word[MASK_ROW_HITS]++;
		return *index;
	}
	return NO_RULE;
}

/* Nobody answers: the process is gone, or hangs. */
static __always_inline int is_away(const struct weir_settings *settings)
{
	__u32 now = bpf_ktime_get_coarse_ns() >> HEARTBEAT_SHIFT;
	__u32 seen = *(volatile __u32 *)&settings->word[SET_HEARTBEAT];

	return (__s32)(now - seen) > AWAY_TICKS;
}

/* First part of the block that floods the frame in its VLAN, while nobody answers; NO_RULE where there is none. */
static __always_inline __u32 away_block(const struct weir_settings *settings, const struct weir_frame *frame)
{
	__u32 tci = frame->key.word[KEY_VLAN] >> 16;
	__u32 key = (frame->key.word[KEY_PORT] & 0xffff0000) | (tci & TCI_PRESENT ? tci & TCI_VID : AWAY_UNTAGGED);
	__u32 *block = settings->word[SET_STANDALONE] ? bpf_map_lookup_elem(&away, &key) : NULL;

	return block ? *block : NO_RULE;
}

#endif
