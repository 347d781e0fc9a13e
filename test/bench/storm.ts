/**
 * A storm of new flows: every frame from the sender asks for a flow of its own, more than the table has room for, while the
 * receiver's port has a few flows now and then. What went in, came out and was counted, from outside and from the API.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { AuditJson, PortJson } from "../../src/bridge/views/json.ts";
import type { List } from "../../src/cli/render/context.ts";
import { ask } from "./ask.ts";
import { type Bed, receivedBy } from "./bed.ts";
import type { WeirServer } from "./peers.ts";

const OTHER_FLOWS = 500;
const OTHER_PPS = 1000;

export interface Storm {
  /** Frames that the sender's device took, the port's device received, and the receiver's device got. */
  readonly sent: number;
  readonly arrived: number;
  readonly received: number;
  /** The other way: frames sent, and received by the receiver's port. */
  readonly otherSent: number;
  /** Of the two ports, as differences. `flows` is what is in the table at the end. */
  readonly stormy: PortJson;
  readonly other: PortJson;
  readonly audit: AuditJson;
  readonly seconds: number;
}

/** More flows than any table has, at most 60,000 × 60,000. */
export const ENDLESS = 1_000_000_000;

export async function storm(bed: Bed, { lane, socket }: WeirServer, seconds: number): Promise<Storm> {
  const [device, otherDevice] = lane.devices;
  const ports = async (): Promise<[PortJson, PortJson]> => {
    const { items } = await ask<List<PortJson>>(socket, "/api/v1/ports");
    const of = (name: string): PortJson => items.find((port) => port.name === name)!;
    return [of(device), of(otherDevice)];
  };
  const quiet = async (): Promise<[PortJson, PortJson]> => {
    for (let last = await ports(); ;) {
      await sleep(200);
      const now = await ports();
      if (now.every((port, n) => port.rxPackets === last[n]!.rxPackets && port.pending === 0)) return now;
      last = now;
    }
  };
  const before = await quiet();
  const [arrived, received] = [receivedBy(lane.middle, device), bed.received(lane)];
  const both = [
    bed.flood(lane, ENDLESS, seconds),
    bed.flood(lane, OTHER_FLOWS, seconds, { pps: OTHER_PPS, back: true }),
  ] as const;
  const [sent, otherSent] = await Promise.all(both);
  const after = await quiet();
  const [audit] = (await ask<List<AuditJson>>(socket, "/api/v1/audit")).items;
  return {
    sent,
    arrived: receivedBy(lane.middle, device) - arrived,
    received: bed.received(lane) - received,
    otherSent,
    stormy: since(before[0], after[0]),
    other: since(before[1], after[1]),
    audit: audit!,
    seconds,
  };
}

const COUNTS = [
  "rxPackets",
  "txPackets",
  "txFailed",
  "forwarded",
  "dropped",
  "flowsCreated",
  "samplePool",
  "samples",
  "sampleDrops",
] as const;

function since(before: PortJson, after: PortJson): PortJson {
  const difference = { ...after };
  for (const count of COUNTS) difference[count] -= before[count];
  difference.unattributed = Object.fromEntries(
    Object.entries(after.unattributed).map(([cause, packets]) => [cause, packets - (before.unattributed[cause] ?? 0)]),
  );
  return difference;
}
