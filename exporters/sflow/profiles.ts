/**
 * What each collector survives (README.md, "Profiles"): one structure that it does not know costs some of them the whole
 * datagram.
 */
export interface Profile {
  /** Extended switch data (1001) beside the raw header. */
  readonly vlan: boolean;
  /** none; base: generic interface (1) and Ethernet (2); all: also 1004, 1005, 2207, host and VM structures. */
  readonly counters: "none" | "base" | "all";
  /** Discard notifications (sample format 5). Sampled frames that were dropped say so in every profile. */
  readonly discards: boolean;
}

export const PROFILES = {
  standard: { vlan: true, counters: "base", discards: false },
  full: { vlan: true, counters: "all", discards: true },
  "sflow-rt": { vlan: true, counters: "all", discards: true },
  goflow2: { vlan: true, counters: "base", discards: false },
  akvorado: { vlan: true, counters: "none", discards: false },
  telegraf: { vlan: true, counters: "base", discards: false },
  nfdump: { vlan: true, counters: "none", discards: false },
  pmacct: { vlan: true, counters: "base", discards: false },
  fastnetmon: { vlan: false, counters: "none", discards: false },
} as const satisfies Record<string, Profile>;

export type ProfileName = keyof typeof PROFILES;
export const PROFILE_NAMES = Object.keys(PROFILES) as [ProfileName, ...ProfileName[]];
