/** A tap that Weir makes for a VM to open. Weir is on the network side of it, as on any device (../device). */
import * as z from "zod";
import { findLink, type Link, setLink } from "../../sys/links.ts";
import { makeTap, removeTap } from "../../sys/tun.ts";
import { openDevicePort } from "../device/device-port.ts";
import type { PortType } from "../port.ts";

const schema = z.strictObject({
  device: z
    .string()
    .regex(/^[^\s/:%]{1,15}$/, "a device name has 1 to 15 characters, no space, slash, colon or %")
    .optional(),
  mtu: z.int().min(68).max(65521).default(1500),
  user: z.int().min(0).optional(),
  group: z.int().min(0).optional(),
  multiQueue: z.boolean().default(false),
  slots: z.int().min(256).max(65536).default(4096),
});

export type TapPortOptions = z.infer<typeof schema>;

/** What a port on a tap follows: the tap, made where it is not there (any more), and taken away at the end. */
export function tapDevice({ device: given, mtu, multiQueue, user, group }: TapPortOptions, name: string) {
  const device = given ?? name;
  const who = { ...(user === undefined ? {} : { user }), ...(group === undefined ? {} : { group }) };
  let made = false;
  let isClosed = false;

  function find(): Link | undefined {
    const found = findLink(device);
    if (found && found.kind !== "tun")
      throw new Error(`${device} exists and is no tap: name another device, or use type: netdev`);
    if (found || isClosed) return found;
    makeTap(device, { ...who, multiQueue });
    made = true;
    const link = findLink(device);
    if (link) setLink(link, { up: true, mtu });
    return link && findLink(device);
  }

  return {
    find,
    waitingFor: `waiting for tap ${device}`,
    noCarrier: `no VM has opened ${device}`,
    takeOver: false,
    onClose() {
      isClosed = true;
      if (made && findLink(device)) removeTap(device, { multiQueue });
    },
  };
}

const type: PortType<TapPortOptions> = {
  schema,
  open: (options, env) =>
    openDevicePort({
      ...tapDevice(options, env.name),
      mode: env.mode ?? "switch",
      slots: options.slots,
      outgoing: false,
    }),
};
export default type;
