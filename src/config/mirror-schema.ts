/** A mirror session as configuration files and the API write it. */
import * as z from "zod";
import { bitRate, byteSize, duration, macAddress, packetRate, text, vlanId, vlanList } from "../text/fields.ts";
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
