/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Numbers that these programs share with TypeScript: every name here is exported there with the same value, and
 * ../shared-numbers.test.ts compares each of them. Nothing else belongs in this file.
 */
#ifndef WEIR_SHARED_H
#define WEIR_SHARED_H

/* src/flow/key.ts: words of the key, bits of word 0 */
#define KEY_PORT 0
#define KEY_ETH_DST 1
#define KEY_ETH_DST_SRC 2
#define KEY_ETH_SRC 3
#define KEY_VLAN 4
#define KEY_TYPE 5
#define KEY_IP_SRC 6
#define KEY_IP_DST 10
#define KEY_L4 14
#define KEY_IPV4 0x0004
#define KEY_IPV6 0x0008
#define KEY_L4_PRESENT 0x0010
#define KEY_LLC 0x0020
#define KEY_OUTER_TPID_SHIFT 6
#define KEY_INNER_TPID_SHIFT 8
#define KEY_FAULT_SHIFT 10
#define KEY_FRAGMENT_MASK 0x0003
#define FRAGMENT_FIRST 1
#define FRAGMENT_LATER 2
#define TPID_8100 1
#define TPID_88A8 2
#define TPID_9100 3
#define TCI_PRESENT 0x1000
#define TCI_VID 0x0fff
#define FAULT_ARP 1
#define FAULT_IPV4 2
#define FAULT_IPV6 3
#define FAULT_IPV6_EXT 4
#define FAULT_TCP 5
#define FAULT_UDP 6
#define FAULT_SCTP 7
#define FAULT_ICMP 8
#define FAULT_ICMPV6 9
#define FAULT_IGMP 10
#define FAULT_VLAN 11
#define FAULT_LLC 12

/* src/flow/disposition.ts */
#define FORWARDED 0
#define DROPPED 1
#define CONSUMED 2
#define OBSERVED 3
#define CAUSE_TABLE_FULL 0
#define CAUSE_MISS_REFUSED 1
#define CAUSE_RACE 3
#define CAUSE_NO_FLOW 4
#define DROP_PKT_TOO_SMALL 21
#define DROP_PKT_TOO_BIG 15
#define DROP_CPU_BACKLOG 18
#define DROP_DEV_READY 19
#define DROP_TX_FAILED 24

/* src/pipeline/actions.ts */
#define TAG_KEEP 0
#define TAG_PUSH 1
#define TAG_POP 2
#define TAG_SET_VID 3
#define ACTION_HEADER_WORDS 2
#define ACTION_OUTPUT_WORDS 2

/* src/datapath/datapath.ts */
#define MAX_PORTS 1024
#define MAX_RULES 65536
#define MAX_MASKS 32

/* src/shm/counters.ts */
#define COUNTERS_PER_PORT 104
#define C_RX_MULTICAST 2
#define C_RX_BROADCAST 3
#define C_TX_MULTICAST 6
#define C_TX_BROADCAST 7
#define C_DROPPED 10
#define C_DROPPED_BYTES 11
#define C_CONSUMED 12
#define C_CONSUMED_BYTES 13
#define C_OBSERVED 14
#define C_OBSERVED_BYTES 15
#define C_TX_FAILED 18
#define C_SAMPLES 20
#define C_SAMPLE_DROPS 21
#define C_NOTICES 22
#define C_NOTICES_LOST 23
#define C_FLOWS 24
#define C_FLOWS_CREATED 25
#define C_RULE_HITS 26
#define C_MISSES 27
#define C_DROP_REASON 32
#define C_FAULT 72
#define C_UNATTRIBUTED 88
#define C_UNATTRIBUTED_BYTES 96
#define MAX_DROP_REASONS 40

/* src/shm/samples.ts */
#define SAMPLE_HEAD_BYTES 80
#define SAMPLE_KIND_FLOW 1
#define SAMPLE_KIND_DROP 2

/* src/shm/unattributed.ts */
#define OTHER_VLAN 0xffff

/* ../layout.ts */
#define STRIPE_WORDS 8
#define S_RX_PACKETS 0
#define S_RX_BYTES 1
#define S_TX_PACKETS 2
#define S_TX_BYTES 3
#define S_FORWARDED 4
#define S_FORWARDED_BYTES 5
#define S_SAMPLE_POOL 6
#define S_SKIP 7
#define PORT_WORDS 8
#define DIRECT_PORTS 16384
#define P_IFINDEX 0
#define P_FLAGS 1
#define P_MAX_FRAME 2
#define P_RATE 3
#define P_HEADER 4
#define P_NOTICES 5
#define P_WINDOW 6
#define P_PEER_MAC 7
#define PORT_ENABLED 1
#define PORT_UP 2
#define PORT_PEER 4
#define UP_WORDS 4
#define UP_SENT 0
#define UP_SENT_BYTES 1
#define UP_BACK 2
#define UP_BACK_BYTES 3
#define SETTING_WORDS 16
#define SET_CPUS 0
#define SET_MISS_IFINDEX 1
#define SET_MASKS 2
#define SET_MAX_FLOWS 3
#define SET_FREE_MASK 4
#define SET_MISSES_SENT 5
#define SET_MISSES_TAKEN 6
#define SET_MISS_ROOM 7
#define SET_QUIET_LOW 8
#define SET_QUIET_HIGH 9
#define SET_OBSERVE 10
#define SET_HINT_MASK 11
#define HINT_WAYS 4
#define HASH_FACTOR 0x9e3779b1
#define MASK_ROW_WORDS 32
#define MASK_ROW_ID 20
#define BLOCK_WORDS 16
#define MAX_BLOCKS 65536
#define RULE_GEN 0
#define RULE_BLOCK 1
#define FREE_LINE_WORDS 16
#define SAMPLE_DATA_BYTES 512
#define NOTICE_BYTES 128
#define NOTICES_PER_WINDOW 20
#define NOTICE_WINDOW_MS 100

#endif
