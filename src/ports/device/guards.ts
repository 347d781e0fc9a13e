/**
 * What a bridge must not take: the device by which this host is reached, and one that another switch forwards for.
 * Read before anything is touched.
 */
import { type Address, addresses, defaultRouteDevices, type Link, links } from "../../sys/links.ts";

/** The host as the guards see it. */
export interface HostState {
  readonly links: readonly Link[];
  readonly addresses: readonly Address[];
  /** ifIndex of devices that a default route leads through. */
  readonly defaultRoutes: ReadonlySet<number>;
}

export function readHostState(): HostState {
  return { links: links(), addresses: addresses(), defaultRoutes: defaultRouteDevices() };
}

/** Why a bridge in switch mode must leave this device alone; undefined: it need not. Pure. */
export function guard(link: Link, host: HostState, takeOver: boolean): string | undefined {
  if (link.master !== 0) return inOtherSwitch(link, host);
  if (takeOver) return undefined;
  const own = host.addresses.filter((address) => address.index === link.index && !address.linkLocal);
  const hasDefault = host.defaultRoutes.has(link.index);
  if (own.length === 0 && !hasDefault) return undefined;
  const what = [own.map((address) => address.text).join(", "), hasDefault ? "the default route" : ""];
  return (
    `${link.name} has ${what.filter(Boolean).join(" and ")}; as a switch port this host is cut off. ` +
    `Move the address to a port of type internal, or set takeOver: true`
  );
}

function inOtherSwitch(link: Link, host: HostState): string {
  const master = host.links.find((other) => other.index === link.master)?.name ?? `ifIndex ${link.master}`;
  if (link.masterKind === "bond" || link.masterKind === "team")
    return `${link.name} is a member of ${link.masterKind} ${master}. Use ${master} as the port instead`;
  const kind = link.masterKind === "bridge" ? "Linux bridge" : link.masterKind || "device";
  return (
    `${link.name} is in ${kind} ${master}; two switches would forward its frames twice. ` +
    `ip link set ${link.name} nomaster, or mode: observe`
  );
}
