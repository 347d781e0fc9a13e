/** The keys of `type: ipfix` in the configuration. */
import * as z from "zod";

const PROFILES = ["standard", "full", "goflow2", "akvorado", "telegraf", "nfdump", "pmacct", "fastnetmon"] as const;

/** RFC 5103: its elements are the reverse direction of others'. */
const REVERSE_PEN = 29305;

const tls = z.strictObject({
  /** PEM files. `ca`: who may have signed the collector's certificate; the system's authorities unless given. */
  ca: z.string().min(1).optional(),
  cert: z.string().min(1).optional(),
  key: z.string().min(1).optional(),
  /** Name in the collector's certificate, where it is not the one in `collectors`. */
  serverName: z.string().min(1).optional(),
});

export const ipfixSchema = z
  .strictObject({
    /** With the address what a collector tells exporters apart by. */
    observationDomainId: z.int().min(0).max(0xffffffff).default(1),
    transport: z.enum(["udp", "tcp", "tls"]).default("udp"),
    tls: tls.optional(),
    profile: z.enum(PROFILES).default("standard"),
    /** Local address that messages leave from. */
    source: z.union([z.ipv4(), z.ipv6()]).optional(),
    /** Your own Private Enterprise Number: the tenant of an interface is told as its element 1. */
    enterpriseNumber: z
      .int()
      .min(1)
      .max(0xffffffff)
      .refine((number) => number !== REVERSE_PEN, "29305 is the PEN of reverse elements (RFC 5103)")
      .optional(),
    /** Set where what Weir receives was sampled 1 in `rate` before: collectors multiply. Weir itself counts every frame. */
    sampling: z
      .strictObject({
        rate: z.int().min(1).max(0xffffffff),
        mode: z.enum(["deterministic", "random"]).default("deterministic"),
      })
      .optional(),
  })
  .refine(({ transport, tls: keys }) => transport === "tls" || keys === undefined, {
    path: ["tls"],
    message: "is for transport: tls",
  })
  .refine(({ tls: keys }) => (keys?.cert === undefined) === (keys?.key === undefined), {
    path: ["tls"],
    message: "cert and key go together",
  });

export type IpfixOptions = z.output<typeof ipfixSchema>;
