/** Which datapath a bridge gets, and why. */
import { existsSync } from "node:fs";
import type { BridgeConfig } from "../config/config.ts";
import { KERNEL_PORT_TYPES } from "../config/semantics.ts";
import { type Datapath, MAX_PORTS } from "../datapath/datapath.ts";
import { KernelDatapath } from "../datapath/kernel/index.ts";
import { detachBridge } from "../datapath/kernel/left.ts";
import { OBJECT } from "../datapath/kernel/maps.ts";
import { UserspaceDatapath } from "../datapath/userspace/index.ts";
import { missingCapabilities } from "../sys/capabilities.ts";

export interface OpenDatapath {
  readonly datapath: Datapath;
  /** For people: "as the configuration says". */
  readonly why: string;
}

export interface DatapathEnv {
  /** Flow slots. */
  readonly capacity: number;
  readonly baseDir: string;
  /** Records of the log. */
  readonly records: number;
  /** Whose the pinned maps are. */
  readonly stateDir: string;
  readonly onAttention: () => void;
  readonly onFailure: (error: Error) => void;
}

/** Programs and maps; devices, tc and the private veth; packet sockets; the verifier's trust in pointers of programs. */
const NEEDS = ["CAP_BPF", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_PERFMON"] as const;

/** Asked for and not allowed: exit code 4. */
class NotAllowedHere extends Error {
  readonly exitCode = 4;
}

/** Why this bridge cannot have the kernel datapath, as far as can be seen without trying; undefined: it may. */
export function kernelObstacle(config: Pick<BridgeConfig, "ports">): string | undefined {
  const other = config.ports.find(({ type }) => !KERNEL_PORT_TYPES.includes(type));
  if (other !== undefined)
    return `port ${other.name} is of type ${other.type}, the kernel datapath has ports of type ${KERNEL_PORT_TYPES.join(" and ")} only`;
  const missing = missingCapabilities(NEEDS);
  if (missing.length > 0)
    return `the kernel datapath needs ${missing.join(" and ")}, which this process does not have (AmbientCapabilities of its unit, or root)`;
  if (!existsSync(OBJECT)) return "this build has no kernel datapath (it was made without clang)";
  return undefined;
}

/**
 * `auto` is the kernel where every port and this host allow it. Throws an Error that names the fix where
 * `datapath: kernel` cannot be had.
 */
export function openDatapath(config: BridgeConfig, env: DatapathEnv): OpenDatapath {
  const owner = { stateDir: env.stateDir, bridge: config.name };
  const userspace = (why: string): OpenDatapath => {
    // What an earlier process left in the kernel would forward the same frames.
    if (missingCapabilities(NEEDS).length === 0) detachBridge(owner);
    const options = { ...env, ports: MAX_PORTS, bridge: config.name, mode: config.mode };
    return { datapath: new UserspaceDatapath(options), why };
  };
  if (config.datapath === "userspace") return userspace("as the configuration says");
  const isAsked = config.datapath === "kernel";
  // Ports added later may be of any type.
  if (!isAsked && config.ports.length === 0)
    return userspace("auto: no ports yet, and this one has every type of them");
  let obstacle = kernelObstacle(config);
  try {
    if (obstacle === undefined)
      return {
        datapath: new KernelDatapath({
          ...env,
          mode: config.mode,
          owner,
        }),
        why: isAsked ? "as the configuration says" : "auto: every port and this host allow it",
      };
  } catch (error) {
    obstacle = (error as Error).message;
  }
  if (isAsked) {
    const Refusal = missingCapabilities(NEEDS).length > 0 ? NotAllowedHere : Error;
    throw new Refusal(`bridge ${config.name}: ${obstacle}; or write datapath: userspace`);
  }
  return userspace(`auto: ${obstacle}`);
}
