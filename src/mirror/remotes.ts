/**
 * Where ERSPAN goes, over all bridges: frames that carry it there are never copied again, nor what the network answers to
 * them (ICMP errors). Otherwise a mirror of the uplink that they leave by would feed itself.
 */
import { parseIpv4, parseIpv6 } from "../wire/address.ts";
import { readU32 } from "../wire/bytes.ts";

/** A filter of more addresses than this would cost more than it is worth: then no ERSPAN is copied at all. */
const MAX_NAMED = 32;

// In this language "and" and "or" bind alike. GRE's protocol stands behind an IP header without options, as ours have; later fragments have none and are taken for it.
const OVER_IPV4 = "ip proto 47 and (ip[6:2] & 0x1fff != 0 or ip[22:2] = 0x88be or ip[22:2] = 0x22eb)";
const OVER_IPV6 =
  "ip6 and ((ip6[6] = 47 and (ip6[42:2] = 0x88be or ip6[42:2] = 0x22eb)) or (ip6[6] = 44 and ip6[40] = 47))";

// Errors quote the packet: its protocol and where it went.
const ERROR_V4 = "icmp and (icmp[0] = 3 or icmp[0] = 11 or icmp[0] = 12) and icmp[17] = 47";
const ERROR_V6 = "ip6 and ip6[6] = 58 and ip6[40] < 5 and ip6[54] = 47";

/** ERSPAN to whomever, and errors about any. */
export const ANY_ERSPAN = [OVER_IPV4, ERROR_V4, OVER_IPV6, ERROR_V6].map((part) => `(${part})`).join(" or ");

const word = (value: number): string => `0x${value.toString(16)}`;

function quotes(host: string): string {
  const v4 = parseIpv4(host);
  if (v4 !== undefined) return `icmp[24:4] = ${word(v4)}`;
  const v6 = parseIpv6(host)!;
  return [0, 4, 8, 12].map((at) => `ip6[${72 + at}:4] = ${word(readU32(v6, at))}`).join(" and ");
}

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

  /** Frames not to be copied, in pcap's language: who is named, then a shorter one that leaves out more; none: there is no ERSPAN. */
  guards(): string[] {
    return this.counts.size === 0 ? [] : [this.named(), ANY_ERSPAN];
  }

  private named(): string {
    const parts = [false, true].flatMap((isV6) => {
      const hosts = [...this.counts.keys()].filter((address) => address.includes(":") === isV6);
      if (hosts.length === 0) return [];
      const [erspan, error] = isV6 ? [OVER_IPV6, ERROR_V6] : [OVER_IPV4, ERROR_V4];
      if (hosts.length > MAX_NAMED) return [`(${erspan})`, `(${error})`];
      const any = (terms: readonly string[]): string => terms.map((term) => `(${term})`).join(" or ");
      return [
        `(${erspan} and (${any(hosts.map((host) => `dst host ${host}`))}))`,
        `(${error} and (${any(hosts.map(quotes))}))`,
      ];
    });
    return parts.join(" or ");
  }
}
