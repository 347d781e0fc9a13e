/** A port on a device that is there, or will be: a veth, a tap of a hypervisor, a physical NIC. */
import * as z from "zod";
import { findLink, type Link, links } from "../../sys/links.ts";
import { macAddress } from "../../text/fields.ts";
import { openDevicePort } from "../device/device-port.ts";
import { guard, type HostState, readHostState } from "../device/guards.ts";
import { DEVICE_PLACEHOLDER, expandTemplate, isPattern, matchDevices, type DeviceMatch } from "../device/match.ts";
import type { GuardedEntry, PortType } from "../port.ts";

/** IFNAMSIZ − 1, and no slash: what the kernel takes (dev_valid_name). */
const deviceName = () =>
  z
    .string()
    .min(1)
    .max(15, "a device name has at most 15 characters")
    .regex(/^[^\s/:]+$/, "a device name has no space, slash or colon");

const schema = z
  .strictObject({
    device: deviceName().optional(),
    match: z
      .strictObject({ device: deviceName().optional(), mac: macAddress().optional() })
      .refine((match) => match.device !== undefined || match.mac !== undefined, "write device: or mac:")
      .optional(),
    takeOver: z.boolean().default(false),
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
 * Every reason why these entries of bridges in switch mode must not be attached, each led by its place. To be asked
 * before anything is touched; devices that are not there are no reason.
 */
export function checkGuards(
  entries: readonly GuardedEntry<NetdevOptions>[],
  host: HostState = readHostState(),
): string[] {
  const claims = new Map<number, string>();
  const problems: string[] = [];
  const devices = (options: NetdevOptions): Link[] =>
    matchDevices(matchOf(options), host.links).slice(0, isTemplate(options) ? undefined : 1);
  const claim = ({ where, options }: GuardedEntry<NetdevOptions>): void => {
    if (isTemplate(options)) return;
    for (const { index, name } of devices(options)) {
      const other = claims.get(index);
      if (other === undefined) claims.set(index, where);
      else problems.push(`${where}: ${name} is the device of ${other} already`);
    }
  };
  for (const entry of entries) if (entry.isAttached) claim(entry);
  for (const entry of entries) {
    if (entry.isAttached) continue;
    claim(entry);
    for (const link of devices(entry.options)) {
      const problem = guard(link, host, entry.options.takeOver);
      if (problem !== undefined) problems.push(`${entry.where}: ${problem}`);
    }
  }
  return problems;
}

function isTemplate(options: NetdevOptions): boolean {
  return options.match?.device !== undefined && isPattern(options.match.device);
}

export function waitingFor({ device, mac }: DeviceMatch): string {
  return `waiting for ${[device === undefined ? "" : `device ${device}`, mac === undefined ? "" : `a device with address ${mac}`].filter(Boolean).join(" and ")}`;
}

const type: PortType<NetdevOptions> = {
  schema,
  plan(name, options) {
    if (options.device !== undefined && isPattern(options.device))
      throw new Error(`a pattern is written match: { device: "${options.device}" }`);
    if (isTemplate(options) !== name.includes(DEVICE_PLACEHOLDER))
      throw new Error(
        isTemplate(options)
          ? `one name for every device of a pattern: write name: "${DEVICE_PLACEHOLDER}"`
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
      outgoing: false,
    }),
};
export default type;
