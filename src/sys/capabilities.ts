/** What this process may do: capabilities(7), by their numbers in include/uapi/linux/capability.h. */
import { readFileSync } from "node:fs";

const NUMBERS = { CAP_NET_ADMIN: 12, CAP_NET_RAW: 13, CAP_PERFMON: 38, CAP_BPF: 39 } as const;

export type Capability = keyof typeof NUMBERS;

/** Those of `wanted` that are not in force in this process. */
export function missingCapabilities(wanted: readonly Capability[]): Capability[] {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "latin1"))?.[1] ?? "0";
  const set = BigInt(`0x${effective}`);
  return wanted.filter((name) => ((set >> BigInt(NUMBERS[name])) & 1n) === 0n);
}
