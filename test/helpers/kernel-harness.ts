/** The kernel datapath between wires whose other ends the test holds: for the suites and properties of datapaths. */
import { existsSync } from "node:fs";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { KernelDatapath } from "../../src/datapath/kernel/index.ts";
import { OBJECT } from "../../src/datapath/kernel/maps.ts";
import { MAX_PORTS } from "../../src/datapath/datapath.ts";
import { CounterSnapshot } from "../../src/shm/counters.ts";
import type { DatapathHarness } from "../conformance/datapath.ts";
import { needs, needsRoot } from "./needs.ts";
import { tapEnds } from "./tap-ends.ts";
import { wireEnds } from "./wire-ends.ts";

const QUIET_MS = 25;

export const kernelAvailable = (t: TestContext): boolean =>
  needsRoot(t) && (existsSync(fileURLToPath(OBJECT)) || needs(t, "clang-14"));

/** Ports 1 to `count`, up and enabled: netdev ports on veth pairs into a namespace, or taps that the datapath makes. */
export async function kernelHarness(capacity: number, type: "netdev" | "tap" = "netdev", count = 3) {
  const taps = type === "tap" ? tapEnds(count) : undefined;
  const wires = taps ?? wireEnds(count);
  const failures: Error[] = [];
  let datapath: KernelDatapath;
  try {
    datapath = new KernelDatapath({ capacity, onAttention: () => {}, onFailure: (error) => failures.push(error) });
  } catch (error) {
    wires.close();
    throw error;
  }
  const close = async (): Promise<void> => {
    await datapath.close({ keepForwarding: false });
    wires.close();
    if (failures.length > 0) throw failures[0]!;
  };
  const enabled = wires.ends.map((_, n) => ({ port: n + 1, up: true }));
  try {
    for (const [n, { device }] of wires.ends.entries()) {
      const options =
        type === "tap" ? { device, mtu: 1500, multiQueue: false } : { device, takeOver: false, slots: 256 };
      await datapath.addPort({ no: n + 1, name: `p${n + 1}`, type, options });
    }
    taps?.open();
    datapath.program({ enabled });
    datapath.follow();
  } catch (error) {
    await close();
    throw error;
  }
  const snapshot = new CounterSnapshot(MAX_PORTS);
  const look = (): string => {
    // What has come up is taken in here, too: on a busy machine the watching thread may need longer than QUIET_MS.
    datapath.misses.take(0);
    return datapath.counters(snapshot).values.join();
  };
  const harness: DatapathHarness = {
    datapath,
    send: (no, frame) => wires.ends[no - 1]!.send(frame),
    received: (no) => wires.ends[no - 1]!.received(),
    async settle() {
      for (let before = "", now = look(); now !== before; now = look()) {
        before = now;
        await sleep(QUIET_MS);
      }
      await datapath.settled();
    },
    close,
  };
  return harness;
}
