/** P4: TCP by transfer size: a connection for each, so many bytes there and as many back, one after the other. */
import { Bed } from "./bed.ts";
import { bare, linuxBridge, openVswitch, weir, type Peer } from "./peers.ts";
import { put, ratio, type Result } from "./table.ts";

/** Bytes each way. */
export const SIZES = [1, 16, 256, 4096, 65_536, 1_048_576];
const KERNEL = "Weir kernel, NetFlow, sFlow";

export const sizeLabel = (bytes: number): string =>
  bytes < 1024 ? `${bytes} B` : bytes < 1_048_576 ? `${bytes / 1024} KiB` : `${bytes / 1_048_576} MiB`;

export async function transfers(rounds: number): Promise<Result> {
  const result: Result = {
    part: "transfers",
    title: "Throughput versus transfer size: TCP, a connection for each transfer, as many bytes there and back",
    unit: "Mbit/s",
    cells: [],
    ratios: [],
    notes: ["Weir makes and ends a flow for each direction of each connection, and exports all of them."],
    plot: { x: "bytes each way", y: "Mbit/s, both ways", at: SIZES },
  };
  const bed = new Bed();
  try {
    const peers: Peer[] = [
      await bare(bed),
      await linuxBridge(bed),
      await openVswitch(bed, "OVS userspace, userspace-tso-enable", { tso: true }),
      await weir(bed, KERNEL, { datapath: "kernel", netflow: true, sflow: true }),
      await weir(bed, "Weir userspace, NetFlow", { netflow: true }),
    ];
    for (const { lane } of peers) bed.serveTransfers(lane);
    for (let round = 0; round < rounds; round++)
      for (const bytes of SIZES)
        for (const { name, lane } of peers)
          put(result, name, sizeLabel(bytes), (bed.transferRate(lane, bytes) * 2 * bytes * 8) / 1e6);
  } finally {
    await bed.close();
  }
  for (const bytes of SIZES)
    result.ratios.push({
      target: "P4",
      what: `Weir kernel to the Linux bridge, ${sizeLabel(bytes)}`,
      value: ratio(result, KERNEL, "Linux bridge", sizeLabel(bytes)),
      unit: "×",
      floor: 0.95,
      goal: 1.05,
    });
  return result;
}
