/** Port types and exporters as small as they can be, for tests of the loader. */
import * as z from "zod";
import type { PortType } from "../../src/ports/port.ts";
import type { ExporterType } from "../../src/telemetry/exporter.ts";
import { duration, macAddress, packetRate } from "../../src/text/fields.ts";
import type { Registries } from "../../src/config/check.ts";
import type { HostDefaults } from "../../src/config/host.ts";

const noOpen = () => {
  throw new Error("not opened in these tests");
};

const match = z.strictObject({ device: z.string().optional(), mac: macAddress().optional() });

export const registries: Registries = {
  portTypes: {
    netdev: async (): Promise<PortType> => ({
      schema: z.object({
        device: z.string().optional(),
        match: match.optional(),
        takeOver: z.boolean().default(false),
      }),
      open: noOpen,
    }),
    replay: async (): Promise<PortType> => ({
      schema: z.strictObject({
        file: z.string(),
        speed: z.union([z.enum(["max", "realtime"]), z.number().positive()]).default("realtime"),
        loop: z.boolean().default(false),
      }),
      open: noOpen,
    }),
    traffic: async (): Promise<PortType> => ({
      schema: z.strictObject({
        profile: z.enum(["tenants"]).default("tenants"),
        seed: z.int().default(1),
        rate: packetRate().prefault("5kpps"),
      }),
      plan: (name, options) =>
        ["acme-web1", "acme-db1"].map((vm, index) => ({
          name: `${name}.${vm}`,
          vlan: { mode: "access", tag: 100 },
          owner: { tenant: "acme", vm },
          options: { ...options, index },
        })),
      open: noOpen,
    }),
  },
  exporterTypes: {
    "netflow-v5": async (): Promise<ExporterType> => ({
      schema: z.strictObject({ engineId: z.int().min(0).max(255).default(0) }),
      defaultPort: 2055,
      identity: (options) => `engine 0/${options.engineId}`,
      open: noOpen,
    }),
    influx: async (): Promise<ExporterType> => ({
      schema: z.strictObject({ url: z.string(), interval: duration().prefault("10s") }),
      defaultPort: 0,
      open: noOpen,
    }),
  },
};

export const host: HostDefaults = { name: "hv1", stateDir: "/var/lib/weir", socket: "/run/weir/weir.sock" };
