/**
 * Frames that two guests handed to the wire and took from it, by their own kernels' counts: what a switch between them lost or
 * made. A super-packet goes whole and is one.
 */
import assert from "node:assert/strict";
import { type Guest, inside } from "./netns.ts";
import { pause } from "./weir-process.ts";

interface Counts {
  readonly txPackets: number;
  readonly txBytes: number;
  /** Refused by the wire itself (the host's backlog was full), before the switch. */
  readonly txDropped: number;
  readonly rxPackets: number;
  readonly rxBytes: number;
  readonly rxDropped: number;
}

/** Of TCP, as the sender's kernel counts it: segments sent again, and those of them that the other end had already. */
export interface Retransmits {
  readonly again: number;
  readonly needless: number;
}

export interface Carried {
  readonly packets: number;
  readonly refusedBefore: number;
  readonly retransmits: Retransmits;
}

const QUIET_MS = 100;

/** Only what the test sends is on the wire: no IPv6 of the kernel's, and neighbours do not ask for each other. */
export function silence(...guests: readonly Guest[]): void {
  for (const guest of guests) {
    inside(guest, "sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1");
    for (const { ip, mac } of guests)
      if (ip !== guest.ip)
        inside(guest, "ip", "neigh", "replace", ip, "lladdr", mac, "dev", "eth0", "nud", "permanent");
  }
}

export class WireWitness {
  private readonly ends: readonly [Guest, Guest];
  private readonly before: readonly [Counts, Counts];
  private readonly retransmitted: Retransmits;

  /** From now on; both are silenced (`silence`) and nothing is on its way. */
  constructor(a: Guest, b: Guest) {
    this.ends = [a, b];
    this.before = [counts(a), counts(b)];
    this.retransmitted = retransmits(a);
  }

  /** When the wire is quiet: every frame that one sent the other got, and no other; throws where that is not so. */
  async settle(): Promise<Carried> {
    let [a, b] = [counts(this.ends[0]), counts(this.ends[1])];
    for (let was = ""; was !== JSON.stringify([a, b]);) {
      was = JSON.stringify([a, b]);
      await pause(QUIET_MS);
      [a, b] = [counts(this.ends[0]), counts(this.ends[1])];
    }
    const [a0, b0] = this.before;
    const said = (sent: Counts, sent0: Counts) => [sent.txPackets - sent0.txPackets, sent.txBytes - sent0.txBytes, 0];
    const got = (at: Counts, at0: Counts) => [
      at.rxPackets - at0.rxPackets,
      at.rxBytes - at0.rxBytes,
      at.rxDropped - at0.rxDropped,
    ];
    assert.deepEqual(got(b, b0), said(a, a0), "packets, bytes, dropped: all that the first sent");
    assert.deepEqual(got(a, a0), said(b, b0), "packets, bytes, dropped: all that the second sent");
    const now = retransmits(this.ends[0]);
    return {
      packets: a.txPackets - a0.txPackets + b.txPackets - b0.txPackets,
      refusedBefore: a.txDropped - a0.txDropped + b.txDropped - b0.txDropped,
      retransmits: {
        again: now.again - this.retransmitted.again,
        needless: now.needless - this.retransmitted.needless,
      },
    };
  }
}

function counts(guest: Guest): Counts {
  const [{ stats64 }] = JSON.parse(inside(guest, "ip", "-j", "-s", "link", "show", "dev", "eth0"));
  const { tx, rx } = stats64;
  return {
    txPackets: tx.packets,
    txBytes: tx.bytes,
    txDropped: tx.dropped,
    rxPackets: rx.packets,
    rxBytes: rx.bytes,
    rxDropped: rx.dropped,
  };
}

/** RetransSegs of RFC 4022, and duplicates that the other end reported (DSACK, RFC 2883). */
function retransmits(guest: Guest): Retransmits {
  const text = inside(guest, "cat", "/proc/net/snmp", "/proc/net/netstat");
  const rows = text.trim().split("\n");
  const value = (group: string, name: string): number => {
    const [names, values] = rows.filter((row) => row.startsWith(`${group}: `)).map((row) => row.split(" "));
    return Number(values![names!.indexOf(name)]);
  };
  return {
    again: value("Tcp", "RetransSegs"),
    needless: value("TcpExt", "TCPDSACKRecv") + value("TcpExt", "TCPDSACKOfoRecv"),
  };
}
