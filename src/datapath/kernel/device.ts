/**
 * A port of the kernel datapath: a device with the program on its way in, and its row in the port table. Follows the
 * device as src/ports/device does: waits for it, notices when it goes or another bridge takes it, gives it back.
 */
import { join } from "node:path";
import { type Claim, claimDevice } from "../../ports/device/claim.ts";
import { deviceLosses, type DeviceOptions, type Losses } from "../../ports/device/device-port.ts";
import { guard, readHostState } from "../../ports/device/guards.ts";
import { findDevice, matchOf, type NetdevOptions, waitingFor } from "../../ports/netdev/index.ts";
import { tapDevice, type TapPortOptions } from "../../ports/tap/index.ts";
import type { PortState, PortStatus } from "../../ports/port.ts";
import { type Attachment, attachProgram } from "../../sys/bpf-attach.ts";
import { deleteElement, updateElement } from "../../sys/bpf-maps.ts";
import { findPeer, type Link, linkSpeed, setLink } from "../../sys/links.ts";
import { setPromiscuous } from "../../sys/packet-socket.ts";
import { ETH_HEADER_BYTES } from "../../wire/ethernet.ts";
import {
  DIRECT_PORTS,
  P_FLAGS,
  P_IFINDEX,
  P_MAX_FRAME,
  P_PEER_MAC,
  PORT_ENABLED,
  PORT_PEER,
  PORT_UP,
  PORT_WORDS,
} from "./layout.ts";
import type { KernelMaps } from "./maps.ts";
import type { PortSpec } from "../datapath.ts";

export interface KernelPort {
  /** Look at the device and follow it: a few times a second. */
  follow(): void;
  enable(up: boolean): void;
  status(): PortStatus;
  /** ifIndex while attached, else 0. */
  readonly ifIndex: number;
  /** `keep`: the program stays on the device. */
  close(keep?: boolean): void;
}

/** What device a port is for: src/ports/device. `outgoing`: frames that leave by it count too (observe mode). */
type Place = Omit<DeviceOptions, "slots">;

function placeOf({ type, name, options }: PortSpec, mode: "switch" | "observe"): Place {
  if (type === "tap") return { ...tapDevice(options as TapPortOptions, name), mode, outgoing: false };
  if (type !== "netdev") throw new Error(`the kernel datapath has no ports of type ${type}; write datapath: userspace`);
  const netdev = options as NetdevOptions;
  return {
    find: () => findDevice(netdev),
    waitingFor: waitingFor(matchOf(netdev)),
    takeOver: netdev.takeOver,
    mode,
    outgoing: mode === "observe" && netdev.direction === "both",
  };
}

function bytesOf(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}

/**
 * `socket`: any packet socket of the process; it holds the devices in promiscuous mode. `links`: folder of the BPF file
 * system for the programs' attachments, which then outlive the process, as promiscuous mode does. Throws where guards refuse.
 */
export function openKernelPort(
  maps: KernelMaps,
  spec: PortSpec,
  socket: number,
  mode: "switch" | "observe" = "switch",
  links?: string,
): KernelPort {
  const { no } = spec;
  const place = placeOf(spec, mode);
  const isSwitch = mode === "switch";
  const program = maps.object.program("ingress");
  const portOf = maps.object.map("port_of");
  const row = no * PORT_WORDS * 2;

  let link: Link | undefined;
  let state: PortState = "absent";
  let message: string | undefined = place.waitingFor;
  let claim: Claim | undefined;
  let attachments: Attachment[] = [];
  let attached = 0;
  // Of a port that an earlier process left; it goes on as it is.
  let isEnabled = (maps.ports[row + P_FLAGS * 2]! & PORT_ENABLED) !== 0;
  let speed = 0;
  let start: Losses = { nic: 0, tap: 0 };
  let now: Losses = start;
  const before: Losses = { nic: 0, tap: 0 };

  function refuse(found: Link): void {
    const problem = isSwitch ? guard(found, readHostState(), place.takeOver) : undefined;
    if (problem) throw new Error(problem);
    if (!found.ethernet) throw new Error(`${found.name} is not an Ethernet device`);
  }

  /** The program's way from a device to its port; 0: none. */
  function mark(index: number, port: number): void {
    if (index < DIRECT_PORTS) Atomics.store(maps.directPorts, index * 2, port);
    else if (port !== 0) updateElement(portOf, bytesOf(index), bytesOf(port), `port of device ${index}`);
    else deleteElement(portOf, bytesOf(index));
  }

  function attach(found: Link): void {
    try {
      refuse(found);
    } catch (error) {
      state = "conflict";
      message = (error as Error).message;
      return;
    }
    // Its filter stands behind the program, which takes every frame: it keeps the host's stack away when we are not there.
    // Who only looks on leaves the device to whom it belongs.
    claim = isSwitch ? claimDevice(found) : undefined;
    if (isSwitch && claim === undefined) {
      state = "conflict";
      message = `${found.name} is already a port, here or of another weir process; two switches would forward its frames twice`;
      return;
    }
    try {
      mark(found.index, no);
      attachments.push(attachProgram(program, found.index, found.name, "ingress", links && join(links, `${no}-in`)));
      if (place.outgoing)
        attachments.push(attachProgram(program, found.index, found.name, "egress", links && join(links, `${no}-out`)));
      if (isSwitch) promiscuous(found, true);
    } catch (error) {
      for (const attachment of attachments) attachment.detach();
      attachments = [];
      mark(found.index, 0);
      claim?.release();
      claim = undefined;
      throw error;
    }
    attached = found.index;
    maps.kept.setDevice(no, found.index, found.name);
    start = now = deviceLosses(found);
    speed = linkSpeed(found.name);
  }

  /** A membership ends with its socket; the device's flag does not. */
  function promiscuous(found: Pick<Link, "index" | "name">, isOn: boolean): void {
    if (links === undefined) setPromiscuous(socket, found.index, isOn);
    else setLink(found, { promiscuous: isOn });
  }

  function detach(): void {
    before.nic += now.nic - start.nic;
    before.tap += now.tap - start.tap;
    start = now;
    maps.ports[row + P_FLAGS * 2] = 0;
    for (const attachment of attachments) attachment.detach();
    attachments = [];
    mark(attached, 0);
    maps.kept.setDevice(no, 0, "");
    const index = attached;
    attached = 0;
    try {
      if (isSwitch) promiscuous({ index, name: link?.name ?? "" }, false);
      claim?.release();
    } catch {
      // A device that went away took its settings along.
    }
    claim = undefined;
  }

  /** What the program reads: flags last on the way up, for they say that the rest is true. */
  function publish(): void {
    if (attached === 0 || link === undefined) {
      maps.ports[row + P_FLAGS * 2] = 0;
      return;
    }
    const peer = findPeer(link);
    maps.ports[row + P_IFINDEX * 2] = link.index;
    maps.ports[row + P_MAX_FRAME * 2] = link.mtu + ETH_HEADER_BYTES;
    if (peer !== undefined) {
      const mac = peer.mac.split(":").map((byte) => parseInt(byte, 16));
      maps.ports[row + P_PEER_MAC * 2] = (mac[2]! << 24) | (mac[3]! << 16) | (mac[4]! << 8) | mac[5]!;
      maps.ports[row + P_PEER_MAC * 2 + 1] = (mac[0]! << 8) | mac[1]!;
    }
    const flags =
      (isEnabled ? PORT_ENABLED : 0) |
      (isEnabled && state === "up" ? PORT_UP : 0) |
      (peer?.up === true ? PORT_PEER : 0);
    Atomics.store(maps.ports, row + P_FLAGS * 2, flags);
  }

  function look(): void {
    link = place.find();
    if (attached !== 0 && (link?.index !== attached || (isSwitch && link.master !== 0))) detach();
    if (link === undefined) {
      state = "absent";
      message = place.waitingFor;
      return;
    }
    if (attached === 0) attach(link);
    if (attached === 0) return;
    now = deviceLosses(link);
    state = link.running ? "up" : "down";
    message = link.running
      ? undefined
      : link.up
        ? (place.noCarrier ?? `${link.name} has no carrier`)
        : `ip link set ${link.name} up`;
  }

  try {
    link = place.find();
    if (link) refuse(link);
    look();
  } catch (error) {
    place.onClose?.();
    throw error;
  }
  publish();

  return {
    follow() {
      try {
        look();
      } catch (error) {
        state = "failed";
        message = (error as Error).message;
      }
      publish();
    },
    enable(up) {
      isEnabled = up;
      publish();
    },
    get ifIndex() {
      return attached;
    },
    status: () => ({
      state,
      ...(message === undefined ? {} : { message }),
      ...(link ? { device: link.name, mac: link.mac } : {}),
      mtu: link?.mtu ?? 0,
      speed,
      ifIndex: link?.physical ? link.index : 0,
      lost: { ring: 0, nic: before.nic + now.nic - start.nic, tap: before.tap + now.tap - start.tap, qdisc: 0 },
    }),
    close(keep = false) {
      if (keep) {
        for (const attachment of attachments) attachment.letGo();
        claim?.letGo();
        return;
      }
      if (attached !== 0) detach();
      maps.ports[row + P_FLAGS * 2] = 0;
      state = "absent";
      message = "closed";
      place.onClose?.();
    },
  };
}
