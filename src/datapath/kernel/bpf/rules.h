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

__noinline __u32 classify(const struct weir_frame *frame)
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

		if (index)
			return *index;
	}
	return NO_RULE;
}

#endif
