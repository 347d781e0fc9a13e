/** What the configuration says of flows, in the units of those who hold to it. */
import type { FlowsConfig } from "../config/config.ts";
import type { SweepTimeouts } from "../flow/idle.ts";

/** A rule outlives its last use, and its index the rule, by the idle timeout and this. */
const REST_NS = 10e9;

export function timeouts(flows: FlowsConfig): SweepTimeouts {
  return {
    activeNs: flows.activeTimeoutMs * 1e6,
    idleNs: flows.idleTimeoutMs * 1e6,
    tcpEndNs: flows.tcpEndTimeoutMs * 1e6,
  };
}

export function restNs(flows: FlowsConfig): number {
  return flows.idleTimeoutMs * 1e6 + REST_NS;
}

export function limits(flows: FlowsConfig): { maxFlowsPerPort: number } {
  return { maxFlowsPerPort: Math.floor(flows.max * flows.maxPerPort) };
}
