/**
 * Bridges that a process left in the kernel, read and ended by one that does not run them: for `weir status`, `weir detach`, and a
 * bridge that is not configured any more.
 */
import { join } from "node:path";
import { mapMemory } from "../../sys/bpf-maps.ts";
import { closeFd, openPin } from "../../sys/bpf-pins.ts";
import { monotonicNs } from "../userspace/clock.ts";
import { HEARTBEAT_SHIFT } from "./layout.ts";
import { type KeptPort, PORTS_BYTES, readPorts } from "./kept.ts";
import {
  allBridgeFolders,
  bridgeFolder,
  deviceName,
  generationFolder,
  generations,
  type Meta,
  type PinOwner,
  readMeta,
  removeBridgePins,
} from "./pins.ts";
import { removePrivateVeth } from "./private-veth.ts";
import { giveBack } from "./take-over.ts";

export interface LeftBridge {
  readonly folder: string;
  readonly meta: Meta;
  readonly ports: readonly KeptPort[];
  readonly away: {
    /** Of the monotonic clock. */
    readonly lastSeenMs: number;
    readonly isStandalone: boolean;
    readonly flooded: number;
    readonly refused: number;
  };
}

/** Every bridge in the BPF file system that was once whole; of one instance, where it is named. */
export function leftBridges(stateDir?: string): LeftBridge[] {
  return allBridgeFolders().flatMap((folder) => {
    const left = readLeft(folder);
    return left !== undefined && (stateDir === undefined || left.meta.stateDir === stateDir) ? [left] : [];
  });
}

const HEARTBEAT_MS = 2 ** HEARTBEAT_SHIFT / 1e6;

function readLeft(folder: string): LeftBridge | undefined {
  const nowMs = monotonicNs() / 1e6;
  for (const generation of generations(folder).toReversed()) {
    const meta = readMeta(folder, generation);
    if (meta === undefined) continue;
    const inside = generationFolder(folder, generation);
    const ports = withMap(join(inside, "kept"), PORTS_BYTES, readPorts) ?? [];
    const { layout } = meta;
    const settings =
      withMap(
        join(inside, "settings"),
        layout["SETTING_WORDS"]! * 4,
        (bytes) => new Uint32Array(bytes.slice().buffer),
      ) ?? new Uint32Array(64);
    const word = (name: string): number => settings[layout[name] ?? -1] ?? 0;
    const away = {
      // 32 bits of it are 52 days: so long ago, at most, a process was there.
      lastSeenMs: nowMs - (((nowMs * 1e6) / 2 ** HEARTBEAT_SHIFT - word("SET_HEARTBEAT")) >>> 0) * HEARTBEAT_MS,
      isStandalone: word("SET_STANDALONE") !== 0,
      flooded: word("SET_AWAY_FLOODED"),
      refused: word("SET_AWAY_REFUSED"),
    };
    return { folder, meta, ports, away };
  }
  return undefined;
}

function withMap<T>(path: string, bytes: number, read: (bytes: Uint8Array) => T): T | undefined {
  const fd = openPin(path);
  if (fd === undefined) return undefined;
  const mapped = mapMemory(fd, bytes);
  try {
    return read(new Uint8Array(mapped.buffer));
  } finally {
    mapped.release();
    closeFd(fd);
  }
}

/** End its forwarding and give its devices back. */
export function detachLeft({ folder, meta, ports }: LeftBridge): void {
  // Programs go first: a device that is the host's again forwards nothing.
  removeBridgePins(folder);
  for (const { ifIndex } of ports) if (ifIndex !== 0) giveBack(ifIndex, meta.mode === "observe");
  removePrivateVeth(deviceName(meta));
}

/** The same of one bridge by name, whole or not; false: there was nothing. */
export function detachBridge(owner: PinOwner): boolean {
  const folder = bridgeFolder(owner);
  const left = readLeft(folder);
  if (left !== undefined) detachLeft(left);
  else if (generations(folder).length > 0) removeBridgePins(folder);
  else return false;
  return true;
}
