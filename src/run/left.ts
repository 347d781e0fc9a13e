/** Bridges that forward in the kernel without a process: shown and ended by commands that need no daemon. */
import { existsSync } from "node:fs";
import type { LeftJson } from "../cli/deps.ts";
import { lockDirectory } from "../config/lock.ts";
import { missingCapabilities } from "../sys/capabilities.ts";
import { monotonicNs } from "../datapath/userspace/clock.ts";
import { detachLeft, type LeftBridge, leftBridges } from "../datapath/kernel/left.ts";

const AWAY_MS = 3000;

function json({ meta, ports, away }: LeftBridge): LeftJson {
  const silentMs = monotonicNs() / 1e6 - away.lastSeenMs;
  return {
    bridge: meta.bridge,
    stateDir: meta.stateDir,
    mode: meta.mode,
    // Names of ports that left the bridge have no device.
    ports: ports.filter(({ ifIndex }) => ifIndex !== 0).map(({ name }) => name),
    isAnswered: silentMs <= AWAY_MS,
    lastSeenMs: Date.now() - silentMs,
    failMode: away.isStandalone ? "standalone" : "secure",
    flooded: away.flooded,
    refused: away.refused,
  };
}

export function left(): LeftJson[] {
  return leftBridges().map(json);
}

/**
 * End them all, or those of one state directory. Throws an Error that names the process where one runs the directory that was
 * named; where none was, its bridges are left alone.
 */
export function detach(stateDir: string | undefined): LeftJson[] {
  const ended: LeftJson[] = [];
  for (const bridge of leftBridges(stateDir)) {
    const lock = take(bridge.meta.stateDir, stateDir !== undefined);
    if (lock === undefined) continue;
    try {
      detachLeft(bridge);
      ended.push(json(bridge));
    } finally {
      lock.release();
    }
  }
  return ended;
}

/** Of a directory whose lock the caller holds: bridges that are not configured any more. Returns their names. */
export function detachOthers(stateDir: string, configured: readonly string[]): string[] {
  if (missingCapabilities(["CAP_BPF", "CAP_NET_ADMIN"]).length > 0) return [];
  const others = leftBridges(stateDir).filter(({ meta }) => !configured.includes(meta.bridge));
  for (const other of others) detachLeft(other);
  return others.map(({ meta }) => meta.bridge);
}

function take(stateDir: string, isNamed: boolean): { release(): void } | undefined {
  // A directory that is gone is nobody's.
  if (!existsSync(stateDir)) return { release: () => {} };
  try {
    return lockDirectory(stateDir);
  } catch (error) {
    if (isNamed) throw error;
    return undefined;
  }
}
