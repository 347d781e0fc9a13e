/**
 * A device that is a switch port belongs to the bridge: the host's own stack neither sees its frames nor speaks on it.
 * AF_PACKET alone takes nothing from the host, so a tc filter behind the socket drops every frame, and IPv6
 * autoconfiguration, which would send on its own, is off. `release` puts both back as found; what a killed process left
 * behind is recognised and put back by the next. One device is one port, whichever thread or process has it.
 */
import { addresses, isIpv6DisabledByDefault, type Link, setIpv6Disabled } from "../../sys/links.ts";
import { addIngressDrop, removeIngressDrop } from "../../sys/tc.ts";
import { holdName } from "../../sys/unix.ts";

export interface Claim {
  /** Give the device back to the host. */
  release(): void;
  /** The device stays as it is, for the next process. */
  letGo(): void;
}

/** Undefined: another port has the device, of this process or of another Weir. */
export function claimDevice(link: Link): Claim | undefined {
  const letGo = holdName(`weir/port/${link.index}`);
  if (letGo === undefined) return undefined;
  let giveBack: () => void;
  try {
    giveBack = takeFromHost(link);
  } catch (error) {
    letGo();
    throw error;
  }
  return {
    letGo,
    release() {
      try {
        giveBack();
      } finally {
        letGo();
      }
    },
  };
}

function takeFromHost(link: Link): () => void {
  const drop = addIngressDrop(link.index, link.name);
  // Switching IPv6 off deletes addresses that nobody could put back: with takeOver they stay.
  const isBare = !addresses(link.index).some((address) => address.family === 6 && !address.linkLocal);
  const found = isBare ? setIpv6Disabled(link.name, true) : undefined;
  // A process that was killed could not switch it on again; what was before it, the host's default tells best.
  const before = drop.inherited && found === true ? isIpv6DisabledByDefault() : found;
  return () => {
    if (before === false) setIpv6Disabled(link.name, false);
    removeIngressDrop(link.index, link.name, drop);
  };
}
