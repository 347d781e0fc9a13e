/** What exporters say of the host and of a bridge's identity. */
import { createHash } from "node:crypto";
import { arch, cpus, freemem, networkInterfaces, release, totalmem } from "node:os";
import type { HostInfo } from "../telemetry/exporter.ts";

export function hostInfo(name: string, id: string): HostInfo {
  const processors = cpus();
  return {
    name,
    id,
    arch: arch(),
    release: release(),
    cpus: processors.length,
    mhz: processors[0]?.speed ?? 0,
    memory: () => ({ total: totalmem(), free: freemem() }),
  };
}

/** 64 bits, as OpenFlow names a datapath: from the host's id and the bridge's name. */
export function datapathId(hostId: string, bridge: string): string {
  return createHash("sha256").update(`${hostId}/${bridge}`).digest("hex").slice(0, 16);
}

/** The address that collectors know this host by: the first of its own, loopback where it has none. */
export function agentAddress(): string {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return all.find(({ family, internal }) => family === "IPv4" && !internal)?.address ?? "127.0.0.1";
}
