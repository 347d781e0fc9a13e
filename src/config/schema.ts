/**
 * What configuration files may say: the parts that are common to every port type and exporter. Their own keys come from
 * their own schemas (check.ts puts the two together). Defaults are written here and nowhere else.
 */
import * as z from "zod";
import type { VlanConfig } from "../flow/attachment.ts";
import { deviceName, duration, percent, text, vlanId, vlanList, vlanSet } from "../text/fields.ts";
import { mirrorEntry } from "./mirror-schema.ts";
import { unixSocketPath, type HostDefaults } from "./host.ts";

const NAME = /^[\p{L}\p{N}_.:@+-]+$/u;
export const DEVICE_PLACEHOLDER = "{device}";

/** A template's name: ports made from it carry the device's name in the placeholder's place. */
export const isTemplate = (name: string) => name.includes(DEVICE_PLACEHOLDER);

/** Names become parts of paths, terms of filters, lines of tables: letters, digits and `_ . : @ + -`. */
const name = (max: number, placeholder = false) =>
  z.string().superRefine((input, context) => {
    const bare = placeholder ? input.replace(DEVICE_PLACEHOLDER, "x") : input;
    const fail = (message: string) => context.addIssue({ code: "custom", message, input });
    if (input === "") fail(`a name has 1 to ${max} characters`);
    else if (bare.length > max)
      fail(`${JSON.stringify(input.slice(0, 40))} has ${bare.length} characters, a name 1 to ${max}`);
    else if (!NAME.test(bare) || bare === "." || bare === "..")
      fail(`${JSON.stringify(input)} is not a name: letters, digits and _ . : @ + -`);
  });

/** "127.0.0.1:8380", "[::1]:8380": an address, no name. */
const listenAddress = () =>
  z.string().transform((input, context) => {
    const match = /^(?:\[([0-9a-fA-F:.]+)\]|(\d{1,3}(?:\.\d{1,3}){3})):(\d{1,5})$/.exec(input);
    const port = Number(match?.[3]);
    if (match !== null && port <= 65535) return { host: (match[1] ?? match[2])!, port };
    context.addIssue({ code: "custom", message: 'write ADDRESS:PORT, as "127.0.0.1:8380"', input });
    return z.NEVER;
  });

const absolute = () => text(4096).regex(/^\//, "write the whole path, from /");

const vlan = z
  .discriminatedUnion("mode", [
    z.strictObject({ mode: z.literal("access"), tag: vlanId() }),
    z.strictObject({ mode: z.literal("trunk"), trunks: vlanSet() }),
    z.strictObject({ mode: z.literal("nativeTagged"), tag: vlanId(), trunks: vlanSet() }),
    z.strictObject({ mode: z.literal("nativeUntagged"), tag: vlanId(), trunks: vlanSet() }),
  ])
  .transform((vlan): VlanConfig => {
    if (vlan.mode === "access" || vlan.mode === "trunk" || vlan.trunks === "all") return vlan;
    // The native VLAN is carried whether it is listed or not.
    return { ...vlan, trunks: [...new Set([vlan.tag, ...vlan.trunks])].sort((a, b) => a - b) };
  });

const owner = z.strictObject({
  tenant: name(64).optional(),
  vm: text().optional(),
  vmId: text().optional(),
  ifaceId: text().optional(),
  labels: z.record(text(63), z.string().max(255)).optional(),
});

const samplingRate = () => z.int().min(0).max(1_000_000_000);
/** Samples a second of a port, 0 = no ceiling: then the rate follows the traffic. */
const samplingCeiling = () => z.int().min(0).max(1_000_000);

/** The keys that every port has; the others belong to its type. */
export const portCommon = z.object({
  name: name(15, true),
  type: z.string(),
  vlan: vlan.optional(),
  owner: owner.optional(),
  /** Overrides the number given by identity.json (RFC 2863 InterfaceIndex; NetFlow v5 has 16 bits, 65535 is "several"). */
  ifIndex: z.int().min(1).max(65534).optional(),
  sampling: z.strictObject({ rate: samplingRate().optional(), ceiling: samplingCeiling().optional() }).optional(),
  enabled: z.boolean().default(true),
});

/** The keys that every exporter has. */
export const exporterCommon = z.object({
  name: name(64).optional(),
  type: z.string(),
  collectors: z.array(text()).max(64).default([]),
  bridges: z.array(text()).max(64).default([]),
});

/** More ports than this on one bridge have no number in the flow key's table of ports. */
const MAX_PORTS = 1023;

export const bridgeSchema = z.strictObject({
  name: name(15),
  datapath: z.enum(["auto", "kernel", "userspace"]).default("auto"),
  mode: z.enum(["switch", "observe"]).default("switch"),
  failMode: z.enum(["standalone", "secure"]).default("standalone"),
  macAging: duration({ min: 1000, max: 1_000_000_000 }).prefault("300s"),
  macTableSize: z.int().min(16).max(1_048_576).default(8192),
  dropMalformed: z.boolean().default(false),
  sampling: z
    .strictObject({
      rate: samplingRate().default(400),
      header: z.int().min(14).max(512).default(128),
      ceiling: samplingCeiling().optional(),
    })
    .prefault({}),
  ports: z.array(z.looseObject(portCommon.shape)).max(MAX_PORTS).default([]),
  /** A datapath tells sessions apart by the bits of a word. */
  mirrors: z.array(mirrorEntry).max(32).default([]),
  /** Observe mode: every member of this Linux bridge, now and later, is a port. */
  members: deviceName().optional(),
});

/** The whole document, ports and exporters with their types' keys still unread. */
export const configSchema = (host: HostDefaults) =>
  z.strictObject({
    include: z.union([text(), z.array(text())]).optional(),
    host: z
      .strictObject({ name: text(253).default(host.name), stateDir: absolute().default(host.stateDir) })
      .prefault({}),
    api: z
      .strictObject({
        socket: unixSocketPath(absolute()).default(host.socket),
        /** Addresses of TCP, "127.0.0.1:8380": the live view, the API, /metrics. */
        listen: z.array(listenAddress()).max(16).default([]),
        /** PEM files. */
        tls: z.strictObject({ cert: absolute(), key: absolute() }).optional(),
        /** Names by which browsers ask for this host, beside its addresses: "hv1.example.net:8380". */
        hosts: z.array(text(260)).max(64).default([]),
        /** TCP on another address than loopback without TLS: tokens and packets cross the network in clear. */
        insecure: z.boolean().default(false),
        tokens: z
          .array(
            z
              .strictObject({
                name: name(64),
                role: z.enum(["viewer", "operator"]).default("viewer"),
                file: absolute().optional(),
                sha256: z
                  .string()
                  .regex(/^[0-9a-f]{64}$/, "64 hex digits: printf %s TOKEN | sha256sum")
                  .optional(),
              })
              .refine(
                ({ file, sha256 }) => (file === undefined) !== (sha256 === undefined),
                "write either file or sha256",
              ),
          )
          .max(64)
          .default([]),
      })
      .prefault({}),
    flows: z
      .strictObject({
        activeTimeout: duration({ min: 1000, max: 86_400_000 }).prefault("60s"),
        idleTimeout: duration({ min: 100, max: 86_400_000 }).prefault("15s"),
        tcpEndTimeout: duration({ min: 0, max: 86_400_000 }).prefault("2s"),
        max: z.int().min(256).max(16_777_216).default(262_144),
        maxPerPort: percent({ min: 0.001, max: 1 }).prefault("50%"),
      })
      .prefault({}),
    tenants: z.record(name(64), z.strictObject({ vlans: vlanList().default([]) })).default({}),
    bridges: z.array(bridgeSchema).max(64).default([]),
    exporters: z.array(z.looseObject(exporterCommon.shape)).max(64).default([]),
    /** Files of mirrors are below this; without it they are in `captures` below stateDir. */
    captures: z.strictObject({ dir: absolute() }).optional(),
  });
