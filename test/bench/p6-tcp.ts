/** P6: one TCP stream (iperf3) between two namespaces with the offloads that devices have by default. */
import { Bed } from "./bed.ts";
import { bare, linuxBridge, openVswitch, weir, type Peer } from "./peers.ts";
import { put, ratio, type Result } from "./table.ts";

const COLUMN = "one stream";

export async function tcp(rounds: number): Promise<Result> {
  const result: Result = {
    part: "tcp",
    title: "TCP, one stream, default offloads",
    unit: "Gbit/s",
    cells: [],
    ratios: [],
    notes: ["OVS's userspace datapath makes no TCP connection at its defaults (0); with userspace-tso-enable it does."],
  };
  const bed = new Bed();
  try {
    const peers: Peer[] = [
      await bare(bed),
      await linuxBridge(bed),
      await openVswitch(bed, "OVS userspace"),
      await openVswitch(bed, "OVS userspace, userspace-tso-enable", { tso: true }),
      await weir(bed, "Weir userspace, NetFlow", { netflow: true }),
    ];
    for (let round = 0; round < rounds; round++) {
      for (const peer of peers) {
        // It takes its time to fail: once is enough.
        if (peer.name === "OVS userspace" && round > 0) continue;
        put(result, peer.name, COLUMN, (await bed.tcpRate(peer.lane)) / 1e9);
      }
    }
  } finally {
    await bed.close();
  }
  const against = (under: string, floor: number, goal: number): void =>
    void result.ratios.push({
      target: "P6",
      what: `Weir to ${under}`,
      value: ratio(result, "Weir userspace, NetFlow", under, COLUMN),
      unit: "×",
      floor,
      goal,
    });
  against("OVS userspace, userspace-tso-enable", 0.95, 1.2);
  against("Linux bridge", 0.8, 1);
  return result;
}
