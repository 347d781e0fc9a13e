/** A port on a device that is there, or will be: a veth, a tap of a hypervisor, a physical NIC. */
import * as z from "zod";
import { findLink, type Link, links } from "../../sys/links.ts";
import { deviceName, macAddress } from "../../text/fields.ts";
import { openDevicePort } from "../device/device-port.ts";
import { guard, type HostState, readHostState } from "../device/guards.ts";
import { DEVICE_PLACEHOLDER, expandTemplate, isPattern, matchDevices, type DeviceMatch } from "../device/match.ts";
import type { GuardedEntry, PortType } from "../port.ts";

const schema = z
  .strictObject({
    device: deviceName().optional(),
    match: z
      .strictObject({
        device: deviceName().optional(),
        mac: macAddress().optional(),
        master: deviceName().optional(),
      })
      .refine(({ device, mac, master }) => device ?? mac ?? master, "write device:, mac: or master:")
      .optional(),
    takeOver: z.boolean().default(false),
    /** Of a bridge in observe mode: frames that come from the device, or also those that leave by it. */
    direction: z.enum(["ingress", "both"]).default("ingress"),
    slots: z.int().min(256).max(65536).default(4096),
  })
  .refine(
    (options) => (options.device === undefined) !== (options.match === undefined),
    "write either device: NAME or match: { mac: … }",
  );

export type NetdevOptions = z.infer<typeof schema>;

/** What the entry looks for. */
export function matchOf(options: NetdevOptions): DeviceMatch {
  return options.match ?? { device: options.device };
}

/** The device that the entry means, if it is there now. */
export function findDevice(options: NetdevOptions): Link | undefined {
  const match = matchOf(options);
  if (match.mac === undefined && match.device !== undefined && !isPattern(match.device)) return findLink(match.device);
  return matchDevices(match, links())[0];
}

/**
 * Every reason why these entries must not be attached, each led by its place. To be asked before anything is touched;
 * devices that are not there are no reason.
 */
export function checkGuards(
  entries: readonly GuardedEntry<NetdevOptions>[],
  host: HostState = readHostState(),
): string[] {
  const claims = new Map<number, { readonly where: string; readonly link: Link; readonly isObserved: boolean }>();
  const problems: string[] = [];
  const devices = (options: NetdevOptions): Link[] =>
    matchDevices(matchOf(options), host.links).slice(0, isTemplate(options) ? undefined : 1);
  const claim = ({ where, options, mode }: GuardedEntry<NetdevOptions>): void => {
    const isObserved = mode === "observe";
    for (const link of devices(options)) {
      const other = claims.get(link.index);
      if (other === undefined) claims.set(link.index, { where, link, isObserved });
      // A template leaves to the others what they name.
      else if (!isTemplate(options)) problems.push(`${where}: ${link.name} is the device of ${other.where} already`);
    }
  };
  const inOrder = [false, true].flatMap((last) => entries.filter(({ options }) => isTemplate(options) === last));
  for (const entry of inOrder) if (entry.isAttached) claim(entry);
  for (const entry of inOrder) {
    if (entry.isAttached) continue;
    claim(entry);
    const { where, options, mode } = entry;
    if (mode === "observe") continue;
    if (options.direction === "both")
      problems.push(`${where}: direction: both is for mode: observe; a switch takes what comes in`);
    for (const link of devices(options)) {
      const problem = guard(link, host, options.takeOver);
      if (problem !== undefined) problems.push(`${where}: ${problem}`);
    }
  }
  return [...problems, ...stacked([...claims.values()].filter(({ isObserved }) => isObserved))];
}

/** Of two devices of which one stands on the other, each frame would be counted twice. */
function stacked(observed: readonly { readonly where: string; readonly link: Link }[]): string[] {
  return observed.flatMap(({ where, link }) => {
    const below = observed.find(({ link: { index } }) => index === link.master || index === link.parent);
    if (below === undefined) return [];
    const [lower, upper] = link.master === below.link.index ? [link, below.link] : [below.link, link];
    return [
      `${where}: ${upper.name} stands on ${lower.name}, observed by ${below.where} and here; their frames would count ` +
        `twice. Leave one of them out`,
    ];
  });
}

function isTemplate({ match }: NetdevOptions): boolean {
  return match !== undefined && (match.master !== undefined || (match.device !== undefined && isPattern(match.device)));
}

export function waitingFor({ device, mac, master }: DeviceMatch): string {
  const wanted = [
    device === undefined ? "" : `device ${device}`,
    mac === undefined ? "" : `a device with address ${mac}`,
    master === undefined ? "" : `a member of ${master}`,
  ];
  return `waiting for ${wanted.filter(Boolean).join(" and ")}`;
}

const type: PortType<NetdevOptions> = {
  schema,
  plan(name, options) {
    if (options.device !== undefined && isPattern(options.device))
      throw new Error(`a pattern is written match: { device: "${options.device}" }`);
    if (isTemplate(options) !== name.includes(DEVICE_PLACEHOLDER))
      throw new Error(
        isTemplate(options)
          ? `one name for every device of a pattern or bridge: write name: "${DEVICE_PLACEHOLDER}"`
          : `${DEVICE_PLACEHOLDER} in a name goes with match: { device: "vnet*" }`,
      );
    return [{ name, options }];
  },
  guards: (entries) => checkGuards(entries),
  expand(entry, others) {
    const named = (one: typeof entry) => ({ name: one.name, match: matchOf(one.options) });
    return expandTemplate(named(entry), others.map(named), links()).map(({ name, device }) => ({
      name,
      options: { ...entry.options, match: undefined, device },
    }));
  },
  open: (options, env) =>
    openDevicePort({
      find: () => findDevice(options),
      waitingFor: waitingFor(matchOf(options)),
      mode: env.mode ?? "switch",
      takeOver: options.takeOver,
      slots: options.slots,
      outgoing: env.mode === "observe" && options.direction === "both",
    }),
};
export default type;
