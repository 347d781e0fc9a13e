/** From an entry of the configuration to the devices it means. Pure. */
import type { Link } from "../../sys/links.ts";

export interface DeviceMatch {
  /** A name, or a pattern with * and ?. */
  readonly device?: string | undefined;
  /** "52:54:00:12:34:56": the device with this address, or libvirt's tap for it. */
  readonly mac?: string | undefined;
  /** Every member of the bridge of this name. */
  readonly master?: string | undefined;
}

/** What a template's name has where the device's goes. */
export const DEVICE_PLACEHOLDER = "{device}";

export function isPattern(device: string): boolean {
  return /[*?]/.test(device);
}

function matchesName(pattern: string, name: string): boolean {
  const expression = pattern.replaceAll(/[\\^$.*+?()[\]{}|]/g, (c) => (c === "*" ? ".*" : c === "?" ? "." : `\\${c}`));
  return new RegExp(`^${expression}$`).test(name);
}

/** libvirt gives the host's end of a guest's NIC the guest's address with fe as its first byte. */
function tapAddress(mac: string): string {
  return `fe${mac.slice(2)}`;
}

/**
 * The devices that an entry means, best first: a tap before a device that has the very address (a guest's own end may
 * be visible too), then by ifIndex.
 */
export function matchDevices(entry: DeviceMatch, links: readonly Link[]): Link[] {
  const master = entry.master === undefined ? undefined : links.find(({ name }) => name === entry.master)?.index;
  if (entry.master !== undefined && master === undefined) return [];
  const rank = (link: Link): number => {
    if (entry.device !== undefined && !matchesName(entry.device, link.name)) return 0;
    if (master !== undefined && link.master !== master) return 0;
    if (entry.mac === undefined) return 1;
    if (link.kind === "tun" && link.mac === tapAddress(entry.mac)) return 1;
    return link.mac === entry.mac ? 2 : 0;
  };
  return links.filter((link) => rank(link) > 0).sort((a, b) => rank(a) - rank(b) || a.index - b.index);
}

/** Entries of one bridge, as far as templates care. */
export interface TemplateEntry {
  readonly name: string;
  readonly match: DeviceMatch;
}

/**
 * The ports that a template makes of the devices that are there: those it matches, that no other entry claims, that are
 * not the loopback. `name` is the template's with the device put in, cut to 15 characters.
 */
export function expandTemplate<Entry extends TemplateEntry>(
  template: Entry,
  others: readonly TemplateEntry[],
  links: readonly Link[],
): { name: string; device: string; entry: Entry }[] {
  const claimed = new Set<string>();
  for (const other of others)
    if (!other.name.includes(DEVICE_PLACEHOLDER))
      for (const link of matchDevices(other.match, links).slice(0, 1)) claimed.add(link.name);
  return matchDevices(template.match, links)
    .filter((link) => link.ethernet && !claimed.has(link.name))
    .map(({ name }) => ({
      name: template.name.replaceAll(DEVICE_PLACEHOLDER, name).slice(0, 15),
      device: name,
      entry: template,
    }));
}
