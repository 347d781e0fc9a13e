/** Which datapath a bridge gets, and why. */
import { existsSync } from "node:fs";
import type { BridgeConfig } from "../config/config.ts";
import { type Datapath, MAX_PORTS } from "../datapath/datapath.ts";
import { KernelDatapath } from "../datapath/kernel/index.ts";
import { OBJECT } from "../datapath/kernel/maps.ts";
import { UserspaceDatapath } from "../datapath/userspace/index.ts";

export interface OpenDatapath {
  readonly datapath: Datapath;
  /** For people: "as the configuration says". */
  readonly why: string;
}

export interface DatapathEnv {
  /** Flow slots. */
  readonly capacity: number;
  readonly baseDir: string;
  readonly onAttention: () => void;
  readonly onFailure: (error: Error) => void;
}

/** Why this bridge cannot have the kernel datapath, as far as can be seen without trying; undefined: it may. */
export function kernelObstacle(config: Pick<BridgeConfig, "ports">): string | undefined {
  const other = config.ports.find(({ type }) => type !== "netdev");
  if (other !== undefined)
    return `port ${other.name} is of type ${other.type}, the kernel datapath has netdev ports only`;
  if (process.getuid?.() !== 0) return "the kernel datapath needs root";
  if (!existsSync(OBJECT)) return "this build has no kernel datapath (it was made without clang)";
  return undefined;
}

/** Throws an Error that names the fix where `datapath: kernel` cannot be had. */
export function openDatapath(config: BridgeConfig, env: DatapathEnv): OpenDatapath {
  if (config.datapath === "kernel") {
    const obstacle = kernelObstacle(config);
    if (obstacle !== undefined) throw new Error(`bridge ${config.name}: ${obstacle}; write datapath: userspace`);
    return { datapath: new KernelDatapath(env), why: "as the configuration says" };
  }
  const datapath = new UserspaceDatapath({ ...env, ports: MAX_PORTS, bridge: config.name });
  const isAsked = config.datapath === "userspace";
  return {
    datapath,
    why: isAsked ? "as the configuration says" : "auto: the kernel datapath is young; datapath: kernel tries it",
  };
}
