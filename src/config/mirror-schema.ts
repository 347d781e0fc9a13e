/** A mirror session as configuration files and the API write it. */
import * as z from "zod";
import { bitRate, byteSize, duration, macAddress, packetRate, text, vlanId, vlanList } from "../text/fields.ts";
import { parseIp } from "../wire/address.ts";
import type { MirrorConfig } from "./config.ts";

const portName = () => text(15);

const owner = z
  .strictObject({
    tenant: text(64).optional(),
    vm: text().optional(),
    vmId: text().optional(),
    ifaceId: text().optional(),
    mac: macAddress().optional(),
  })
  .refine((keys) => Object.keys(keys).length > 0, "say whose: vm, vmId, tenant, ifaceId or mac");

const select = z
  .strictObject({
    all: z.literal(true).optional(),
    ports: z.array(portName()).max(1023).default([]),
    owners: z.array(owner).max(1023).default([]),
    vlans: vlanList().optional(),
    direction: z.enum(["ingress", "egress", "both"]).default("both"),
    filter: text(4096).optional(),
    dropped: z.enum(["include", "exclude", "only"]).default("include"),
  })
  .refine(
    ({ all, ports, owners, vlans }) => all === true || ports.length + owners.length + (vlans?.length ?? 0) > 0,
    "selects nothing: name ports or owners, or write all: true",
  );

const address = () =>
  z.string().refine((value) => parseIp(value) !== undefined, "write an IPv4 or IPv6 address of this host");

const host = () =>
  z
    .string()
    .max(253)
    .refine(
      (value) =>
        parseIp(value) !== undefined || (/^[A-Za-z0-9_]([\w.-]*[\w.])?$/.test(value) && !/^[\d.]+$/.test(value)),
      "write a host's name or address, without a port: GRE has none",
    );

const output = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("span"), port: portName() }),
  z.strictObject({ type: z.literal("rspan"), vlan: vlanId(), stacked: z.boolean().default(false) }),
  z.strictObject({
    type: z.literal("file"),
    path: text(1024),
    ring: z
      .strictObject({ files: z.int().min(2).max(1000), size: byteSize({ min: 65_536, max: 1_099_511_627_776 }) })
      .optional(),
  }),
  z
    .strictObject({
      type: z.literal("erspan"),
      /** The draft's; iproute2 and Open vSwitch call II and III "erspan_ver" 1 and 2. */
      erspanType: z.enum(["I", "II", "III"]).default("II"),
      remote: host(),
      source: address().optional(),
      session: z.int().min(1).max(1023).default(1),
      ttl: z.int().min(1).max(255).default(64),
      tos: z.int().min(0).max(255).default(0),
      oversize: z.enum(["cut", "fragment", "drop"]).default("cut"),
      granularity: z.enum(["100us", "100ns", "ieee1588"]).default("100us"),
      hardware: z.int().min(0).max(63).default(0),
    })
    .refine(
      ({ erspanType, granularity, hardware }) => erspanType === "III" || (granularity === "100us" && hardware === 0),
      "granularity and hardware are type III's: write erspanType: III",
    ),
  z.strictObject({ type: z.literal("stream") }),
]);

export const mirrorEntry = z.strictObject({
  name: text(64).regex(/^[\w.:@+-]+$/, "letters, digits and _ . : @ + -"),
  select,
  outputs: z.array(output).min(1, "copies need somewhere to go").max(16),
  /** Bytes of each frame; the shortest has a whole Ethernet header. */
  snaplen: z.int().min(14).max(65_535).optional(),
  sample: z.int().min(1).max(1_000_000_000).default(1),
  limit: z
    .strictObject({
      rate: packetRate({ min: 1, max: 1e9 }).optional(),
      bandwidth: bitRate({ min: 1000, max: 1e12 }).optional(),
      duration: duration({ min: 100, max: 31_536_000_000 }).optional(),
      packets: z.int().min(1).max(Number.MAX_SAFE_INTEGER).optional(),
    })
    .prefault({}),
});

export function toMirror(raw: z.output<typeof mirrorEntry>): MirrorConfig {
  const { rate, bandwidth, duration: durationMs, packets } = raw.limit;
  const { all, ports, owners, vlans, direction, filter, dropped } = raw.select;
  return {
    name: raw.name,
    select: {
      // VLANs alone narrow every port.
      all: all === true || ports.length + owners.length === 0,
      ports,
      owners: owners as MirrorConfig["select"]["owners"],
      ...(vlans !== undefined && vlans.length > 0 && { vlans }),
      direction,
      ...(filter !== undefined && { filter }),
      dropped,
    },
    outputs: raw.outputs as MirrorConfig["outputs"],
    snaplen: raw.snaplen ?? 0,
    sample: raw.sample,
    limit: { pps: rate ?? 0, bps: bandwidth ?? 0, durationMs: durationMs ?? 0, packets: packets ?? 0 },
  };
}
