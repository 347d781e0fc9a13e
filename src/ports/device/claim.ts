/**
 * A device that is a switch port belongs to the bridge: the host's own stack neither sees its frames nor speaks on it.
 * AF_PACKET alone takes nothing from the host, so a tc filter behind the socket drops every frame, and IPv6
 * autoconfiguration, which would send on its own, is off. `release` puts both back as found.
 */
import { addresses, type Link, setIpv6Disabled } from "../../sys/links.ts";
import { addIngressDrop, removeIngressDrop } from "../../sys/tc.ts";

export interface Claim {
  release(): void;
}

export function claimDevice(link: Link): Claim {
  const madeQdisc = addIngressDrop(link.index, link.name);
  // Switching IPv6 off deletes addresses that nobody could put back: with takeOver they stay.
  const isBare = !addresses(link.index).some((address) => address.family === 6 && !address.linkLocal);
  const before = isBare ? setIpv6Disabled(link.name, true) : undefined;
  return {
    release() {
      if (before === false) setIpv6Disabled(link.name, false);
      removeIngressDrop(link.index, link.name, madeQdisc);
    },
  };
}
