/**
 * Where ERSPAN goes, over all bridges: frames that carry it there are never copied again. Otherwise a mirror of the uplink
 * that they leave by would feed itself.
 */

/** A filter of more addresses than this would cost more than it is worth: then no ERSPAN is copied at all. */
const MAX_NAMED = 32;

// GRE's protocol stands behind an IP header without options, as ours have; later fragments have none and are taken for it.
const OVER_IPV4 = "ip proto 47 and (ip[6:2] & 0x1fff != 0 or ip[22:2] = 0x88be or ip[22:2] = 0x22eb)";
const OVER_IPV6 =
  "ip6 and (ip6[6] = 47 and (ip6[42:2] = 0x88be or ip6[42:2] = 0x22eb) or ip6[6] = 44 and ip6[40] = 47)";

export class Remotes {
  private readonly counts = new Map<string, number>();
  /** Another number: `guard` says something else. */
  version = 0;

  /** `address`: as text. */
  add(address: string): void {
    const before = this.counts.get(address) ?? 0;
    this.counts.set(address, before + 1);
    if (before === 0) this.version++;
  }

  remove(address: string): void {
    const before = this.counts.get(address) ?? 0;
    if (before > 1) {
      this.counts.set(address, before - 1);
      return;
    }
    this.counts.delete(address);
    if (before === 1) this.version++;
  }

  /** Frames not to be copied, in pcap's language; undefined: there is no ERSPAN. */
  guard(): string | undefined {
    if (this.counts.size === 0) return undefined;
    const parts = [false, true].flatMap((isV6) => {
      const hosts = [...this.counts.keys()].filter((address) => address.includes(":") === isV6);
      if (hosts.length === 0) return [];
      const erspan = isV6 ? OVER_IPV6 : OVER_IPV4;
      const to = hosts.length > MAX_NAMED ? "" : ` and (${hosts.map((host) => `dst host ${host}`).join(" or ")})`;
      return [`(${erspan}${to})`];
    });
    return parts.join(" or ");
  }
}
