/** Which datapath a bridge gets, and why. */
import { existsSync } from "node:fs";
import type { BridgeConfig } from "../config/config.ts";
import { KERNEL_PORT_TYPES } from "../config/semantics.ts";
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
  const other = config.ports.find(({ type }) => !KERNEL_PORT_TYPES.includes(type));
  if (other !== undefined)
    return `port ${other.name} is of type ${other.type}, the kernel datapath has ports of type ${KERNEL_PORT_TYPES.join(" and ")} only`;
  if (process.getuid?.() !== 0) return "the kernel datapath needs root";
  if (!existsSync(OBJECT)) return "this build has no kernel datapath (it was made without clang)";
  return undefined;
}

/**
 * `auto` is the kernel where every port and this host allow it. Throws an Error that names the fix where
 * `datapath: kernel` cannot be had.
 */
export function openDatapath(config: BridgeConfig, env: DatapathEnv): OpenDatapath {
  const userspace = (why: string): OpenDatapath => ({
    datapath: new UserspaceDatapath({ ...env, ports: MAX_PORTS, bridge: config.name, mode: config.mode }),
    why,
  });
  if (config.datapath === "userspace") return userspace("as the configuration says");
  const isAsked = config.datapath === "kernel";
  // Ports added later may be of any type.
  if (!isAsked && config.ports.length === 0)
    return userspace("auto: no ports yet, and this one has every type of them");
  let obstacle = kernelObstacle(config);
  try {
    if (obstacle === undefined)
      return {
        datapath: new KernelDatapath({ ...env, mode: config.mode }),
        why: isAsked ? "as the configuration says" : "auto: every port and this host allow it",
      };
  } catch (error) {
    obstacle = (error as Error).message;
  }
  if (isAsked) throw new Error(`bridge ${config.name}: ${obstacle}; write datapath: userspace`);
  return userspace(`auto: ${obstacle}`);
}
