import type { BridgeConfig } from "../../src/config/config.ts";

/** A bridge as a file without options describes it, that samples nothing. */
export function bridgeConfig(
  own: Pick<BridgeConfig, "name" | "datapath" | "ports"> & Partial<BridgeConfig>,
): BridgeConfig {
  return {
    mode: "switch",
    failMode: "standalone",
    macAgingMs: 300_000,
    macTableSize: 8192,
    dropMalformed: false,
    sampling: { rate: 0, header: 128 },
    ...own,
  };
}
